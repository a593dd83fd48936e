//go:build e2e

package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// vault is a role with a secret file and a secret value. Its service reads both
// files, and its check and its validator tell everybody what is in them when
// they fail.
const vault = `-- roles/vault/role.yaml --
files:
  /etc/vault/env: {mode: "0640", group: daemon}
  /etc/vault/open: {validate: [/usr/local/bin/vault-valid]}
services:
  vault.service:
    settle: 500ms
    deadline: 2s
    checks: [{exec: [/usr/local/bin/vault-check], timeout: 1s}]
-- roles/vault/files/etc/vault/env.tmpl --
PASSWORD={{ .vars.vault_password }}
TOKEN={{ b64enc .vars.vault_password }}
-- roles/vault/files/etc/vault/open.tmpl --
{{ .vars.vault_mood }}
-- roles/vault/files/usr/local/bin/vault --
#!/bin/sh
test -r "$1" && test -r "$2" && exec sleep infinity
-- roles/vault/files/usr/local/bin/vault-check --
#!/bin/sh
grep -q sick /etc/vault/open || exit 0
echo "cannot log in:" $(cat /etc/vault/env /etc/vault/key)
exit 1
-- roles/vault/files/usr/local/bin/vault-valid --
#!/bin/sh
grep -q refused /etc/vault/open || exit 0
echo "cannot parse:" $(cat /etc/vault/env /etc/vault/key)
exit 1
-- roles/vault/units/vault.service --
[Service]
Type=exec
ExecStart=/usr/local/bin/vault /etc/vault/env /etc/vault/key

[Install]
WantedBy=multi-user.target
`

// vaultFiles are where its secrets may stand.
var vaultFiles = []string{"/etc/vault/env", "/etc/vault/key"}

// safe is a site with the vault, and all secrets that it ever had.
type safe struct {
	*site
	old []string
	now string
}

// keep writes a new secret into the work tree, encrypted to the recipients. Its
// mood is nothing secret: "well", "sick" once it runs, or "refused" before.
func (s *safe) keep(mood string, recipients ...string) {
	s.t.Helper()
	s.old, s.now = append(s.old, s.now), "cAnArY-"+rand.Text()
	s.encrypt(mood, recipients...)
}

func (s *safe) encrypt(mood string, recipients ...string) {
	s.t.Helper()
	var to strings.Builder
	for _, r := range recipients {
		fmt.Fprintf(&to, " -r '%s'", r)
	}
	// By the shell's own printf, through pipes: no argument of a program holds it.
	s.repo.Write("roles/vault/files/etc/vault/key.age", s.host.Script("printf '%s\\n' '"+s.now+"' | evenkeel secret encrypt"+to.String())+"\n")
	s.repo.Write("roles/vault/vars.yaml", "vault_mood: "+mood+"\n"+
		s.host.Script("printf '%s\\n' '"+s.now+"' | evenkeel secret encrypt --var vault_password"+to.String())+"\n")
}

