package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/health"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// quoting is the health of a service that prints its password when its check fails.
type quoting struct {
	*judge
	says string
}

func (q *quoting) Watch(ctx context.Context, watched []health.Watched, probation time.Duration, baseline map[string]bool) health.Report {
	r := q.judge.Watch(ctx, watched, probation, baseline)
	for i := range r.Findings {
		if r.Findings[i].Why != "" {
			r.Findings[i].Check, r.Findings[i].Evidence = "http http://127.0.0.1/", "cannot log in with "+q.says+" at db"
		}
	}
	return r
}

// canaryHost is a host in memory with an identity, and a repository with secrets.
type canaryHost struct {
	t    *testing.T
	w    *world
	h    *Host
	keys []identity
	to   string
	seen []string // every canary there ever was
}

func newCanaryHost(t *testing.T, sick ...string) *canaryHost {
	c := &canaryHost{t: t}
	text, recipient, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	if c.keys, err = parseIdentities(text); err != nil {
		t.Fatal(err)
	}
	c.to = recipient
	s := &scenario{version: 257, overtaken: map[string]bool{}, sick: map[string]bool{}}
	s.disk.Space, s.disk.Inodes = -1, -1
	for _, commit := range sick {
		s.sick[commit] = true
	}
	c.w = newWorld(s)
	c.w.log = new(bytes.Buffer)
	c.restart()
	return c
}

// restart is a new start of the daemon.
func (c *canaryHost) restart() {
	c.t.Helper()
	h, err := c.w.host()
	if err != nil {
		c.t.Fatal(err)
	}
	if h.index.Key, err = digestKey(h.State); err != nil {
		c.t.Fatal(err)
	}
	c.h = h
}

// commit makes a target with a new canary in a whole file and in a value.
func (c *canaryHost) commit(name string) *plan.Target {
	c.t.Helper()
	canary := "cAnArY-" + rand.Text()
	c.seen = append(c.seen, canary)
	tree := fstest.MapFS{
		"fleet.yaml":                            {Data: []byte("hosts:\n  - {match: \"*\", roles: [app]}\n")},
		"vars.yaml":                             {Data: []byte("pw: |\n  " + strings.ReplaceAll(sealed(c.t, canary, c.to), "\n", "\n  ") + "\n")},
		"roles/app/files/etc/app/key.age":       {Data: []byte(sealed(c.t, canary+"\n", c.to))},
		"roles/app/files/etc/app/app.conf.tmpl": {Data: []byte("pw={{ .vars.pw }}\nb={{ b64enc .vars.pw }}\n")},
		"roles/app/role.yaml":                   {Data: []byte("services:\n  app.service: {}\n")},
		"roles/app/units/app.service":           {Data: []byte("[Service]\nEnvironmentFile=/etc/app/app.conf\nExecStart=/usr/bin/app /etc/app/key\n")},
	}
	t, err := manifest.Load(tree, manifest.Facts{Name: "host"}, manifest.Options{
		DigestKey: c.h.index.Key, Decrypt: func(text []byte) ([]byte, error) { return decrypt(c.keys, text) },
	})
	if err == nil {
		err = manifest.Wire(t, nil)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	t.Commit = name
	return t
}

func (c *canaryHost) deploy(t *plan.Target, says string) Outcome {
	c.t.Helper()
	c.h.Health = &quoting{&judge{w: c.w, h: c.h}, says}
	c.h.redactor.learn(t.Words)
	c.w.disk.Before = func(op, path string) { c.look("before " + op + " " + path) }
	outcome, err := deployTarget(c.h, t)
	c.w.disk.Before = nil
	if err != nil {
		c.t.Fatal(err)
	}
	c.look("after " + t.Commit)
	return outcome
}

// look finds canaries on the whole disk and in the log, in clear and in every
// form in which something would carry them.
func (c *canaryHost) look(when string) {
	c.t.Helper()
	texts := map[string][]byte{"the log": c.w.log.Bytes()}
	for path := range c.w.disk.Tree("/") {
		switch path {
		case "/etc/app/key", "/etc/app/app.conf", // the files themselves
			"/etc/app/.key.evenkeel+", "/etc/app/.app.conf.evenkeel+", "/etc/app/.key.evenkeel~", "/etc/app/.app.conf.evenkeel~":
			if print := c.w.disk.Print(path); !strings.HasPrefix(print, "file 0600 0:0 ") {
				c.t.Fatalf("%s: %s is %s", when, path, print)
			}
			continue
		}
		if text, is := c.w.disk.ReadFile(path); is {
			texts[path] = text
		}
	}
	for where, text := range texts {
		for _, canary := range c.seen {
			for _, form := range formsOf(canary) {
				if bytes.Contains(bytes.ToLower(text), []byte(strings.ToLower(form))) {
					c.t.Fatalf("%s: %s holds a secret, as %q", when, where, form)
				}
			}
		}
	}
}

// formsOf are the shapes that a secret travels in, the digests of what holds it
// among them: one without a key can be guessed.
func formsOf(canary string) []string {
	var none plan.DigestKey
	return []string{
		canary, base64.StdEncoding.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary + "\n")), hex.EncodeToString([]byte(canary)),
		none.Digest([]byte(canary)), none.Digest([]byte(canary + "\n")),
		none.Digest(fmt.Appendf(nil, "pw=%s\nb=%s\n", canary, base64.StdEncoding.EncodeToString([]byte(canary)))),
	}
}

