package source

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signing is a repository in which commits are signed by the real gpg and the
// real ssh-keygen, and judged by the real git beside us.
type signing struct {
	*gitRepo
	dir   string
	judge string // GNUPGHOME that holds the keyring's public keys alone
}

func newSigning(t *testing.T) *signing {
	t.Helper()
	// Not t.TempDir: the agent's socket must fit into 108 bytes.
	dir, err := os.MkdirTemp("", "sig")
	if err != nil {
		t.Fatal(err)
	}
	s := &signing{gitRepo: newGitRepo(t), dir: dir, judge: filepath.Join(dir, "judge")}
	t.Cleanup(func() {
		homes, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, home := range homes {
			exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		}
		os.RemoveAll(dir)
	})
	s.write("a", "one\n")
	s.push("root")
	return s
}

// command runs a program and gives what it prints.
func (s *signing) command(env []string, name string, args ...string) string {
	s.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = s.work, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// pgpKey is a key in a home of its own. The clock of its gpg can be set back.
type pgpKey struct {
	home, program string
	public        []byte
	fingerprint   string
}

// gpg makes a key; faked is its gpg's clock, "" for the true one.
func (s *signing) gpg(name, faked, expire string) *pgpKey {
	s.t.Helper()
	home := filepath.Join(s.dir, name)
	if err := os.Mkdir(home, 0o700); err != nil {
		s.t.Fatal(err)
	}
	k := &pgpKey{home: home, program: filepath.Join(home, "gpg")}
	clock := ""
	if faked != "" {
		clock = " --faked-system-time " + faked
	}
	script := fmt.Sprintf("#!/bin/sh\nexec gpg --homedir %s --batch --no-tty --pinentry-mode loopback --passphrase ''%s \"$@\"\n", home, clock)
	if err := os.WriteFile(k.program, []byte(script), 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.command(nil, k.program, "--quick-gen-key", name+" <"+name+"@example.org>", "ed25519", "sign", expire)
	k.export(s)
	for line := range strings.Lines(s.command(nil, k.program, "--with-colons", "--list-keys")) {
		if rest, is := strings.CutPrefix(line, "fpr:"); is && k.fingerprint == "" {
			k.fingerprint = strings.Trim(rest, ":\n")
		}
	}
	return k
}

func (k *pgpKey) export(s *signing) {
	s.t.Helper()
	var err error
	if k.public, err = exec.Command(k.program, "--armor", "--export").Output(); err != nil {
		s.t.Fatal(err)
	}
}

// revoke revokes the key, as its owner would with the certificate that gpg keeps.
func (k *pgpKey) revoke(s *signing) {
	s.t.Helper()
	kept, err := os.ReadFile(filepath.Join(k.home, "openpgp-revocs.d", k.fingerprint+".rev"))
	if err != nil {
		s.t.Fatal(err)
	}
	cert := filepath.Join(k.home, "revocation")
	if err := os.WriteFile(cert, []byte(strings.Replace(string(kept), ":-----", "-----", 1)), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.command(nil, k.program, "--import", cert)
	k.export(s)
}

func (k *pgpKey) sign() []string {
	return []string{"-c", "gpg.format=openpgp", "-c", "gpg.program=" + k.program, "-c", "user.signingKey=" + k.fingerprint}
}

// sshKey makes a key with the real ssh-keygen.
func (s *signing) sshKey(name, kind string) (file, public string) {
	s.t.Helper()
	file = filepath.Join(s.dir, name)
	s.command(nil, "ssh-keygen", "-q", "-t", kind, "-N", "", "-C", name, "-f", file)
	content, err := os.ReadFile(file + ".pub")
	if err != nil {
		s.t.Fatal(err)
	}
	return file, strings.TrimSpace(string(content))
}

func sshSign(file string) []string {
	return []string{"-c", "gpg.format=ssh", "-c", "user.signingKey=" + file}
}

// commit makes a commit on top, with the flags of a signer or without.
func (s *signing) commit(message string, flags ...string) string {
	s.t.Helper()
	args := append(append([]string{}, flags...), "commit", "-q", "--allow-empty", "-m", message)
	if len(flags) > 0 {
		args = append(args, "-S")
	}
	s.run(s.work, args...)
	return s.run(s.work, "rev-parse", "HEAD")
}

// rewrite makes an object from another one with its text changed.
func (s *signing) rewrite(kind, hash string, change func(string) string) string {
	s.t.Helper()
	out, err := exec.Command("git", "-C", s.work, "cat-file", kind, hash).Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return s.feed(s.work, []byte(change(string(out))), "hash-object", "-t", kind, "-w", "--stdin", "--literally")
}

// gitSays is the judgement of git itself, with the same signers.
func (s *signing) gitSays(p Policy, verb, what string) bool {
	s.t.Helper()
	file := func(name string, content []byte) string {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			s.t.Fatal(err)
		}
		return path
	}
	args := []string{"-C", s.work, "-c", "gpg.format=" + string(p.Signatures)}
	if p.Signatures == SSH {
		args = append(args, "-c", "gpg.ssh.allowedSignersFile="+file("allowed", p.Signers))
		if len(p.Revoked) > 0 {
			args = append(args, "-c", "gpg.ssh.revocationFile="+file("revoked", p.Revoked))
		}
	} else {
		os.RemoveAll(s.judge)
		if err := os.Mkdir(s.judge, 0o700); err != nil {
			s.t.Fatal(err)
		}
		// Status 2 is about the keys that have expired.
		exec.Command("gpg", "--homedir", s.judge, "--batch", "--import", file("keys", p.Signers)).Run()
	}
	cmd := exec.Command("git", append(args, verb, what)...)
	cmd.Env = append(os.Environ(), "GNUPGHOME="+s.judge, "HOME="+s.home)
	out, err := cmd.CombinedOutput()
	s.t.Logf("git %s: %v\n%s", verb, err, out)
	return err == nil
}

func TestSignatureMatrixAgreesWithGit(t *testing.T) {
	s := newSigning(t)
	ada, eve := s.gpg("ada", "", "never"), s.gpg("eve", "", "never")
	old, gone := s.gpg("old", "20200101T000000", "1y"), s.gpg("gone", "", "never")
	s.command(nil, ada.program, "--quick-add-key", ada.fingerprint, "ed25519", "sign", "never")
	ada.export(s)
	adaSSH, adaLine := s.sshKey("ada.ssh", "ed25519")
	eveSSH, eveLine := s.sshKey("eve.ssh", "ed25519")
	rsaSSH, rsaLine := s.sshKey("rsa.ssh", "rsa")
	ecSSH, ecLine := s.sshKey("ec.ssh", "ecdsa")

	pgp := func(keys ...*pgpKey) Policy {
		p := Policy{Signatures: OpenPGP}
		for _, k := range keys {
			p.Signers = append(p.Signers, k.public...)
		}
		return p
	}
	allowed := func(lines ...string) Policy {
		return Policy{Signatures: SSH, Signers: []byte(strings.Join(lines, "\n") + "\n")}
	}
	signed, signedSSH := s.commit("by ada", ada.sign()...), s.commit("by ada", sshSign(adaSSH)...)
	byGone := s.commit("by gone", gone.sign()...)
	byOld := s.commit("by old", old.sign()...)
	gone.revoke(s)
	secondPGP := func(text string) string {
		at := strings.Index(text, "gpgsig ")
		end := at + strings.Index(text[at:], "-----END")
		end += strings.Index(text[end:], "\n") + 1
		return text[:end] + text[at:end] + text[end:]
	}
	revoking := allowed("ada@example.org " + adaLine)
	revoking.Revoked = []byte("# lost\n" + adaLine + "\n")

	for _, row := range []struct {
		about  string
		policy Policy
		commit string
		says   string // "" when it is good
	}{
		{"OpenPGP, the right key", pgp(ada), signed, ""},
		{"OpenPGP, the right key among others", pgp(eve, old, ada), signed, ""},
		{"OpenPGP, a wrong key", pgp(eve), signed, "not in the keyring"},
		{"OpenPGP, an expired key", pgp(old), byOld, "has expired"},
		{"OpenPGP, a key that was revoked later", pgp(gone, ada), byGone, "was revoked"},
		{"OpenPGP, two signatures", pgp(ada), s.rewrite("commit", signed, secondPGP), "2 signatures"},
		{"OpenPGP, an altered message", pgp(ada), s.rewrite("commit", signed, func(text string) string {
			return strings.Replace(text, "by ada", "by eve", 1)
		}), "does not fit"},
		{"OpenPGP, another tree", pgp(ada), s.rewrite("commit", signed, func(text string) string {
			return strings.Replace(text, "Ada <ada@", "Eve <ada@", 1)
		}), "does not fit"},
		{"OpenPGP, no signature", pgp(ada), s.run(s.work, "rev-list", "--max-parents=0", "HEAD"), "not signed"},
		{"OpenPGP is asked for, ssh is there", pgp(ada), signedSSH, "signed with an ssh key"},
		{"ssh, the right key", allowed("ada@example.org " + adaLine), signedSSH, ""},
		{"ssh, namespaces and principals", allowed(`"ada@example.org,*@example.net" namespaces="file,git" ` + adaLine), signedSSH, ""},
		{"ssh, a wrong key", allowed("eve@example.org " + eveLine), signedSSH, "not among the allowed"},
		{"ssh, for another namespace only", allowed(`ada@example.org namespaces="file" ` + adaLine), signedSSH, "may not sign for git"},
		{"ssh, valid at its time", allowed(`ada@example.org valid-after="20260101Z",valid-before="20260201Z" ` + adaLine), signedSSH, ""},
		{"ssh, expired before it signed", allowed(`ada@example.org valid-before="20260101Z" ` + adaLine), signedSSH, "not valid any more"},
		{"ssh, not valid yet", allowed(`ada@example.org valid-after="20260201Z" ` + adaLine), signedSSH, "not valid yet"},
		{"ssh, a second line lets it in", allowed(`ada@example.org valid-before="20260101Z" `+adaLine, "ada2@example.org "+adaLine), signedSSH, ""},
		{"ssh, a revoked key", revoking, signedSSH, "was revoked"},
		{"ssh, RSA", allowed("r@example.org " + rsaLine), s.commit("by rsa", sshSign(rsaSSH)...), ""},
		{"ssh, ECDSA", allowed("e@example.org " + ecLine), s.commit("by ec", sshSign(ecSSH)...), ""},
		{"ssh, two signatures", allowed("ada@example.org " + adaLine), s.rewrite("commit", signedSSH, secondPGP), "2 signatures"},
		{"ssh, an altered message", allowed("ada@example.org " + adaLine), s.rewrite("commit", signedSSH, func(text string) string {
			return strings.Replace(text, "by ada", "by eve", 1)
		}), "does not fit"},
		{"ssh, somebody else's signature", allowed("ada@example.org " + adaLine), s.commit("by eve", sshSign(eveSSH)...), "not among the allowed"},
		{"ssh is asked for, OpenPGP is there", allowed("ada@example.org " + adaLine), signed, "signed with an OpenPGP key"},
	} {
		t.Run(row.about, func(t *testing.T) {
			s.t = t
			checkVerdict(t, s, row.policy, Candidate{Tip: Tip{Commit: row.commit}}, row.says)
			// git knows no wrong kind, and ssh-keygen passes over a second signature.
			stricter := strings.Contains(row.says, "signed with an") || row.about == "ssh, two signatures"
			if got := s.gitSays(row.policy, "verify-commit", row.commit); got != (row.says == "" || stricter && got) {
				t.Errorf("git says %t", got)
			}
		})
	}
	s.t = t
}

// checkVerdict verifies a candidate and compares what is said.
func checkVerdict(t *testing.T, s *signing, p Policy, c Candidate, says string) {
	t.Helper()
	repo, err := Open(s.work)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	signer, err := repo.Verify(p, c)
	if says == "" {
		if err != nil || signer == "" {
			t.Errorf("got signer %q, %v", signer, err)
		}
		t.Log(signer)
		return
	}
	if said := wantReason(t, err, BadSignature); !strings.Contains(said, says) {
		t.Errorf("the text is %q, want %q in it", said, says)
	}
}

func TestSignedTagsAreBoundToTheirNames(t *testing.T) {
	s := newSigning(t)
	ada, eve := s.gpg("ada", "", "never"), s.gpg("eve", "", "never")
	sshFile, sshLine := s.sshKey("ada.ssh", "ed25519")
	pgp := Policy{Signatures: OpenPGP, Scope: TagSigned, Signers: ada.public}
	byKey := Policy{Signatures: SSH, Scope: TagSigned, Signers: []byte("ada@example.org " + sshLine + "\n")}
	tag := func(name string, flags ...string) string {
		s.commit("for " + name)
		s.run(s.work, append(append([]string{}, flags...), "tag", "-s", "-m", "release "+name, name)...)
		return s.run(s.work, "rev-parse", name)
	}
	tag("v1", ada.sign()...)
	tag("v2", sshSign(sshFile)...)
	tag("v3", eve.sign()...)
	s.run(s.work, "tag", "v4", "v1")                                // the old tag object under a new name
	s.run(s.work, "update-ref", "refs/tags/v5", s.commit("for v5")) // no tag object at all
	s.run(s.work, "tag", "-a", "-m", "not signed", "v6")            // annotated only
	s.run(s.work, "tag", "v7", s.rewrite("tag", "v1", func(text string) string { return strings.Replace(text, "tag v1", "tag v7", 1) }))
	s.run(s.work, "tag", "v8", s.rewrite("tag", "v1", func(text string) string {
		return strings.Replace(text, "tag v1", "tag v8", 1) + text[strings.Index(text, "-----BEGIN"):]
	}))
	for _, row := range []struct {
		about  string
		policy Policy
		name   string
		says   string
		git    bool // what git says of the tag alone
	}{
		{"a tag signed with OpenPGP", pgp, "v1", "", true},
		{"a tag signed with ssh", byKey, "v2", "", true},
		{"a tag by a wrong key", pgp, "v3", "not in the keyring", false},
		{"an old tag under a new name", pgp, "v4", `was made as "v1"`, true},
		{"a name without a tag object", pgp, "v5", "not an annotated tag", false},
		{"a tag without a signature", pgp, "v6", "not signed", false},
		{"a tag that was altered", pgp, "v7", "does not fit", false},
		{"a tag with two signatures", pgp, "v8", "2 signatures", false},
	} {
		t.Run(row.about, func(t *testing.T) {
			s.t = t
			seen, err := localTip(s.work, Remote{URL: s.work, Tag: row.name})
			if err != nil {
				t.Fatal(err)
			}
			checkVerdict(t, s, row.policy, Candidate{Tip: seen.public(), TagName: row.name}, row.says)
			if got := s.gitSays(row.policy, "verify-tag", row.name); got != row.git {
				t.Errorf("git says %t", got)
			}
		})
	}
	s.t = t
}

func TestEveryCommitSinceTheLastOneIsVerified(t *testing.T) {
	s := newSigning(t)
	file, line := s.sshKey("ada.ssh", "ed25519")
	policy := Policy{Signatures: SSH, Scope: AllSigned, Signers: []byte("ada@example.org " + line + "\n")}
	sign := sshSign(file)
	unsigned := s.commit("from before, unsigned")
	prior := s.commit("applied", sign...)
	s.commit("one", sign...)
	good := s.commit("two", sign...)
	s.run(s.work, "checkout", "-q", "-b", "side", unsigned)
	s.commit("aside, signed", sign...)
	s.run(s.work, "checkout", "-q", "main")
	s.run(s.work, append(append([]string{}, sign...), "merge", "-q", "--no-ff", "-S", "-m", "merge", "side")...)
	merged := s.run(s.work, "rev-parse", "HEAD")
	s.run(s.work, "checkout", "-q", "-b", "side2", good)
	s.commit("aside, unsigned")
	s.run(s.work, "checkout", "-q", "main")
	s.run(s.work, append(append([]string{}, sign...), "merge", "-q", "--no-ff", "-S", "-m", "merge", "side2")...)
	smuggled := s.commit("on top", sign...)
	s.run(s.work, "reset", "-q", "--hard", good)
	s.run(s.work, "merge", "-q", "--no-ff", "-m", "unsigned merge", "side")
	middle := s.commit("on top of it", sign...)
	for _, row := range []struct {
		about, prior, head, says string
	}{
		{"a line of signed commits", prior, good, ""},
		{"a signed merge of a signed branch that forked before", prior, merged, ""},
		{"an unsigned commit on a merged branch", prior, smuggled, "in its history: it is not signed"},
		{"an unsigned merge in the middle", prior, middle, "in its history: it is not signed"},
		{"an unsigned merge in the middle, applied already", middle, middle, ""},
		{"the first commit of a host", "", smuggled, ""},
		{"a prior commit that nobody has", strings.Repeat("1", 40), good, "in its history: it is not signed"},
	} {
		t.Run(row.about, func(t *testing.T) {
			checkVerdict(t, s, policy, Candidate{Tip: Tip{Commit: row.head}, Prior: row.prior}, row.says)
			want := row.says == ""
			if row.prior != "" && !strings.HasPrefix(row.prior, "1111") {
				all := true
				for commit := range strings.FieldsSeq(s.run(s.work, "rev-list", row.prior+".."+row.head) + " " + row.head) {
					all = s.gitSays(policy, "verify-commit", commit) && all
				}
				if all != want {
					t.Errorf("git says %t", all)
				}
			}
		})
	}
}

func TestEveryCommitIsVerifiedBeyondTheWindow(t *testing.T) {
	s := newSigning(t)
	file, line := s.sshKey("ada.ssh", "ed25519")
	policy := Policy{Signatures: SSH, Scope: AllSigned, Signers: []byte("ada@example.org " + line + "\n")}
	prior := s.commit("applied", sshSign(file)...)
	s.commit("unsigned, far back")
	for i := range window + 3 {
		s.commit(fmt.Sprint(i), sshSign(file)...)
	}
	s.run(s.work, "push", "-q", "--force", "origin", "HEAD:main")
	remote, dir := s.serve(nil), filepath.Join(t.TempDir(), "cache")
	got, err := Fetch(t.Context(), remote, dir)
	if err != nil {
		t.Fatal(err)
	}
	verify := func() error {
		repo, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer repo.Close()
		_, err = repo.Verify(policy, Candidate{Tip: got, Prior: prior})
		return err
	}
	if said := wantReason(t, verify(), BadSignature); !strings.Contains(said, "not to be had") {
		t.Errorf("the text is %q", said)
	}
	if err := Reach(t.Context(), remote, dir, got, Question{Old: []string{prior}, All: prior}); err != nil {
		t.Fatal(err)
	}
	if said := wantReason(t, verify(), BadSignature); !strings.Contains(said, "it is not signed") {
		t.Errorf("the text is %q", said)
	}
}

// Eight megabytes of continuation lines took minutes once, because each was put
// behind a copy of all before it.
func TestCommitOfManyContinuationLinesIsReadAtOnce(t *testing.T) {
	hash := strings.Repeat("1", 40)
	lines := strings.Repeat(" \n", maxObject/2-200)
	raw := "tree " + hash + "\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\ngpgsig x\n" + lines + "\nmessage\n"
	began := time.Now()
	c, err := parseCommit([]byte(raw))
	if err != nil || len(c.signed.signatures) != 1 || len(c.signed.signatures[0]) != 1+len(lines)/2 || c.message != "message\n" {
		t.Fatalf("it is not read right: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}
