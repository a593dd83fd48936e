package source

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// What a server may send. Nothing may crash, and every failure must be one that
// has a reason and a text that is safe to print.
func FuzzReaders(f *testing.F) {
	hash := strings.Repeat("1", 40)
	greeting := pkt("# service=git-upload-pack\n") + "0000"
	for _, seed := range []string{
		"", "0000", "0001", "ffff", "0003", "zzzz", greeting, greeting + "0000",
		greeting + pkt("version 2\n") + pkt("ls-refs\n") + pkt("fetch=shallow filter\n") + pkt("object-format=sha1\n") + "0000",
		greeting + pkt(hash+" HEAD\x00multi_ack shallow side-band-64k") + pkt(hash+" refs/heads/main\n") + pkt(hash+" refs/tags/v1^{}\n") + "0000",
		pkt(hash+" refs/heads/main symref-target:x peeled:"+hash+"\n") + "0000",
		pkt("shallow-info\n") + pkt("shallow "+hash+"\n") + "0001" + pkt("packfile\n") + pkt("\x02counting\n") + pkt("\x01PACK\x00\x00\x00\x02\xff\xff\xff\xff") + "0000",
		pkt("packfile\n") + pkt("\x03fatal: no\x1b[2J\n") + "0000", pkt("ERR no\n"), pkt("packfile\n") + "0004",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, ref := range []string{"refs/heads/main", "refs/tags/v1", "HEAD"} {
			_, err := readAdvert(bytes.NewReader(answer), ref)
			checkFailure(t, err)
			seen, err := readLsRefs(bytes.NewReader(answer), ref)
			checkFailure(t, err)
			if err == nil && !seen.tag.IsZero() && seen.commit.IsZero() {
				t.Error("a tag without a commit")
			}
		}
		_, err := io.Copy(io.Discard, &sideband{from: bytes.NewReader(answer)})
		checkFailure(t, err)
		pack, err := io.ReadAll(&sideband{from: bytes.NewReader(answer)})
		if err == nil && len(pack) > len(answer) {
			t.Error("more came out than went in")
		}
	})
}

func checkFailure(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	out := public("fetch", "x", credentials{}, err)
	if text := out.Error(); strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
		t.Errorf("the text %q would reach a terminal", text)
	}
	if out.(*Error).Reason == "" {
		t.Errorf("%v has no reason", err)
	}
}

// Commits and tags: whatever they hold, what is signed and the signatures make up
// all of it, and what was signed reads the same without its signature.
func FuzzCommitsAndTags(f *testing.F) {
	hash := strings.Repeat("1", 40)
	commit := "tree " + hash + "\nparent " + hash + "\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n"
	for _, seed := range []string{
		"", "\n", commit + "\nmessage\n", commit + "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\nm\n",
		commit + "gpgsig a\ngpgsig b\n\nm", commit + "mergetag object x\n tree y\n\nm", "tree " + hash + "\ntree " + hash + "\n\n",
		"object " + hash + "\ntype commit\ntag v1\ntagger A <a> 1 +0000\n\nm\n-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := parseCommit(raw); err == nil {
			for _, signature := range c.signed.signatures {
				if len(signature) > len(raw) {
					t.Error("the signature grew")
				}
			}
			again, err := parseCommit(c.signed.payload)
			if err != nil || again.TreeHash != c.TreeHash || len(again.ParentHashes) != len(c.ParentHashes) || again.message != c.message || len(again.signed.signatures) > 0 {
				t.Errorf("without its signature it reads otherwise: %v", err)
			}
			sameAsGoGit(t, raw, c)
		}
		if tag, err := parseTag(raw); err == nil && !bytes.HasPrefix(raw, tag.signed.payload) {
			t.Error("a tag's payload is not its beginning")
		}
	})
}

// sameAsGoGit compares with another parser.
func sameAsGoGit(t *testing.T, raw []byte, c *commitObject) {
	t.Helper()
	memory := &plumbing.MemoryObject{}
	memory.SetType(plumbing.CommitObject)
	if _, err := memory.Write(raw); err != nil {
		t.Fatal(err)
	}
	other := &object.Commit{}
	if err := other.Decode(memory); err != nil {
		return
	}
	if other.TreeHash != c.TreeHash {
		t.Errorf("the tree is %s, go-git reads %s", c.TreeHash, other.TreeHash)
	}
}

func FuzzAllowedSigners(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINNwMHM8lLcve+HMdKmjaanRnkdOE0Sm3ZUxkjv5LTgg"
	for _, seed := range []string{
		"", "# nobody\n", "a@b " + key + " comment\n", `"a b,c" namespaces="git,x",valid-after="20200101Z",valid-before="20300101120000" ` + key,
		"* cert-authority " + key, "a valid-after=2020 " + key, `a namespaces="` + key, "a ssh-dss AAAA", "\x00", "a " + key + "\n" + key + "\n",
	} {
		f.Add([]byte(seed), []byte(key))
	}
	f.Fuzz(func(t *testing.T, content, revoked []byte) {
		a, err := readAllowedSigners(content, revoked)
		checkFailure(t, err)
		if err != nil {
			return
		}
		for _, line := range a.lines {
			if line.key == nil || line.principals == "" {
				t.Errorf("a line without a key or a principal: %+v", line)
			}
		}
		if len(a.lines)+len(a.revoked) > bytes.Count(content, []byte("\n"))+bytes.Count(revoked, []byte("\n"))+2 {
			t.Error("more keys than lines")
		}
	})
}

// The rules for names in a tree, held against what the file system would do.
func FuzzTreeNames(f *testing.F) {
	for _, seed := range []string{"", ".", "..", "a", "a/b", "/etc", "..\x00", "é", "\xff", "a\nb", strings.Repeat("x", 241), "C:\\", "\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if badName(name) != "" {
			return
		}
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00\n\x1b") || len(name) > maxName || !utf8.ValidString(name) {
			t.Errorf("%q was let through", name)
		}
	})
}