// stands checks that the host has a secret in its files, for those who may read it.
func (s *safe) stands(secret string) {
	s.t.Helper()
	for path, want := range map[string]string{
		"/etc/vault/key": secret + "\n",
		"/etc/vault/env": "PASSWORD=" + secret + "\nTOKEN=" + base64.StdEncoding.EncodeToString([]byte(secret)) + "\n",
	} {
		if got := s.host.ReadFile(path); got != want {
			s.t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if got := s.host.Must("stat", "-c", "%U:%G %a", "/etc/vault/key", "/etc/vault/env"); got != "root:root 600\nroot:daemon 640" {
		s.t.Errorf("the files are\n%s", got)
	}
}

// hidden looks over the whole host: every file, the journal, the metrics, the
// status, the arguments and environment of every process. What stands may be in
// the vault's files; no other secret is anywhere, in any form.
func (s *safe) hidden(when, stands string) {
	s.t.Helper()
	var forms []string
	for _, secret := range append(slices.Clone(s.old), s.now) {
		if secret == "" {
			continue
		}
		env := "PASSWORD=" + secret + "\nTOKEN=" + base64.StdEncoding.EncodeToString([]byte(secret)) + "\n"
		forms = append(forms, secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret+"\n")),
			digest(secret), digest(secret+"\n"), digest(env))
	}
	page, err := body(s.host, "http://127.0.0.1:9973/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, form := range forms {
		if strings.Contains(page, form) {
			s.t.Errorf("%s: %s: the metrics hold %q", s.host.Release, when, form)
		}
	}
	found := s.host.Script(`
patterns() { printf '%s\n' ` + strings.Join(forms, " ") + `; }
cd /
grep -rlaF -f <(patterns) --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev / || test $? = 1
journalctl --no-pager -o export | grep -aF -f <(patterns) || test $? = 1
evenkeel status --json | grep -F -f <(patterns) || test $? = 1
evenkeel status | grep -F -f <(patterns) || test $? = 1
evenkeel plan 2>&1 | grep -F -f <(patterns) || test $? = 1
for p in /proc/[0-9]*; do
	for f in environ cmdline; do
		if tr '\0' '\n' 2>/dev/null <$p/$f | grep -qF -f <(patterns); then echo $p/$f; fi
	done
done
`)
	want := ""
	if stands != "" {
		want = strings.Join(vaultFiles, "\n")
	}
	lines := strings.Split(found, "\n")
	slices.Sort(lines)
	if got := strings.TrimSpace(strings.Join(lines, "\n")); got != want {
		s.t.Errorf("%s: %s: secrets are in\n%s\nand should be in\n%s", s.host.Release, when, got, want)
	}
	if stands != "" {
		s.stands(stands)
	}
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// A repository holds secrets, encrypted. On the host they are in their own files
// and nowhere else, whatever becomes of the commits that bring them.
func TestSecretsAreNowhereButInTheirFiles(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := &safe{site: newSite(t, h)}
		recipient := h.Must("evenkeel", "secret", "keygen")
		if got := h.Must("stat", "-c", "%U:%G %a", "/etc/evenkeel/identity.txt"); got != "root:root 600" {
			t.Errorf("the identity is %s", got)
		}
		if got := h.Must("evenkeel", "secret", "recipient"); got != recipient {
			t.Errorf("the host says that one encrypts to %q, not to %q", got, recipient)
		}
		s.repo.WriteTree(vault)
		for _, program := range []string{"vault", "vault-check", "vault-valid"} {
			s.repo.Executable("roles/vault/files/usr/local/bin/" + program)
		}
		s.repo.Edit("fleet.yaml", "roles: [base, db, app, proxy]", "roles: [base, db, app, proxy, vault]")
		s.keep("well", recipient)
		s.settled()
		s.hidden("once it is good", s.now)

		// Another secret restarts who uses it, and leaves nothing of the old one.
		before, others := h.Invocation("vault.service"), s.invocations()
		s.keep("well", recipient)
		s.waitGood(s.repo.Commit("another secret"))
		if h.Invocation("vault.service") == before || len(s.restarted(others)) > 0 {
			t.Errorf("a changed secret must restart vault.service and nothing else, restarted were also %q", s.restarted(others))
		}
		if history := s.status().History; !hasLine(history[0].Restarts, "vault.service", "/etc/vault/key") {
			t.Errorf("the history does not say why vault.service was restarted: %q", history[0].Restarts)
		}
		s.hidden("after a change", s.now)
		good := s.now

		// A check that fails and quotes both secrets, the new one and the one before.
		s.keep("sick", recipient)
		bad := s.repo.Commit("a secret that does not fit")
		st := s.waitRejected(bad)
		if out, _ := h.Run("evenkeel", "status", "--json"); !strings.Contains(out, "cannot log in: ") || !strings.Contains(out, "[redacted]") {
			t.Errorf("the status does not show what the check said, without the secrets: %+v\n%s", st, out)
		}
		s.hidden("after a revert", good)

		// A validator that refuses the commit and quotes them.
		s.keep("refused", recipient)
		refused := s.waitRefused(s.repo.Commit("a secret that its validator does not like"))
		if !hasLine(refused.Refused, "vault-valid refuses it", "cannot parse: PASSWORD=[redacted]") {
			t.Errorf("the refusal does not show what the validator said, without the secrets: %q", refused.Refused)
		}
		s.hidden("after a refusal", good)
		s.now, s.old = good, append(s.old, s.now)
		s.encrypt("well", recipient)
		commit := s.repo.Commit("the good secret, encrypted anew")
		s.waitGood(commit)
		s.hidden("after the fix", good)
		running := h.Invocation("vault.service")

		s.rotate(recipient, commit)
		s.lose()
		s.asCredential()
		if h.Invocation("vault.service") != running {
			t.Error("vault.service was restarted although its secrets stayed as they were")
		}

		// A daemon that dies of a fault leaves no image of its memory.
		died := h.Property("evenkeel.service", "MainPID")
		h.Must("systemctl", "kill", "--kill-whom=main", "--signal=SEGV", "evenkeel.service")
		h.WaitFor("the daemon to be back", soon, func() bool {
			return h.Property("evenkeel.service", "MainPID") != died && h.Active("evenkeel.service") == "active"
		})
		s.waitGood(s.repo.Head())
		s.hidden("after a crash", good)
	})
}

