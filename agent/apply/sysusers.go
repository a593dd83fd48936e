package apply

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path"
	"strings"
	"time"
)

// sysusersBound is for one run of systemd-sysusers; it may wait for the lock of
// the password files.
const sysusersBound = time.Minute

// IsSysusers reports whether systemd-sysusers reads a path; see sysusers.d(5).
func IsSysusers(name string) bool {
	dir := path.Dir(name)
	return path.Ext(name) == ".conf" && (dir == "/etc/sysusers.d" || dir == "/usr/local/lib/sysusers.d")
}

// AccountsIn lists the users and groups that a file of sysusers.d(5) makes. What
// it cannot read it leaves out: systemd-sysusers itself has the last word.
func AccountsIn(content []byte) (users, groups []string) {
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		name := strings.Trim(fields[1], `"'`)
		switch fields[0] {
		case "u", "u!":
			users, groups = append(users, name), append(groups, name)
		case "g":
			groups = append(groups, name)
		case "m":
			users, groups = append(users, name), append(groups, name)
			if len(fields) > 2 {
				groups = append(groups, strings.Trim(fields[2], `"'`))
			}
		}
	}
	return users, groups
}

// MakeAccounts has systemd-sysusers make the accounts that files of sysusers.d(5)
// ask for, before the files themselves are in their place. What is there already
// stays as it is, and nothing ever removes an account.
func MakeAccounts(ctx context.Context, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sysusersBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, "systemd-sysusers", "-")
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "SYSTEMD_COLORS=0"}
	cmd.Stdin = bytes.NewReader(content)
	said := &capped{max: maxComplaint}
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cannot make accounts: systemd-sysusers: %v%s", err, afterColon(printable(said.kept.String())))
	}
	return nil
}
