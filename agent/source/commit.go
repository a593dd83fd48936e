package source

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// commitObject is a commit as its bytes say, read by the one parser that the
// walk, the signature check and status share: where two read differently, a
// signature can be made to speak of something else than what is applied.
type commitObject struct {
	TreeHash     plumbing.Hash
	ParentHashes []plumbing.Hash
	author       identity
	committer    identity
	message      string
	signed       signedText
}

// tagObject is an annotated tag.
type tagObject struct {
	object plumbing.Hash
	kind   string // of what it points at: "commit"
	name   string
	tagger identity
	signed signedText
}

// identity is an author, committer or tagger line taken apart.
type identity struct {
	name string
	when time.Time // zero when the line has none
}

// signedText is what a signature is made over, and the signatures themselves.
type signedText struct {
	payload    []byte
	signatures []string
}

// header is one header line with its continuation lines, which begin with a
// space in the object and have lost it here.
type header struct {
	key, value string
	raw        []byte // the lines as they stand there
}

// splitHeaders reads the headers up to the empty line, and gives what follows it.
// It looks at each byte a fixed number of times: an object may have megabytes of
// continuation lines.
func splitHeaders(raw []byte) (headers []header, body []byte, ok bool) {
	for len(raw) > 0 && raw[0] != '\n' {
		end, whole := endOfHeader(raw)
		if !whole || raw[0] == ' ' {
			return nil, nil, false
		}
		text := strings.ReplaceAll(string(raw[:end-1]), "\n ", "\n")
		key, value, _ := strings.Cut(text, " ")
		if at := strings.IndexByte(key, '\n'); at >= 0 { // a key without a value, and continuation lines
			key, value = text[:at], text[at:]
		}
		headers = append(headers, header{key, value, raw[:end:end]})
		raw = raw[end:]
	}
	if len(raw) > 0 {
		body = raw[1:]
	}
	return headers, body, true // an object may have no message at all
}

// endOfHeader finds where the next line begins that continues nothing.
func endOfHeader(raw []byte) (end int, whole bool) {
	for end < len(raw) {
		next := bytes.IndexByte(raw[end:], '\n')
		if next < 0 {
			return 0, false
		}
		if end += next + 1; end == len(raw) || raw[end] != ' ' {
			return end, true
		}
	}
	return 0, false
}

// parseCommit takes the order that Git writes and no other: tree, parents,
// author, committer, then anything else, each of the first four kinds only there.
func parseCommit(raw []byte) (*commitObject, error) {
	bad := func(what string) (*commitObject, error) {
		return nil, fail(Garbage, "the commit object is broken: %s", what)
	}
	headers, body, ok := splitHeaders(raw)
	if !ok {
		return bad("its headers do not end")
	}
	c := &commitObject{message: string(body)}
	stage := 0
	for _, h := range headers {
		switch {
		case h.key == "tree" && stage == 0:
			tree, err := parseHash(h.value)
			if err != nil {
				return nil, err
			}
			c.TreeHash, stage = tree, 1
		case h.key == "parent" && stage == 1:
			parent, err := parseHash(h.value)
			if err != nil {
				return nil, err
			}
			c.ParentHashes = append(c.ParentHashes, parent)
		case h.key == "author" && stage == 1:
			c.author, stage = parseIdentity(h.value), 2
		case h.key == "committer" && stage == 2:
			c.committer, stage = parseIdentity(h.value), 3
		case stage < 3 || h.key == "tree" || h.key == "parent" || h.key == "author" || h.key == "committer":
			return bad("the header " + printable(strconv.Quote(h.key), 40) + " is not where it belongs")
		}
	}
	if stage < 3 {
		return bad("it has no tree, author or committer")
	}
	c.signed = signedHeaders(headers, body)
	return c, nil
}

// signedHeaders takes the signatures out of a commit. What is left, byte for
// byte, is what was signed.
func signedHeaders(headers []header, body []byte) signedText {
	var s signedText
	for _, h := range headers {
		if h.key == "gpgsig" || h.key == "gpgsig-sha256" {
			s.signatures = append(s.signatures, h.value)
			continue
		}
		s.payload = append(s.payload, h.raw...)
	}
	s.payload = append(append(s.payload, '\n'), body...)
	return s
}

// parseTag reads an annotated tag. Its signature stands at the end of its message.
func parseTag(raw []byte) (*tagObject, error) {
	headers, body, ok := splitHeaders(raw)
	if !ok || len(headers) < 3 || headers[0].key != "object" || headers[1].key != "type" || headers[2].key != "tag" {
		return nil, fail(Garbage, "the tag object is broken")
	}
	object, err := parseHash(headers[0].value)
	if err != nil {
		return nil, err
	}
	t := &tagObject{object: object, kind: headers[1].value, name: headers[2].value}
	for i, h := range headers[3:] {
		switch {
		case h.key == "tagger" && i == 0:
			t.tagger = parseIdentity(h.value)
		case h.key == "gpgsig" || h.key == "gpgsig-sha256":
			t.signed.signatures = append(t.signed.signatures, h.value)
		case h.key == "object" || h.key == "type" || h.key == "tag" || h.key == "tagger":
			return nil, fail(Garbage, "the tag object is broken: it has the header %q twice", h.key)
		}
	}
	t.signed.take(raw, len(raw)-len(body))
	return t, nil
}

// take splits a tag at each line that begins a signature.
func (s *signedText) take(raw []byte, bodyAt int) {
	s.payload = raw
	var begins []int
	for at := bodyAt; at < len(raw); {
		for _, begin := range []string{"-----BEGIN PGP SIGNATURE-----", "-----BEGIN PGP MESSAGE-----", "-----BEGIN SSH SIGNATURE-----", "-----BEGIN SIGNED MESSAGE-----"} {
			if bytes.HasPrefix(raw[at:], []byte(begin)) {
				begins = append(begins, at)
			}
		}
		next := bytes.IndexByte(raw[at:], '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	for i, at := range begins {
		end := len(raw)
		if i+1 < len(begins) {
			end = begins[i+1]
		}
		s.signatures = append(s.signatures, string(raw[at:end]))
	}
	if len(begins) > 0 {
		s.payload = raw[:begins[0]]
	}
}

// parseIdentity reads "Name <mail> seconds zone". Old commits hold odd ones, and
// nothing is decided by them but the time of an ssh signature.
func parseIdentity(text string) identity {
	name, rest, found := strings.Cut(text, " <")
	id := identity{name: name}
	if !found {
		return id
	}
	end := strings.LastIndexByte(rest, '>')
	fields := strings.Fields(rest[end+1:])
	if len(fields) == 0 {
		return id
	}
	if seconds, err := strconv.ParseInt(fields[0], 10, 64); err == nil && seconds >= 0 && seconds < 1<<40 {
		id.when = time.Unix(seconds, 0)
	}
	return id
}
