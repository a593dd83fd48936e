package agent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"evenkeel/agent/source"
)

// newIdentity makes an identity and gives its file.
func newIdentity(t *testing.T) (file, recipient string) {
	t.Helper()
	text, recipient, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return identityText(t, text), recipient
}

func identityText(t *testing.T, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "identity.txt")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func sshIdentity(t *testing.T, key any, passphrase string) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

func sealed(t *testing.T, text string, recipients ...string) string {
	t.Helper()
	out, err := Encrypt(recipients, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// renderedWith renders a repository whose only role has these files, on a host
// whose identities are in the files.
func renderedWith(t *testing.T, files map[string]string, identities ...string) RenderReply {
	t.Helper()
	files["fleet.yaml"] = "hosts:\n  - match: web-*\n    roles: [base]\n"
	remote, commit := childRepo(t, files)
	cfg := Config{Identities: append([]string{}, identities...)}
	keys := HostKeys(cfg)
	request := renderRequest(remote, commit)
	request.Options.Recipients, request.Faults = keys.Recipients, keys.Faults
	opened := openIdentities(cfg)
	defer closeFiles(opened)
	reply, err := RenderChild(t.Context(), request, opened...)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestChildOpensSecretsWithTheHostsIdentities(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	age1, _ := newIdentity(t)
	for name, row := range map[string]struct{ file string }{
		"an age identity":                   {age1},
		"the ssh key of the host, ed25519":  {identityText(t, sshIdentity(t, ed, ""))},
		"the ssh key of the host, with rsa": {identityText(t, sshIdentity(t, rsaKey, ""))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := HostKeys(Config{Identities: []string{row.file}})
			if len(keys.Recipients) != 1 || len(keys.Faults) != 0 {
				t.Fatalf("the host's keys are %+v", keys)
			}
			other, _ := newIdentity(t)
			reply := renderedWith(t, map[string]string{
				"vars.yaml":                        "pw: |\n  " + strings.ReplaceAll(sealed(t, "hunter2", keys.Recipients[0]), "\n", "\n  ") + "\n",
				"roles/base/files/etc/key.age":     sealed(t, "the key\n", keys.Recipients[0]),
				"roles/base/files/etc/conf.tmpl":   "pw={{ .vars.pw }}\n",
				"roles/base/files/etc/public.tmpl": "{{ .role }}\n",
			}, other, row.file)
			if len(reply.Problems) > 0 {
				t.Fatal(reply.Problems)
			}
			for path, want := range map[string]string{"/etc/key": "the key\n", "/etc/conf": "pw=hunter2\n", "/etc/public": "base\n"} {
				at := reply.Target.State.Paths[path]
				if got := string(reply.Target.Content[at.Digest]); got != want || reply.Target.Secret[path] != (path != "/etc/public") {
					t.Errorf("%s is %q, secret: %v", path, got, reply.Target.Secret[path])
				}
			}
		})
	}
}

// Whoever reads the answer must know what to do: where the secret is, why it
// cannot be read, and to whom it must be encrypted.
func TestSecretThatCannotBeOpenedSaysWhatToDo(t *testing.T) {
	ours, recipient := newIdentity(t)
	_, others := newIdentity(t)
	open := identityText(t, []byte("# nothing\n"))
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	damaged := strings.Replace(sealed(t, "hunter2", recipient), "-----END", "AAAA\n-----END", 1)
	for name, row := range map[string]struct {
		secret     string
		identities []string
		want       []string
	}{
		"it is for another host":         {sealed(t, "hunter2", others), []string{ours}, []string{"not encrypted to this host", "encrypt it to " + recipient}},
		"the host has no identity":       {sealed(t, "hunter2", recipient), nil, []string{"this host has no identity", "evenkeel secret keygen"}},
		"the identity is gone":           {sealed(t, "hunter2", recipient), []string{"/nowhere/identity.txt"}, []string{`cannot use the identity "/nowhere/identity.txt"`, "no such file"}},
		"the identity is open to all":    {sealed(t, "hunter2", recipient), []string{open}, []string{"everybody on this host can use it (mode 0644)"}},
		"the identity is no identity":    {sealed(t, "hunter2", recipient), []string{identityText(t, []byte("hunter2\n"))}, []string{"neither age identities nor an ssh key"}},
		"it was never encrypted":         {"hunter2", []string{ours}, []string{"not encrypted with age"}},
		"it is damaged":                  {damaged, []string{ours}, []string{"it is damaged"}},
		"the ssh key has a passphrase":   {sealed(t, "hunter2", recipient), []string{identityText(t, sshIdentity(t, newEd25519(t), "x"))}, []string{"has a passphrase"}},
		"the ssh key is of another type": {sealed(t, "hunter2", recipient), []string{identityText(t, sshIdentity(t, newECDSA(t), ""))}, []string{"ecdsa-sha2-nistp256", "ssh-ed25519"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reply := renderedWith(t, map[string]string{"roles/base/files/etc/key.age": row.secret}, row.identities...)
			if len(reply.Problems) != 1 || reply.Target != nil {
				t.Fatalf("problems %v, target %v", reply.Problems, reply.Target)
			}
			for _, word := range append(row.want, "roles/base/files/etc/key.age: ") {
				if !strings.Contains(reply.Problems[0].String(), word) {
					t.Errorf("%q is missing in %q", word, reply.Problems[0])
				}
			}
			if strings.Contains(reply.Problems[0].String(), "hunter2") {
				t.Errorf("the problem quotes a secret: %v", reply.Problems[0])
			}
		})
	}
}

func newEd25519(t *testing.T) any {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSA(t *testing.T) any {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A rotated, new or lost identity changes the key of a pass, so that it runs
// again; a poll without news reads no private key.
func TestPassKeyChangesWithTheIdentities(t *testing.T) {
	file, recipient := newIdentity(t)
	d := &daemon{cfg: Config{Identities: []string{file}}, facts: renderRequest(source.Remote{}, "").Facts}
	key := func() string {
		d.keys = d.keyring.look(d.cfg)
		return d.keyOf(source.Tip{Commit: "c"})
	}
	first := key()
	if got := d.keys.Recipients; !slices.Equal(got, []string{recipient}) {
		t.Fatalf("the recipients are %q", got)
	}
	if key() != first {
		t.Error("the key changes by itself")
	}
	text, _, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	rotated := key()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	lost := key()
	if rotated == first || lost == rotated || lost == first {
		t.Error("the key does not change with the identities")
	}
	if len(d.keys.Faults) != 1 || bytes.Contains([]byte(fmt.Sprint(d.keys)), bytes.TrimSpace(text[bytes.LastIndexByte(bytes.TrimSpace(text), '\n')+1:])) {
		t.Errorf("the keys are %+v", d.keys)
	}
}

func TestEncryptTakesWhatPeopleHave(t *testing.T) {
	_, recipient := newIdentity(t)
	private, _, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(newEd25519(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		recipient string
		want      string // in the error, "" for none
	}{
		"an age recipient":   {recipient, ""},
		"with blanks around": {" " + recipient + "\n", ""},
		"a public ssh key":   {string(ssh.MarshalAuthorizedKey(signer.PublicKey())), ""},
		"a word":             {"web-1", `"web-1" is no recipient`},
		"nothing":            {"", "is no recipient"},
		"a private key":      {string(private), "private key"},
		"two in one":         {recipient + "\n" + recipient, "is no recipient"},
		"half of one":        {recipient[:30], "is no recipient"},
	} {
		_, err := Encrypt([]string{row.recipient}, []byte("x"))
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: got %v, want %q", name, err, row.want)
		}
		if err != nil && strings.Contains(err.Error(), "AGE-SECRET-KEY-1") {
			t.Errorf("%s: the error quotes a private key", name)
		}
	}
}

// A commit that owned an identity would lock the host out of its secrets, and have
// the private key kept as what stood there before.
func TestNoCommitMayOwnAnIdentity(t *testing.T) {
	cfg := defaultConfig()
	cfg.Identities = []string{"/opt/keys/id.txt", "credential:id"}
	remote, commit := childRepo(t, map[string]string{
		"fleet.yaml":                        "hosts:\n  - match: web-*\n    roles: [base]\n",
		"roles/base/files/opt/keys/id.txt":  "mine\n",
		"roles/base/files/opt/keys/b/i.txt": "fine\n",
	})
	request := renderRequest(remote, commit)
	request.Options = cfg.policy()
	reply, err := RenderChild(t.Context(), request)
	if err != nil || len(reply.Problems) != 1 || reply.Problems[0].File != "roles/base/files/opt/keys/id.txt" {
		t.Errorf("problems %v, error %v", reply.Problems, err)
	}
}

// An idle host asks for its identities at each poll: they must not be read again.
func BenchmarkKeyring(b *testing.B) {
	text, _, err := NewIdentity()
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(b.TempDir(), "identity.txt")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		b.Fatal(err)
	}
	for name, cfg := range map[string]Config{"none": {}, "one": {Identities: []string{file}}} {
		b.Run(name, func(b *testing.B) {
			var k keyring
			for b.Loop() {
				k.look(cfg)
			}
		})
	}
}
