package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// runBound is how long one command inside a host may take.
const runBound = 2 * time.Minute

// Run runs a command inside the host and gives its standard output. The error
// holds what it said on standard error.
func (h *Host) Run(args ...string) (string, error) { return h.run("", args...) }

// Must is Run for a command that must succeed. The output has no last newline.
func (h *Host) Must(args ...string) string {
	h.t.Helper()
	out, err := h.run("", args...)
	if err != nil {
		h.t.Fatalf("on %q (%s): %v", h.Name, h.Release, err)
	}
	return strings.TrimRight(out, "\n")
}

// Script runs a shell script inside the host; it must succeed.
func (h *Host) Script(script string) string {
	h.t.Helper()
	out, err := h.run(script, "/bin/bash", "-euo", "pipefail", "-s")
	if err != nil {
		h.t.Fatalf("on %q (%s): %v", h.Name, h.Release, err)
	}
	return strings.TrimRight(out, "\n")
}

func (h *Host) run(stdin string, args ...string) (string, error) {
	leader := h.Leader()
	if leader == 0 {
		return "", fmt.Errorf("cannot run %q: the host is off", args)
	}
	ctx, cancel := context.WithTimeout(context.Background(), runBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"-t", strconv.Itoa(leader), "-a", "--"}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("cannot run %q: %w: %s%s", args, err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// WriteFile writes a file on the host's disk, its parents included, whether the
// host is on or off. An existing file keeps its inode.
func (h *Host) WriteFile(path, content string, mode os.FileMode) {
	h.t.Helper()
	root := h.disk()
	defer root.Close()
	name := strings.TrimPrefix(path, "/")
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		h.t.Fatalf("cannot write %q on %q: %v", path, h.Name, err)
	}
	if err := root.WriteFile(name, []byte(content), mode); err != nil {
		h.t.Fatalf("cannot write %q on %q: %v", path, h.Name, err)
	}
	if err := root.Chmod(name, mode); err != nil {
		h.t.Fatalf("cannot write %q on %q: %v", path, h.Name, err)
	}
}

// ReadFile reads a file from the host's disk, whether the host is on or off.
func (h *Host) ReadFile(path string) string {
	h.t.Helper()
	root := h.disk()
	defer root.Close()
	content, err := root.ReadFile(strings.TrimPrefix(path, "/"))
	if err != nil {
		h.t.Fatalf("cannot read %q on %q: %v", path, h.Name, err)
	}
	return string(content)
}

// ReadLive reads a file as the host's own processes see it, /run included. The host
// must be on; no process is started in it.
func (h *Host) ReadLive(path string) ([]byte, error) {
	leader := h.Leader()
	if leader == 0 {
		return nil, fmt.Errorf("cannot read %q on %q: the host is off", path, h.Name)
	}
	return os.ReadFile(filepath.Join("/proc", strconv.Itoa(leader), "root", path))
}

// Exists reports whether anything stands at a path of the host's disk.
func (h *Host) Exists(path string) bool {
	h.t.Helper()
	root := h.disk()
	defer root.Close()
	_, err := root.Lstat(strings.TrimPrefix(path, "/"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatalf("cannot look at %q on %q: %v", path, h.Name, err)
	}
	return err == nil
}

// disk opens the host's disk so that no link leads out of it.
func (h *Host) disk() *os.Root {
	h.t.Helper()
	root, err := os.OpenRoot(h.outside(""))
	if err != nil {
		h.t.Fatalf("cannot open the disk of %q: %v", h.Name, err)
	}
	return root
}

// Install installs a Debian package, or upgrades to it.
func (h *Host) Install(deb string) {
	h.t.Helper()
	content, err := os.ReadFile(deb)
	if err != nil {
		h.t.Fatalf("cannot install on %q: %v", h.Name, err)
	}
	h.WriteFile("/var/tmp/package.deb", string(content), 0o644)
	h.Must("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confdef", "--force-confold", "-i", "/var/tmp/package.deb")
}

// InstallSet installs a set of Debian packages that e2e/rootfs.sh has fetched for the
// host's release. They stay in /var/tmp, in a folder named as the set.
func (h *Host) InstallSet(set string) {
	h.t.Helper()
	folder := filepath.Join(cacheDir(), "debs", h.Release, set)
	debs, err := filepath.Glob(filepath.Join(folder, "*.deb"))
	if err != nil || len(debs) == 0 {
		h.t.Fatalf("there are no packages in %q (e2e/rootfs.sh fetches them): %v", folder, err)
	}
	for _, deb := range debs {
		content, err := os.ReadFile(deb)
		if err != nil {
			h.t.Fatalf("cannot install on %q: %v", h.Name, err)
		}
		h.WriteFile("/var/tmp/"+set+"/"+filepath.Base(deb), string(content), 0o644)
	}
	h.Script("DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --allow-downgrades -o Dpkg::Options::=--force-unsafe-io /var/tmp/" + set + "/*.deb >/dev/null")
}

// Property is one property of a unit, as systemctl show gives it.
func (h *Host) Property(unit, property string) string {
	h.t.Helper()
	return h.Must("systemctl", "show", "-P", property, unit)
}

// Invocation is the id of the unit's present run: another one means that it was
// started again.
func (h *Host) Invocation(unit string) string {
	h.t.Helper()
	return h.Property(unit, "InvocationID")
}

// Active is the word of "systemctl is-active".
func (h *Host) Active(unit string) string {
	h.t.Helper()
	return h.Property(unit, "ActiveState")
}

// Journal is the end of the journal of a unit, or of all units for "".
func (h *Host) Journal(unit string, lines int) string {
	args := []string{"journalctl", "--no-pager", "--quiet", "-o", "short-precise", "-n", strconv.Itoa(lines)}
	if unit != "" {
		args = append(args, "-u", unit)
	}
	out, err := h.run("", args...)
	if err != nil {
		return err.Error()
	}
	return out
}

// WaitFor waits until yes says so. When it does not within bound, the test
// fails with what was waited for.
func (h *Host) WaitFor(what string, bound time.Duration, yes func() bool) {
	h.t.Helper()
	if !Poll(bound, yes) {
		h.t.Fatalf("on %q (%s): waited %v in vain: %s", h.Name, h.Release, bound, what)
	}
}

// HTTP is a client whose connections start inside the host, so that it reaches
// what listens on the host's loopback.
func (h *Host) HTTP() *http.Client {
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return h.dial(ctx, network, addr)
			},
		},
	}
}

// dial connects from the host's network namespace. A socket belongs to the
// namespace that its thread was in, so the thread goes there and then dies:
// its goroutine ends without unlocking it.
func (h *Host) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	leader := h.Leader()
	if leader == 0 {
		return nil, errors.New("cannot dial: the host is off")
	}
	type answer struct {
		conn net.Conn
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		runtime.LockOSThread()
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", leader))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			answers <- answer{nil, fmt.Errorf("cannot enter the network of %q: %w", h.Name, err)}
			return
		}
		// One address of one family: the dialer starts no other goroutine.
		conn, err := (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, addr)
		answers <- answer{conn, err}
	}()
	got := <-answers
	return got.conn, got.err
}