// noSiblings makes sure that what an attempt staged is gone with its verdict.
func (c *canaryHost) noSiblings() {
	c.t.Helper()
	for path := range c.w.disk.Tree("/etc") {
		if strings.Contains(path, ".evenkeel") {
			c.t.Errorf("%s stays", path)
		}
	}
}

// A secret stands in its own file and nowhere else: not in a record, a log, a
// leftover or a digest, when its commit is good, when it is rejected by a check
// that quotes it, and when the daemon dies in between.
func TestSecretIsNowhereButInItsFile(t *testing.T) {
	c := newCanaryHost(t, "bad")
	good := c.commit("good")
	if o := c.deploy(good, "nothing"); o.Result != ResultGood {
		t.Fatalf("the first commit: %+v", o)
	}
	c.noSiblings()
	if text, _ := c.w.disk.ReadFile("/etc/app/key"); string(text) != c.seen[0]+"\n" {
		t.Errorf("/etc/app/key is %q", text)
	}
	if len(c.h.Ledger.Good.Secret) != 2 {
		t.Errorf("the record says that these are secret: %v", c.h.Ledger.Good.Secret)
	}

	bad := c.commit("bad")
	o := c.deploy(bad, c.seen[1]+" or "+base64.StdEncoding.EncodeToString([]byte(c.seen[1]))+" or "+c.seen[0])
	if o.Result != ResultRejected {
		t.Fatalf("the bad commit: %+v", o)
	}
	c.noSiblings()
	r, _ := c.h.Ledger.IsRejected("bad", "")
	if !strings.Contains(r.Evidence, "cannot log in with [redacted] or [redacted] or [redacted] at db") {
		t.Errorf("the evidence is %q", r.Evidence)
	}
	if text, _ := c.w.disk.ReadFile("/etc/app/key"); string(text) != c.seen[0]+"\n" {
		t.Errorf("after the revert /etc/app/key is %q", text)
	}
	if restarts := c.h.Ledger.History[0].Restarts; !strings.Contains(strings.Join(restarts, "\n"), "app.service") {
		t.Errorf("a changed secret restarts nobody: %q", restarts)
	}

	// The daemon dies while a commit with secrets is watched. The next one knows
	// no secret to take out of what the check says, and shows nothing of it.
	c.restart()
	c.w.s.sick["worse"] = true
	died := errors.New("killed")
	worse := c.commit("worse")
	c.h.redactor.learn(worse.Words)
	c.h.Health = &dying{&judge{w: c.w, h: c.h}, died}
	func() {
		defer func() { recover() }()
		_, _ = deployTarget(c.h, worse)
	}()
	c.look("when the daemon died")
	c.restart()
	c.h.Health = &quoting{&judge{w: c.w, h: c.h}, c.seen[2]}
	if watch, err := c.h.Recover(t.Context()); err != nil || !watch {
		t.Fatalf("after the restart: watch %v, %v", watch, err)
	}
	if _, err := c.h.watch(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.look("after the restart")
	if r, _ := c.h.Ledger.IsRejected("worse", ""); r.Evidence != unshown {
		t.Errorf("the evidence is %q", r.Evidence)
	}
}

// dying is the end of the daemon in its watch.
type dying struct {
	*judge
	died error
}

func (d *dying) Watch(context.Context, []health.Watched, time.Duration, map[string]bool) health.Report {
	panic(d.died)
}

// A host's digests are its own: two hosts with the same secret have nothing in
// common that a thief of both records could compare, and a lost key is not read
// as one that is there.
func TestDigestKeyIsTheHostsOwn(t *testing.T) {
	a, b := newCanaryHost(t), newCanaryHost(t)
	if a.h.index.Key.Digest([]byte("x")) == b.h.index.Key.Digest([]byte("x")) {
		t.Error("two hosts have one key")
	}
	first := string(a.h.index.Key)
	a.restart()
	if string(a.h.index.Key) != first {
		t.Error("the key does not outlive the daemon")
	}
	if print := a.w.disk.Print(stateDir + "/" + digestKeyFile); !strings.HasPrefix(print, "file 0600 0:0 ") {
		t.Errorf("the key is %s", print)
	}
	a.w.disk.PutFile(stateDir+"/"+digestKeyFile, "short", rootFile)
	if _, err := digestKey(a.h.State); err == nil || !strings.Contains(err.Error(), "reset-state") {
		t.Errorf("a damaged key: %v", err)
	}
}

func TestRedactorKnowsWhatIsCutOff(t *testing.T) {
	secret := map[string]bool{"/etc/key": true}
	var r redactor
	if got := r.redact("anything", secret); got != unshown {
		t.Errorf("without the words: %q", got)
	}
	if got := r.redact("anything", nil); got != "anything" {
		t.Errorf("without secrets: %q", got)
	}
	r.learn([]string{"correct horse battery", "hunter2"})
	for text, want := range map[string]string{
		"pw hunter2, again hunter2":          "pw [redacted], again [redacted]",
		"the correct horse battery staple":   "the [redacted] staple",
		"long text, then correct horse b...": "long text, then [redacted]",
		"it ends with corr":                  "it ends with corr",
		"":                                   "",
	} {
		if got := r.redact(text, secret); got != want {
			t.Errorf("%q gives %q, want %q", text, got, want)
		}
	}
	if got := r.said("line 3: anything", "/etc/key", secret); got != unshown {
		t.Errorf("of a secret file it shows %q", got)
	}
	r.learn([]string{"another one"})
	if got := r.redact("hunter2 and another one", secret); got != "[redacted] and [redacted]" {
		t.Errorf("after a change it shows %q", got)
	}
	r.learn([]string{"another one"})
	if got := r.redact("hunter2", secret); got != "[redacted]" {
		t.Errorf("looking twice at one commit forgets the one before it: %q", got)
	}
}

func TestSecretsGoToValidatorsOnly(t *testing.T) {
	target := &plan.Target{Secret: map[string]bool{"/etc/key": true}}
	for _, validators := range []map[string][]string{nil, {"/etc/app.conf": {"app", "-t"}}} {
		c := apply.Candidate{Validators: validators, Files: map[string]apply.Staged{
			"/etc/key": {Content: []byte("k"), Mode: 0o600}, "/etc/app.conf": {Content: []byte("c"), Mode: 0o644},
		}}
		withoutNeedlessSecrets(c, target)
		if got, want := len(c.Files["/etc/key"].Content), len(validators); got != want || c.Files["/etc/key"].Mode != 0o600 || len(c.Files["/etc/app.conf"].Content) != 1 {
			t.Errorf("with the validators %v, %d bytes of the secret are staged, want %d", validators, got, want)
		}
	}
}
