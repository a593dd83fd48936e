package source

import (
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Policy says which commits this host takes. It comes from the host's own
// configuration, never from Git. The zero value takes any commit that anybody
// could push.
type Policy struct {
	Signatures Signatures `json:"signatures,omitempty"`
	Scope      Scope      `json:"scope,omitempty"`
	Signers    []byte     `json:"signers,omitempty"` // content of the OpenPGP keyring, or of the allowed_signers file
	Revoked    []byte     `json:"revoked,omitempty"` // ssh: public keys that count for nothing
	Minimum    string     `json:"minimum,omitempty"` // a commit that every other one must contain
}

// Signatures is the kind of signature that is asked for.
type Signatures string

// The kinds of signatures.
const (
	NoSignatures Signatures = "none"
	OpenPGP      Signatures = "openpgp"
	SSH          Signatures = "ssh"
)

// Scope is what must be signed.
type Scope string

// The scopes.
const (
	HeadSigned Scope = "head" // the commit that is applied
	AllSigned  Scope = "all"  // it and every commit since the last one that was applied
	TagSigned  Scope = "tag"  // the annotated tag that is followed
)

// Asks reports whether the policy wants signatures at all.
func (p Policy) Asks() bool { return p.Signatures == OpenPGP || p.Signatures == SSH }

// Candidate is what shall be proven.
type Candidate struct {
	Tip
	TagName string // short name of the tag that is followed, "" when none is
	Prior   string // the commit that was applied last, "" when there is none
}

// signers judges one signature over a text that was made at a time. It gives
// the signer as people know them.
type signers interface {
	check(payload []byte, signature string, made time.Time) (signer string, err error)
}

func (p Policy) signers() (signers, error) {
	if p.Signatures == OpenPGP {
		return readKeyring(p.Signers, time.Now())
	}
	return readAllowedSigners(p.Signers, p.Revoked)
}

// Check reads the signers, so that a mistake in their file is found before it is
// needed. The errors name lines.
func (p Policy) Check() error {
	if !p.Asks() {
		return nil
	}
	_, err := p.signers()
	return err
}

// Verify proves that somebody whom the policy names signed what it asks for,
// and tells who: the signer of the tag, or of the commit itself. Without a
// policy nobody is told. Errors are of type *Error.
func (r *Repo) Verify(p Policy, c Candidate) (signer string, err error) {
	if !p.Asks() {
		return "", nil
	}
	by, err := p.signers()
	if err == nil {
		signer, err = r.verify(by, p.Scope, c)
	}
	if err != nil {
		return "", public("trust commit", c.Commit, credentials{}, err)
	}
	return signer, nil
}

func (r *Repo) verify(by signers, scope Scope, c Candidate) (string, error) {
	commit, err := parseHash(c.Commit)
	if err != nil {
		return "", err
	}
	switch scope {
	case TagSigned:
		return r.verifyTag(by, c)
	case AllSigned:
		return r.verifyAll(by, commit, c.Prior)
	}
	return r.verifyCommit(by, commit)
}

func (r *Repo) verifyCommit(by signers, hash plumbing.Hash) (string, error) {
	c, err := r.commit(hash)
	if err != nil {
		return "", err
	}
	return c.signed.verify(by, c.committer.when)
}

// verifyAll takes every commit that head brings beyond what was applied.
func (r *Repo) verifyAll(by signers, head plumbing.Hash, prior string) (string, error) {
	signer, err := r.verifyCommit(by, head)
	if err != nil || prior == "" {
		return signer, err
	}
	list, err := r.since(plumbing.NewHash(prior), head)
	if err != nil {
		return "", err
	}
	for _, hash := range list {
		if _, err := r.verifyCommit(by, hash); err != nil {
			return "", fail(reasonOf(err), "commit %q in its history: %v", hash, err)
		}
	}
	return signer, nil
}

// maxSince bounds how many commits are verified one by one.
const maxSince = 5000

// since lists the commits that are reachable from head and not from prior.
func (r *Repo) since(prior, head plumbing.Hash) ([]plumbing.Hash, error) {
	old := map[plumbing.Hash]bool{}
	r.walk(prior, maxWalk, func(hash plumbing.Hash, _ bool) step {
		old[hash] = true
		return descend
	})
	var list []plumbing.Hash
	var missed plumbing.Hash
	cut := r.walk(head, maxSince, func(hash plumbing.Hash, known bool) step {
		switch {
		case old[hash]:
			return skip
		case !known:
			missed = hash
			return stop
		}
		list = append(list, hash)
		return descend
	})
	if cut || !missed.IsZero() {
		return nil, fail(BadSignature, "the history back to commit %q, every commit of which must be signed, is longer than %d commits or not to be had", prior, maxSince)
	}
	return list, nil
}

// verifyTag binds the tag to its name: a signed tag says "this is v1.4", and
// must not be shown under another name.
func (r *Repo) verifyTag(by signers, c Candidate) (string, error) {
	if c.Tag == "" {
		return "", fail(BadSignature, "tag %q is not an annotated tag, so it carries no signature; make it with git tag -s", printable(c.TagName, 100))
	}
	hash, err := parseHash(c.Tag)
	if err != nil {
		return "", err
	}
	t, err := r.tag(hash)
	switch {
	case err != nil:
		return "", err
	case t.name != c.TagName:
		return "", fail(BadSignature, "the tag object behind %q was made as %q", printable(c.TagName, 100), printable(t.name, 100))
	case t.object.String() != c.Commit:
		return "", fail(BadSignature, "tag %q points at %q", printable(c.TagName, 100), t.object)
	}
	return t.signed.verify(by, t.tagger.when)
}

// verify takes exactly one signature: of two, different readers may see
// different ones.
func (s signedText) verify(by signers, made time.Time) (string, error) {
	switch len(s.signatures) {
	case 0:
		return "", fail(BadSignature, "it is not signed")
	case 1:
		if len(s.signatures[0]) > maxSignature {
			return "", fail(BadSignature, "its signature is longer than %d bytes", maxSignature)
		}
		return by.check(s.payload, s.signatures[0], made)
	}
	return "", fail(BadSignature, "it has %d signatures, and must have one", len(s.signatures))
}

const maxSignature = 64 << 10

// armoredAs reports whether a text is one armored block of a kind and nothing else.
func armoredAs(text, kind string) bool {
	begin, end := "-----BEGIN "+kind+"-----", "-----END "+kind+"-----"
	trimmed := strings.TrimSpace(text)
	return strings.HasPrefix(trimmed, begin) && strings.HasSuffix(trimmed, end) &&
		strings.Count(trimmed, "-----BEGIN ") == 1 && strings.Count(trimmed, "-----END ") == 1
}

// otherKind names a signature that is of another kind than the one asked for.
func otherKind(text string, want Signatures) error {
	kinds := []struct{ begin, name string }{
		{"-----BEGIN PGP ", "an OpenPGP key"}, {"-----BEGIN SSH ", "an ssh key"}, {"-----BEGIN SIGNED MESSAGE", "an X.509 certificate"},
	}
	at := slices.IndexFunc(kinds, func(k struct{ begin, name string }) bool { return strings.HasPrefix(text, k.begin) })
	if at < 0 {
		return fail(BadSignature, "its signature is of no known kind")
	}
	return fail(BadSignature, "it is signed with %s, and the host's config asks for signatures: %s", kinds[at].name, want)
}
