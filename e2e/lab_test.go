//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// The hosts of the lab are what all other tests stand on: a power cut must keep
// what was written, a cut network must be cut, a boot must be a boot.
func TestHostsOfTheLabBehaveLikeHosts(t *testing.T) {
	versions := map[string]string{"bookworm": "systemd 252", "trixie": "systemd 257"}
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		if got := h.Must("systemctl", "--version"); !strings.HasPrefix(got, versions[h.Release]) {
			t.Errorf("systemctl --version says %q, want %q", got, versions[h.Release])
		}
		if got := h.Must("hostname"); got != h.Name {
			t.Errorf("the host is called %q, want %q", got, h.Name)
		}
		machineID, bootID := h.ReadFile("/etc/machine-id"), h.Must("cat", "/proc/sys/kernel/random/boot_id")

		h.Script("echo kept > /srv/kept; sync")
		before := h.Snapshot()
		h.PowerCut()
		if h.IsOn() {
			t.Error("the host is on after a power cut")
		}
		if touched := before.Touched(h.Snapshot()); touched != "" {
			t.Errorf("a power cut changed files:\n%s", touched)
		}
		h.Boot()
		if got := h.Must("cat", "/srv/kept"); got != "kept" {
			t.Errorf("after a power cut the file says %q", got)
		}
		if got := h.ReadFile("/etc/machine-id"); got != machineID {
			t.Errorf("the machine id changed from %q to %q", machineID, got)
		}
		if got := h.Must("cat", "/proc/sys/kernel/random/boot_id"); got == bootID {
			t.Errorf("the boot id is still %q after another boot", got)
		}

		h.Reboot()
		h.Shutdown()
		h.Boot()
		h.Script("chmod 0600 /srv/kept")
		if diff := before.Diff(h.Snapshot()); !strings.HasPrefix(diff, "/srv/kept: ") || strings.Count(diff, "\n") != 1 {
			t.Errorf("one mode changed, the difference says:\n%s", diff)
		}
	})
}

// Loss of the network is not loss of the host, and ends when the cable is back.
func TestNetworkOfTheLabCanBeCut(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		repo := theLab.Repo(t, "config")
		repo.Write("README", "hello\n")
		repo.Commit("first")
		server := theLab.Serve(t, repo, "", "")
		fetch := func() error { return get(h, server.URL()+"/info/refs?service=git-upload-pack", repo.Head()) }
		if err := fetch(); err != nil {
			t.Fatalf("the host does not reach the repository: %v", err)
		}
		// The address does not depend on which other hosts are on the bridge.
		if arp := h.Must("cat", "/proc/net/arp"); !strings.Contains(arp, " 02:00:0a:") {
			t.Errorf("the bridge has a borrowed address:\n%s", arp)
		}

		h.CutNetwork()
		if _, err := net.DialTimeout("tcp", h.Addr.String()+":1", 200*time.Millisecond); err == nil || !isTimeout(err) {
			t.Errorf("the host answers with its network cut: %v", err)
		}
		h.RestoreNetwork()
		h.WaitFor("the network is back", 20*time.Second, func() bool { return fetch() == nil })

		server.Stop()
		if fetch() == nil {
			t.Error("a stopped server answers")
		}
		server.Start()
		if err := fetch(); err != nil {
			t.Errorf("a server started again does not answer: %v", err)
		}
	})
}

// The Git servers let in who has the password or the key, and nobody else.
func TestServersOfTheLabAskWhoIsThere(t *testing.T) {
	t.Parallel()
	repo := theLab.Repo(t, "config")
	repo.Write("README", "hello\n")
	commit := repo.Commit("first")
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	https, ssh := theLab.ServeTLS(t, repo, "deploy", "secret"), theLab.ServeSSH(t, repo)
	ca := "http.sslCAInfo=" + write("ca.pem", https.CA())
	withKey := "core.sshCommand=ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o UserKnownHostsFile=" + write("known_hosts", ssh.KnownHosts) + " -i "
	stranger := filepath.Join(dir, "stranger")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", stranger).CombinedOutput(); err != nil {
		t.Fatalf("cannot make a key: %v: %s", err, out)
	}
	for _, c := range []struct {
		who    string
		config string
		url    string
		let    bool
	}{
		{"https with the password", ca, strings.Replace(https.URL(), "://", "://deploy:secret@", 1), true},
		{"https with another password", ca, strings.Replace(https.URL(), "://", "://deploy:guess@", 1), false},
		{"https without the authority", "http.sslVerify=true", strings.Replace(https.URL(), "://", "://deploy:secret@", 1), false},
		{"ssh with the key", withKey + write("key", ssh.Key), ssh.URL, true},
		{"ssh with another key", withKey + stranger, ssh.URL, false},
	} {
		cmd := exec.Command("git", "-c", c.config, "ls-remote", c.url)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null"}
		out, err := cmd.CombinedOutput()
		if let := err == nil && strings.HasPrefix(string(out), commit); let != c.let {
			t.Errorf("%s: let in is %v, want %v: %v: %s", c.who, let, c.let, err, out)
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// get asks a URL from inside the host for a page that has want in it.
func get(h *lab.Host, url, want string) error {
	page, err := body(h, url)
	if err == nil && !strings.Contains(page, want) {
		return fmt.Errorf("%q does not say %q", url, want)
	}
	return err
}

// body gives a page as a program on the host would get it.
func body(h *lab.Host, url string) (string, error) {
	answer, err := h.HTTP().Get(url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%q answers %s", url, answer.Status)
	}
	page, err := io.ReadAll(answer.Body)
	return string(page), err
}