// rotate gives the host another identity. It is noticed without a commit, and the
// refusal says what to encrypt to.
func (s *safe) rotate(old, commit string) {
	s.t.Helper()
	h := s.host
	kept := h.Snapshot()
	recipient := h.Must("evenkeel", "secret", "keygen", "/etc/evenkeel/next.txt")
	h.Must("mv", "/etc/evenkeel/next.txt", "/etc/evenkeel/identity.txt")
	st := s.waitRefused(commit)
	for _, where := range []string{"roles/vault/files/etc/vault/key.age: ", "roles/vault/vars.yaml:2: "} {
		if !hasLine(st.Refused, where, "not encrypted to this host", "encrypt it to "+recipient) {
			s.t.Errorf("the refusal does not say what to do about %s: %q", where, st.Refused)
		}
	}
	if touched := kept.Without("/etc/evenkeel").Touched(h.Snapshot().Without("/etc/evenkeel")); touched != "" {
		s.t.Errorf("a refused commit touched files:\n%s", touched)
	}
	s.hidden("with an identity that does not fit", s.now)
	s.encrypt("well", old, recipient)
	s.waitGood(s.repo.Commit("encrypted to the new identity as well"))
	s.hidden("after a rotation", s.now)
}

// lose takes the identity away and brings it back.
func (s *safe) lose() {
	s.t.Helper()
	s.host.Must("mv", "/etc/evenkeel/identity.txt", "/root/identity.txt")
	st := s.waitRefused(s.repo.Head())
	if !hasLine(st.Refused, "roles/vault/files/etc/vault/key.age: ", "this host has no identity", "evenkeel secret keygen") {
		s.t.Errorf("the refusal does not say that there is no identity: %q", st.Refused)
	}
	s.hidden("without an identity", s.now)
	s.host.Must("mv", "/root/identity.txt", "/etc/evenkeel/identity.txt")
	s.waitGood(s.repo.Head())
}

// asCredential hands the identity to systemd, which keeps it sealed.
func (s *safe) asCredential() {
	s.t.Helper()
	h := s.host
	recipient := h.Must("evenkeel", "secret", "recipient")
	h.Must("systemd-creds", "encrypt", "--with-key=host", "--name=identity", "/etc/evenkeel/identity.txt", "/etc/evenkeel/identity.cred")
	h.Must("rm", "/etc/evenkeel/identity.txt")
	h.WriteFile("/etc/systemd/system/evenkeel.service.d/identity.conf", "[Service]\nLoadCredentialEncrypted=identity:/etc/evenkeel/identity.cred\n", 0o644)
	h.WriteFile("/etc/evenkeel/config.yaml", h.ReadFile("/etc/evenkeel/config.yaml")+"identities: [credential:identity]\n", 0o640)
	h.Must("systemctl", "daemon-reload")
	h.Must("systemctl", "restart", "evenkeel.service")
	if got := h.Must("evenkeel", "secret", "recipient"); got != recipient {
		s.t.Errorf("with a credential one encrypts to %q, not to %q", got, recipient)
	}
	s.encrypt("well", recipient)
	s.waitGood(s.repo.Commit("encrypted to the credential"))
	s.hidden("with a credential", s.now)
}
