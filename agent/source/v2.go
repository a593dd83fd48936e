package source

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// This file is Git's protocol v2, see gitprotocol-v2(5): ls-refs, which asks for
// one ref whatever their number, and fetch, which any commit can be asked of.

// lsRefs is the question for one ref.
func lsRefs(ref string) string {
	return pkt("command=ls-refs\n") + "0001" + pkt("peel\n") + pkt("ref-prefix "+ref+"\n") + "0000"
}

// readLsRefs reads the answer to lsRefs.
func readLsRefs(r io.Reader, ref string) (tip, error) {
	list := refReader{ref: ref}
	for {
		line, err := readPkt(r)
		if err == errFlush {
			return list.seen, nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return tip{}, err
		}
		if err := list.take(strings.TrimSuffix(string(line), "\n")); err != nil {
			return tip{}, err
		}
	}
}

// readV2Greeting reads what follows "version 2": which commands the server
// knows. It gives the features of fetch.
func readV2Greeting(r io.Reader) (fetch string, err error) {
	known := false
	for {
		line, err := readPkt(r)
		if err == errFlush {
			break
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return "", err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "=")
		switch {
		case name == "fetch":
			fetch, known = value, true
		case name == "object-format" && value != "sha1":
			return "", fail(Garbage, "the repository uses %s object names, which cannot be read; convert it to SHA-1", strings.ToUpper(printable(value, 20)))
		}
	}
	if !known {
		return "", fail(Garbage, "the server does not offer to fetch")
	}
	return fetch, nil
}

// fetchV2 writes the request for a pack. Thin packs are not asked for: the pack
// reader cannot complete them.
func fetchV2(features string, w wish, shallow []plumbing.Hash) (string, error) {
	offered := strings.Fields(features)
	has := func(feature string) bool {
		for _, f := range offered {
			if f == feature {
				return true
			}
		}
		return false
	}
	if !has("shallow") {
		return "", fail(Garbage, "the server does not offer shallow fetches")
	}
	var b strings.Builder
	b.WriteString(pkt("command=fetch") + "0001" + pkt("ofs-delta\n") + pkt("no-progress\n"))
	for _, hash := range shallow {
		b.WriteString(pkt("shallow " + hash.String() + "\n"))
	}
	b.WriteString(pkt(fmt.Sprintf("deepen %d\n", w.depth)))
	if w.bare && has("filter") {
		b.WriteString(pkt("filter tree:0\n"))
	}
	b.WriteString(pkt("want " + w.want.String() + "\n"))
	for _, hash := range w.haves {
		b.WriteString(pkt("have " + hash.String() + "\n"))
	}
	b.WriteString(pkt("done\n") + "0000")
	return b.String(), nil
}

// receiveV2 reads the answer: what is shallow now, then the pack.
func receiveV2(r packBody, into *Repo) error {
	var shallows []plumbing.Hash
	for {
		line, err := readPkt(r)
		switch {
		case err == io.EOF:
			return io.ErrUnexpectedEOF
		case err == errFlush:
			return fail(Garbage, "the server's answer holds no pack")
		case err == errMark:
			continue
		case err != nil:
			return err
		}
		text := strings.TrimSuffix(string(line), "\n")
		if text == "packfile" {
			break
		}
		if hash, is := strings.CutPrefix(text, "shallow "); is {
			shallow, err := parseHash(hash)
			if err != nil {
				return err
			}
			shallows = append(shallows, shallow)
		}
		if len(shallows) > maxWalk {
			return fail(Limit, "the server names more than %d shallow commits", maxWalk)
		}
	}
	err := packfile.UpdateObjectStorage(into.store, bufio.NewReaderSize(&firstPack{&sideband{from: r}, r.begun}, 32<<10))
	if err != nil && !errors.Is(err, packfile.ErrEmptyPackfile) {
		return err
	}
	return into.setShallow(shallows)
}

// sideband takes the pack out of the lines that carry it and the server's words. It does
// not wait for the end of a line: one may be 64 KB, which is minutes on a slow link, and
// all that time the pack has begun.
type sideband struct {
	from io.Reader
	left int // of the line, all of it pack
}

func (s *sideband) Read(p []byte) (int, error) {
	for s.left == 0 {
		length, err := readLength(s.from)
		if err == nil {
			s.left, err = s.enter(length)
		}
		switch {
		case err == errFlush:
			return 0, io.EOF
		case err == io.EOF:
			return 0, io.ErrUnexpectedEOF
		case err != nil:
			return 0, err
		}
	}
	n, err := s.from.Read(p[:min(len(p), s.left)])
	s.left -= n
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // what ends the pack is a mark
	}
	return n, err
}

// enter begins a line, and gives how much of it is pack. Lines of other bands it takes whole.
func (s *sideband) enter(length int) (int, error) {
	if length == 0 {
		return 0, fail(Garbage, "the server's answer is broken")
	}
	var band [1]byte
	if err := readWhole(s.from, band[:]); err != nil {
		return 0, err
	}
	if band[0] == 1 {
		return length - 1, nil
	}
	line := make([]byte, length)
	line[0] = band[0]
	if err := readWhole(s.from, line[1:]); err != nil {
		return 0, err
	}
	if band[0] == 3 {
		return 0, fail(Unreachable, "the server says: %s", printable(string(line[1:]), 200))
	}
	return 0, refusal(line)
}
