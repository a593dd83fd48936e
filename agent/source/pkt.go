package source

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
)

// A pkt-line is four hex digits of length, then content; the lengths 0, 1 and 2
// are marks without content. See gitprotocol-common(5).

// errFlush is the mark that ends a section; errMark are the other two.
var (
	errFlush = errors.New("flush mark")
	errMark  = errors.New("section mark")
)

// readPkt gives the content of the next line, or errFlush or errMark.
func readPkt(r io.Reader) ([]byte, error) {
	length, err := readLength(r)
	if err != nil {
		return nil, err
	}
	line := make([]byte, length)
	if err := readWhole(r, line); err != nil {
		return nil, err
	}
	return line, refusal(line)
}

// readLength gives how long the content of the next line is, or errFlush or errMark.
func readLength(r io.Reader) (int, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	length, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil || length == 3 || length > 65520:
		return 0, fail(Garbage, "the server does not speak Git")
	case length == 0:
		return 0, errFlush
	case length < 4:
		return 0, errMark
	}
	return int(length) - 4, nil
}

// readWhole fills the buffer with what must still come.
func readWhole(r io.Reader, buffer []byte) error {
	_, err := io.ReadFull(r, buffer)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// refusal is the error that a line is, nil for most.
func refusal(line []byte) error {
	if text, is := bytes.CutPrefix(line, []byte("ERR ")); is {
		return fail(Unreachable, "the server says: %s", printable(string(text), 200))
	}
	return nil
}

// pkt encodes one line.
func pkt(line string) string {
	const digits = "0123456789abcdef"
	n := len(line) + 4
	return string([]byte{digits[n>>12&15], digits[n>>8&15], digits[n>>4&15], digits[n&15]}) + line
}

// advert is what we need of a server's greeting.
type advert struct {
	tip   tip
	caps  *capability.List // of protocol v0
	v2    bool             // the server speaks protocol v2: no tip yet
	fetch string           // v2: features of its fetch
}

// readAdvert reads a greeting line by line, keeping only the wanted ref: a
// repository may have hundreds of thousands.
func readAdvert(r io.Reader, ref string) (advert, error) {
	a, list := advert{caps: capability.NewList()}, refReader{ref: ref}
	first := true
	for {
		line, err := readPkt(r)
		if err == errFlush {
			if first {
				return a, noRef(ref, "the repository is empty: push a first commit to it")
			}
			a.tip = list.seen
			return a, nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return a, err
		}
		text := strings.TrimSuffix(string(line), "\n")
		if first {
			switch {
			case strings.HasPrefix(text, "# service="):
				if _, err := readPkt(r); err != errFlush {
					return a, fail(Garbage, "the server's greeting is broken")
				}
				continue
			case text == "version 2":
				fetch, err := readV2Greeting(r)
				return advert{v2: true, fetch: fetch}, err
			case text == "version 1":
				continue
			}
		}
		if strings.HasPrefix(text, "shallow ") {
			continue
		}
		if text, err = a.takeCapabilities(text, first); err != nil {
			return a, err
		}
		first = false
		if err := list.take(text); err != nil {
			return a, err
		}
	}
}

func (a *advert) takeCapabilities(text string, first bool) (string, error) {
	text, words, found := strings.Cut(text, "\x00")
	if !found || !first {
		return text, nil
	}
	if err := a.caps.Decode([]byte(words)); err != nil {
		return "", fail(Garbage, "the server's capabilities cannot be read")
	}
	return text, nil
}

// parseHash reads 40 hex digits.
func parseHash(text string) (plumbing.Hash, error) {
	if len(text) == 64 {
		return plumbing.ZeroHash, fail(Garbage, "the repository uses SHA-256 object names, which cannot be read; convert it to SHA-1")
	}
	hash := plumbing.NewHash(text)
	if len(text) != 40 || hash.String() != text {
		return plumbing.ZeroHash, fail(Garbage, "%q is not a commit hash", printable(text, 64))
	}
	return hash, nil
}
