//go:build e2e

package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// signer makes a key with ssh-keygen, and gives its line for allowed_signers.
func signer(t *testing.T, name string) (file, line string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	public, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return file, name + "@example.org " + string(public)
}

// add appends to the host's configuration, and makes the daemon read it.
func (s *site) add(text string) {
	s.t.Helper()
	const file = "/etc/evenkeel/config.yaml"
	s.host.WriteFile(file, s.host.ReadFile(file)+text, 0o640)
	s.host.Must("systemctl", "reload", "evenkeel.service")
}

// Whoever can push is not who decides, once the host asks for signatures; and
// what was applied does not go back, even when its records are tampered with.
func TestOnlySignedCommitsAreTaken(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		key, line := signer(t, "ada")
		other, _ := signer(t, "eve")
		h.WriteFile("/etc/evenkeel/allowed_signers", line, 0o644)
		s.repo.Sign(key)
		s.settled()
		s.add("trust:\n  signatures: ssh\n  allowed_signers_file: /etc/evenkeel/allowed_signers\n")
		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "signed")
		signed := s.repo.Commit("signed by ada")
		s.waitGood(signed)
		s.answers("signed, this is test")
		if out := h.Must("evenkeel", "status"); !strings.Contains(out, "signed by ada@example.org (ssh SHA256:") {
			t.Errorf("the status does not name the signer:\n%s", out)
		}

		files, running := h.Snapshot(), s.invocations()
		s.repo.Sign(other)
		s.repo.Edit("hosts/web-1.yaml", "greeting: signed", "greeting: by eve")
		st := s.waitRefused(s.repo.Commit("signed by eve"))
		if why := strings.Join(st.Refused, " "); !strings.Contains(why, "not among the allowed signers") {
			t.Errorf("refused because of %q", why)
		}
		s.repo.Sign("")
		s.waitRefused(s.repo.Commit("not signed at all"))
		s.untouched("commits that nobody signed who may", files, running)
		if n := s.metric(`evenkeel_source_errors_total{reason="signature"}`); n == "" || n == "0" {
			t.Errorf("no metric tells of the refused signatures: %q", n)
		}

		s.repo.Sign(key)
		s.repo.Edit("hosts/web-1.yaml", "greeting: by eve", "greeting: signed again")
		again := s.repo.Commit("ada takes it over")
		s.waitGood(again)

		h.Must("systemctl", "stop", "evenkeel.service")
		h.Must("rm", "/var/lib/evenkeel/anchor.json")
		s.repo.Reset(signed)
		s.repo.ForcePush()
		h.Must("systemctl", "start", "evenkeel.service")
		s.waitStatus("the missing anchor to hold the host", func(st status) bool {
			return st.Held != nil && strings.Contains(st.Held.Reason, "anchor")
		})
		h.Must("evenkeel", "retry")
		s.waitStatus("the old commit to be refused", func(st status) bool {
			return st.Held == nil && strings.Contains(strings.Join(st.Refused, " "), "rewritten")
		})
		s.answers("signed again, this is test")
	})
}

// What a server sends is parsed by somebody who owns nothing.
func TestNothingIsFetchedAsRoot(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		daemon := h.Property("evenkeel.service", "MainPID")
		children := strings.Fields(h.Must("cat", "/proc/"+daemon+"/task/"+daemon+"/children"))
		children = append(children, strings.Fields(h.Script("cat /proc/"+daemon+"/task/*/children"))...)
		if len(children) == 0 {
			t.Fatal("no child asks the repository")
		}
		for _, child := range children {
			status := h.Must("cat", "/proc/"+child+"/status")
			for line := range strings.Lines(status) {
				fields := strings.Fields(line)
				switch {
				case len(fields) < 2:
				case fields[0] == "Uid:" && strings.Contains(line, "\t0\t"):
					t.Errorf("child %s is root: %s", child, line)
				case fields[0] == "CapEff:" && strings.Trim(fields[1], "0") != "":
					t.Errorf("child %s has capabilities: %s", child, line)
				}
			}
			t.Log(strings.ReplaceAll(h.Must("cat", "/proc/"+child+"/cmdline"), "\x00", " "))
		}
		if out := h.Script("find /var/cache/evenkeel/git -mindepth 1 ! -user evenkeel-fetch"); out != "" {
			t.Errorf("not everything of the clone is the fetcher's:\n%s", out)
		}
		if out := h.Script("find /etc /var/lib /usr -user evenkeel-fetch -o -user evenkeel-render 2>/dev/null"); out != "" {
			t.Errorf("they own more than the clone:\n%s", out)
		}
	})
}

// A forge may ask for a look, a person too; neither has to wait for the interval.
func TestLookThatIsAskedForComesNow(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		const secret = "a secret of the forge"
		h.WriteFile("/etc/evenkeel/webhook", secret+"\n", 0o600)
		const file = "/etc/evenkeel/config.yaml"
		h.WriteFile(file, strings.Replace(h.ReadFile(file), "interval: 1s", "interval: 1h", 1)+
			"webhook: {listen: \"127.0.0.1:9974\", secret_file: /etc/evenkeel/webhook}\n", 0o640)
		h.Must("systemctl", "reload", "evenkeel.service")

		s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "asked by a person")
		commit := s.repo.Commit("nobody looks by himself")
		h.Must("evenkeel", "sync", "--wait", "1m")
		if st := s.status(); st.Good.Commit != commit {
			t.Errorf("after the end of sync --wait the good commit is %s, want %s", st.Good.Commit, commit)
		}

		s.repo.Edit("hosts/web-1.yaml", "asked by a person", "asked by a forge")
		commit = s.repo.Commit("nobody looks by himself, again")
		for body, want := range map[string]int{"{}": http.StatusAccepted, "{} ": http.StatusUnauthorized} {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte("{}"))
			r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:9974/", bytes.NewReader([]byte(body)))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
			answer, err := h.HTTP().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("the hook with body %q is answered with %s", body, answer.Status)
			}
		}
		s.waitGood(commit)
	})
}
