//go:build e2e_host

package apply

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// These tests run inside a host with systemd as PID 1, as root: compiled with
// "go test -c -tags e2e_host", copied in by e2e.

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "child-validate" {
		os.Exit(ValidateMain(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

const unitDir = "/etc/systemd/system/"

func file(content string) Staged { return Staged{Content: []byte(content), Mode: 0o644} }

func script(content string) Staged {
	return Staged{Content: []byte("#!/bin/sh\n" + content), Mode: 0o755}
}

// judge validates and fails when validation itself does, or when it leaves a trace.
func judge(t *testing.T, c Candidate) []string {
	t.Helper()
	before := traces(t)
	faults, err := Validate(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	// systemd forgets the transient unit a moment after it has ended.
	var after string
	if !waitFor(t, func() bool { after = traces(t); return before == after }) {
		t.Errorf("validation left a trace on the host:\n%s", difference(before, after))
	}
	var texts []string
	for _, f := range faults {
		text := fmt.Sprintf("%s [%s]", f, f.Unit)
		if f.Missing {
			text += " missing"
		}
		texts = append(texts, text)
	}
	return texts
}

// traces lists all that validation may not change: inodes and ctimes of the
// directories that commits own, the mounts, and what lies in /run and /tmp.
func traces(t *testing.T) string {
	t.Helper()
	var list strings.Builder
	for _, root := range []string{"/etc", "/usr", "/opt", "/srv", "/root", "/boot"} {
		err := filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error {
			var st unix.Stat_t
			if err == nil {
				err = unix.Lstat(p, &st)
			}
			fmt.Fprintln(&list, p, st.Ino, st.Mode, st.Ctim.Sec, st.Ctim.Nsec)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"/run", "/run/systemd/transient", "/tmp", "/var/tmp", "/var", "/"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			fmt.Fprintln(&list, filepath.Join(dir, e.Name()))
		}
	}
	for _, info := range []string{"/proc/1/mountinfo", "/proc/self/mountinfo"} {
		mounts, err := os.ReadFile(info)
		if err != nil {
			t.Fatal(err)
		}
		list.Write(mounts)
	}
	return list.String()
}

func difference(before, after string) string {
	old, now := strings.Split(before, "\n"), strings.Split(after, "\n")
	var list []string
	for _, line := range old {
		if !slices.Contains(now, line) {
			list = append(list, "- "+line)
		}
	}
	for _, line := range now {
		if !slices.Contains(old, line) {
			list = append(list, "+ "+line)
		}
	}
	return strings.Join(list, "\n")
}

func onHost(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(name) })
}

// Everything that a commit can bring is there for systemd and the validators,
// with mode and owner; what it removes is gone; the rest is as it was.
func TestValidateSeesTheCommitOnHost(t *testing.T) {
	onHost(t, "/etc/app/old.conf", "old", 0o600)
	onHost(t, "/etc/app/kept.conf", "kept", 0o640)
	onHost(t, "/etc/app/gone.conf", "gone", 0o600)
	if err := os.Chmod("/etc/app", 0o711); err != nil {
		t.Fatal(err)
	}
	looks := script(`set -e
test "$(cat /etc/app/old.conf)" = new
test "$(cat /etc/app/kept.conf)" = kept
test ! -e /etc/app/gone.conf
test "$(stat -c '%a %u %g' /etc/app/old.conf)" = "640 1 2"
test "$(stat -c '%a %u %g' /etc/app)" = "711 0 0"
test "$(stat -c '%a %u %g' /etc/app/fresh)" = "750 3 4"
test "$(stat -c '%a' /srv/a)" = 755
test "$(cat '/srv/a/b,c:d e/f')" = deep
test "$(readlink /etc/app/link)" = ../nowhere
test "$(pwd)" = /
test -z "$HOME$LISTEN_FDS"
`)
	got := judge(t, Candidate{
		Files: map[string]Staged{
			"/etc/app/old.conf":                     {Content: []byte("new"), Mode: 0o640, UID: 1, GID: 2},
			"/etc/app/fresh":                        {Dir: true, Mode: 0o750, UID: 3, GID: 4},
			"/etc/app/fresh/x":                      file("x"),
			"/etc/app/link":                         {Link: "../nowhere"},
			"/srv/a/b,c:d e/f":                      file("deep"),
			"/opt/app/bin/app":                      script("exec sleep 1000"),
			"/usr/local/bin/looks":                  looks,
			unitDir + "app.service":                 file("[Service]\nExecStart=/opt/app/bin/app\n[Install]\nWantedBy=multi-user.target\n"),
			unitDir + "app.service.d/a.conf":        file("[Service]\nNice=3\n"),
			unitDir + "many@.service":               file("[Service]\nExecStart=/opt/app/bin/app %i\n"),
			unitDir + "multi-user.target.wants/app": {Link: "../app.service"},
			unitDir + "masked.service":              {Link: "/dev/null"},
			unitDir + "nothere.service.d/a.conf":    file("[Service]\nNice=3\n"),
		},
		Removed:    []string{"/etc/app/gone.conf", "/etc/app/never-was", "/etc/never/was"},
		Units:      []string{"app.service", "many@.service", "many@1.service", "masked.service", "nothere.service"},
		Validators: map[string][]string{"/etc/app/old.conf": {"looks"}},
	})
	if len(got) > 0 {
		t.Errorf("a good commit is refused:\n%s", strings.Join(got, "\n"))
	}
}

// Without podman nobody can say what becomes of a Quadlet file. Stories on hosts with podman
// show what its generator says.
func TestValidateWithoutPodmanOnHost(t *testing.T) {
	got := judge(t, Candidate{Files: map[string]Staged{"/etc/containers/systemd/cache.container": file("[Container]\nImage=x\n")}})
	match(t, got, []string{"/etc/containers/systemd/cache.container: " + noMaker + " [] missing"})
	if got := judge(t, Candidate{Removed: []string{"/etc/containers/systemd/cache.container"}}); len(got) > 0 {
		t.Errorf("one that goes: %q", got)
	}
}

func TestValidateUnitsOnHost(t *testing.T) {
	onHost(t, "/usr/lib/systemd/system/vendor.service", "[Service]\nExecStart=/bin/true\nVendorsOwn=1\n", 0o644)
	onHost(t, "/usr/lib/systemd/system/other.service", "[Service]\nExecStart=/not/there\nVendorsOwn=1\n", 0o644)
	for _, row := range []struct {
		that  string
		units []string
		files map[string]string
		want  []string // part of each fault, in order
	}{
		{"a program that nobody has", []string{"a.service"},
			map[string]string{"a.service": "[Service]\nExecStart=/usr/local/bin/a\n"},
			[]string{"a.service: Command /usr/local/bin/a is not executable: No such file or directory [a.service] missing"}},
		{"a program that cannot be run", []string{"a.service"},
			map[string]string{"a.service": "[Service]\nExecStart=/etc/passwd\n"},
			[]string{"a.service: Command /etc/passwd is not executable: Permission denied [a.service]"}},
		{"a misspelt directive and section", []string{"a.service"},
			map[string]string{"a.service": "[Service]\nExecStart=/bin/true\nExecStrat=x\n[Servce]\n"},
			[]string{"a.service:3: Unknown key 'ExecStrat' in section [Service], ignoring.", "a.service:4: Unknown section 'Servce'. Ignoring."}},
		{"bad values", []string{"a.service"},
			map[string]string{"a.service": "[Service]\nExecStart=/bin/true\nRestartSec=abc\nMemoryMax=lots\nType=sometimes\n"},
			[]string{"a.service:3: Failed to parse ", "a.service:4: Invalid memory limit 'lots'", "a.service:5: Failed to parse "}},
		{"no service section", []string{"a.service"}, map[string]string{"a.service": "[Unit]\nDescription=x\n"},
			[]string{"a.service: Service has no ExecStart="}},
		{"no unit file at all", []string{"a.service"}, map[string]string{"a.service": "garbage\n[Service\n"},
			[]string{"a.service:1: Assignment outside of section.", "a.service:2: Invalid section header '[Service'"}},
		{"an empty unit file, which masks", []string{"a.service"}, map[string]string{"a.service": ""},
			[]string{"a.service: is masked. [a.service]"}},
		{"a bad drop-in of a vendor's unit with a warning of its own", []string{"vendor.service"},
			map[string]string{"vendor.service.d/x.conf": "[Service]\nBogus=1\n"},
			[]string{"vendor.service.d/x.conf:2: Unknown key 'Bogus'"}},
		{"a good drop-in of a vendor's unit with a warning of its own", []string{"vendor.service"},
			map[string]string{"vendor.service.d/x.conf": "[Service]\nNice=1\n"}, nil},
		{"a unit that needs a vendor's broken one", []string{"a.service"},
			map[string]string{"a.service": "[Unit]\nRequires=other.service nowhere.service\n[Service]\nExecStart=/bin/true\n"}, nil},
		{"a template", []string{"a@.service"}, map[string]string{"a@.service": "[Service]\nExecStart=/opt/none\nNope=%i\n"},
			[]string{"a@.service: Command /opt/none is not executable", "a@.service:3: Unknown key 'Nope'"}},
		{"a socket without its service", []string{"a.socket"}, map[string]string{"a.socket": "[Socket]\nListenStream=127.0.0.1:1\n"},
			[]string{"a.socket: service a.service not loaded, socket cannot be started. [a.socket] missing"}},
		{"a socket with its service", []string{"a.socket", "a.service"},
			map[string]string{"a.socket": "[Socket]\nListenStream=127.0.0.1:1\n", "a.service": "[Service]\nExecStart=/bin/true\n"}, nil},
		{"faults in several units", []string{"a.service", "b.timer", "c.service"},
			map[string]string{"a.service": "[Service]\nType=simple\n", "b.timer": "[Timer]\nOnCalendar=never\n", "c.service": "[Service]\nExecStart=bin/true\n"},
			[]string{"a.service: Service has no ExecStart=", "b.timer: Timer unit lacks value setting.", "b.timer:2: Failed to parse calendar specification", "c.service:2: Neither a valid executable name"}},
		{"a file mode that systemd only remarks on", []string{"x.service"},
			map[string]string{"x.service": "[Service]\nExecStart=/bin/true\n"}, nil},
	} {
		t.Run(row.that, func(t *testing.T) {
			c := Candidate{Files: map[string]Staged{}, Units: row.units}
			for name, content := range row.files {
				staged := file(content)
				if name == "x.service" {
					staged.Mode = 0o777
				}
				c.Files[unitDir+name] = staged
			}
			match(t, judge(t, c), row.want)
		})
	}
}

func match(t *testing.T, got, want []string) {
	t.Helper()
	good := len(got) == len(want)
	for i := 0; good && i < len(want); i++ {
		good = strings.Contains(got[i], want[i])
	}
	if !good {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestValidatorsOnHost(t *testing.T) {
	paths := map[string]Staged{
		"/etc/v/a.conf":    file("a"),
		"/etc/v/b.conf":    file("b"),
		"/etc/v/b.conf.d":  {Dir: true, Mode: 0o755},
		"/etc/v/not-run":   file("not a program"),
		"/etc/v/run":       script("exit 0"),
		"/usr/local/bin/v": script(`echo "bad word in /etc/v/b.conf:7"; exit 3`),
		"/usr/local/bin/w": script(`exec 2>/dev/null; echo x >/etc/v/a.conf; echo x >/usr/x; echo x >/opt/x; echo x >/srv/x; ls /usr/x /opt/x /srv/x; cat /etc/v/a.conf`),
		"/usr/local/bin/n": script(`printf 'no\033[31mred\n\n\0'; head -c 100000 /dev/zero | tr '\0' y; exit 1`),
	}
	for _, row := range []struct {
		that       string
		validators map[string][]string
		want       []string
	}{
		{"one says which file", map[string][]string{"/etc/v/a.conf": {"v"}, "/etc/v/b.conf": {"v"}},
			[]string{"/etc/v/b.conf:7: v refuses it (exit status 3): bad word in /etc/v/b.conf:7"}},
		{"one is not there", map[string][]string{"/etc/v/a.conf": {"/usr/local/bin/gone", "-t"}},
			[]string{`/etc/v/a.conf: its validator "/usr/local/bin/gone" is not on this host [] missing`}},
		{"one cannot be run", map[string][]string{"/etc/v/a.conf": {"/etc/v/not-run"}},
			[]string{`/etc/v/a.conf: its validator "/etc/v/not-run" cannot be run: `}},
		{"one is content", map[string][]string{"/etc/v/a.conf": {"/etc/v/run", "x"}}, nil},
		{"one tries to write to the host", map[string][]string{"/etc/v/a.conf": {"w"}}, nil},
		{"one is noisy", map[string][]string{"/etc/v/a.conf": {"n"}},
			[]string{"/etc/v/a.conf: n refuses it (exit status 1): no[31mred\nyyyyy"}},
		{"one is killed", map[string][]string{"/etc/v/a.conf": {"sh", "-c", "kill -9 $$"}},
			[]string{"/etc/v/a.conf: sh refuses it (signal: killed)"}},
		{"several at once", map[string][]string{"/etc/v/a.conf": {"false"}, "/etc/v/run": {"sh", "-c", "exit 9"}},
			[]string{"/etc/v/a.conf: false refuses it", "/etc/v/run: sh refuses it (exit status 9)"}},
	} {
		t.Run(row.that, func(t *testing.T) {
			got := judge(t, Candidate{Files: paths, Validators: row.validators})
			match(t, got, row.want)
			for _, text := range got {
				if len(text) > maxFindingText+200 || strings.Contains(text, "\033") {
					t.Errorf("not fit for a log: %q", text)
				}
			}
		})
	}
}

// A file system that is mounted below an overlaid directory stays in view, and
// is itself overlaid where the commit brings something.
func TestValidateWithMountsOnHost(t *testing.T) {
	for _, at := range []string{"/srv/disk", "/srv/disk/inner", "/srv/other disk"} {
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", at, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
			_ = os.Remove(at)
		})
		onHost(t, at+"/real", at, 0o644)
	}
	got := judge(t, Candidate{
		Files: map[string]Staged{
			"/srv/x":                file("x"),
			"/srv/disk/inner/new":   file("new"),
			"/usr/local/bin/looks":  script(`for d in /srv/disk /srv/disk/inner "/srv/other disk"; do test "$(cat "$d/real")" = "$d" || exit 1; done; test "$(cat /srv/x /srv/disk/inner/new)" = xnew`),
			"/var/lib/new/dir/file": file("v"),
		},
		Validators: map[string][]string{"/srv/x": {"looks"}, "/var/lib/new/dir/file": {"test", "-f", "/var/lib/new/dir/file"}},
	})
	match(t, got, nil)

	got = judge(t, Candidate{
		Files:      map[string]Staged{"/nowhere/x": file("x")},
		Validators: map[string][]string{"/nowhere/x": {"true"}},
	})
	match(t, got, []string{`/nowhere/x: cannot be validated before the directory "/nowhere" is there [] missing`})
}

// When nobody waits for the answer any more, all ends at once.
func TestValidateGivenUpOnHost(t *testing.T) {
	before := traces(t)
	ctx, giveUp := context.WithCancel(t.Context())
	started := "/run/validator-started"
	defer func() { _ = os.Remove(started) }()
	go func() {
		waitFor(t, func() bool { _, err := os.Stat(started); return err == nil })
		giveUp()
	}()
	from := time.Now()
	_, err := Validate(ctx, Candidate{
		Files:      map[string]Staged{"/etc/v": file("v")},
		Validators: map[string][]string{"/etc/v": {"sh", "-c", "touch " + started + "; sleep 1234 & sleep 1234"}},
	})
	if err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(from); took > 10*time.Second {
		t.Errorf("giving up took %v", took)
	}
	waitFor(t, func() bool { return exec.Command("pgrep", "-f", "sleep 1234").Run() != nil })
	if err := os.Remove(started); err != nil {
		t.Error(err)
	}
	waitFor(t, func() bool { return traces(t) == before })
}

// waitFor fails the test, and says so, when the condition does not come true.
func waitFor(t *testing.T, condition func() bool) bool {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Error("what was waited for did not come")
			return false
		}
	}
	return true
}

// Many files and units, as a large commit brings, fit into the limits.
func TestValidateLargeOnHost(t *testing.T) {
	c := Candidate{Files: map[string]Staged{}}
	for i := range 5000 {
		c.Files[fmt.Sprintf("/etc/large/%d/%d", i%50, i)] = file(strings.Repeat("x", 20_000))
	}
	for i := range 300 {
		name := fmt.Sprintf("large-%03d.service", i)
		c.Files[unitDir+name] = file("[Service]\nExecStart=/bin/true\nNope=1\n")
		c.Units = append(c.Units, name)
	}
	if got := judge(t, c); len(got) != maxFindings {
		t.Errorf("got %d faults, want the first %d", len(got), maxFindings)
	}
}
