package agent

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel/agent/source"
)

// hostilePack is a pack under construction.
type hostilePack struct{ objects [][]byte }

func deflated(content []byte) []byte {
	var b bytes.Buffer
	w, _ := zlib.NewWriterLevel(&b, zlib.BestCompression)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

// objectHeader is the kind and size in front of an object.
func objectHeader(kind byte, size int) []byte {
	first := kind<<4 | byte(size&15)
	var out []byte
	for size >>= 4; size > 0; size >>= 7 {
		out = append(out, first|0x80)
		first = byte(size & 0x7f)
	}
	return append(out, first)
}

func (p *hostilePack) add(kind byte, content []byte) {
	p.objects = append(p.objects, append(objectHeader(kind, len(content)), deflated(content)...))
}

// addDelta makes an object of the one before it, by an offset.
func (p *hostilePack) addDelta(delta []byte) {
	offset := len(p.objects[len(p.objects)-1])
	encoded := []byte{byte(offset & 0x7f)}
	for offset >>= 7; offset > 0; offset >>= 7 {
		offset--
		encoded = append([]byte{0x80 | byte(offset&0x7f)}, encoded...)
	}
	object := append(objectHeader(6, len(delta)), encoded...)
	p.objects = append(p.objects, append(object, deflated(delta)...))
}

// bytes gives the pack with a count that may be a lie.
func (p *hostilePack) bytes(count uint32) []byte {
	out := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), count)
	for _, object := range p.objects {
		out = append(out, object...)
	}
	sum := sha1.Sum(out)
	return append(out, sum[:]...)
}

func varint(n int) []byte {
	var out []byte
	for ; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

// serveHostile answers like a Git server, but with a pack that nobody made.
func serveHostile(t *testing.T, pack []byte) source.Remote {
	t.Helper()
	line := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	commit := strings.Repeat("1", 40)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprint(w, line("# service=git-upload-pack\n")+"0000"+line("version 2\n")+line("ls-refs\n")+line("fetch=shallow filter\n")+"0000")
			return
		}
		var body bytes.Buffer
		body.ReadFrom(r.Body)
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		if strings.Contains(body.String(), "command=ls-refs") {
			fmt.Fprint(w, line(commit+" refs/heads/main\n")+"0000")
			return
		}
		fmt.Fprint(w, line("packfile\n"))
		for rest := pack; len(rest) > 0; {
			n := min(len(rest), 65000)
			fmt.Fprint(w, line("\x01"+string(rest[:n])))
			rest = rest[n:]
		}
		fmt.Fprint(w, "0000")
	}))
	t.Cleanup(server.Close)
	return source.Remote{URL: server.URL + "/r.git", Branch: "main"}
}

// Packs that unpack to more than any machine has end the child that reads them,
// or are refused by it; this process does not grow, and the next fetch works.
func TestHostilePacksEndInTheChild(t *testing.T) {
	nested := &hostilePack{}
	const base = 60_000
	nested.add(3, make([]byte, base))
	for size, i := base, 0; i < 6; i++ {
		const copies = 40
		var b bytes.Buffer
		b.Write(varint(size))
		b.Write(varint(size * copies))
		for range copies {
			// Copy the first bytes of what came before, as many as one word can say.
			b.Write([]byte{0x80 | 0x10 | 0x20 | 0x40, byte(size), byte(size >> 8), byte(min(size>>16, 0xff))})
		}
		nested.addDelta(b.Bytes())
		size *= copies
	}
	bomb := &hostilePack{}
	bomb.add(3, make([]byte, 300<<20))
	junk := &hostilePack{}
	junk.objects = [][]byte{{0x35, 'n', 'o', ' ', 'z', 'l', 'i', 'b'}}
	for name, row := range map[string]struct {
		pack []byte
		want []source.Reason
	}{
		"a huge count of objects":         {(&hostilePack{}).bytes(0xffffffff), []source.Reason{source.Limit, source.Garbage, source.Unreachable}},
		"nested deltas":                   {nested.bytes(uint32(len(nested.objects))), []source.Reason{source.Limit, source.Garbage}},
		"a blob that inflates to 300 MiB": {bomb.bytes(1), []source.Reason{source.Limit, source.Garbage}},
		"no pack at all":                  {[]byte("<html>"), []source.Reason{source.Garbage}},
		"an object that is no zlib":       {junk.bytes(1), []source.Reason{source.Garbage, source.Unreachable}},
		"more than a pack may have":       {bytes.Repeat([]byte("x"), 65<<20), []source.Reason{source.Limit, source.Garbage}},
		"a pack without what it promises": {(&hostilePack{}).bytes(0), []source.Reason{source.Garbage}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := cloneDir(t)
			before := residentMemory(t) // other tests of this process may have left much
			_, err := FetchChild(t.Context(), FetchRequest{Remote: serveHostile(t, row.pack), Dir: dir})
			var own *source.Error
			if !errors.As(err, &own) {
				t.Fatalf("got %v, want a *source.Error", err)
			}
			found := false
			for _, reason := range row.want {
				found = found || own.Reason == reason
			}
			if !found {
				t.Errorf("the reason is %q: %v", own.Reason, err)
			}
			t.Log(err)
			remote, want := childRepo(t, motd("x\n"))
			got, err := FetchChild(t.Context(), FetchRequest{Remote: source.Remote{URL: serveMirror(t, remote.URL).url, Branch: "main"}, Dir: dir})
			if err != nil || got.Commit != want {
				t.Errorf("after it: %v, %v", got, err)
			}
			if grown := residentMemory(t) - before; grown > 256<<20 {
				t.Errorf("this process has grown by %d MB", grown>>20)
			}
		})
	}
}

func residentMemory(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

// A tree of ten trees of ten trees and so on: a few hundred bytes that are a
// thousand million paths.
func TestTreeOfManyPathsIsAProblemOfTheRepository(t *testing.T) {
	remote, _ := childRepo(t, motd("x\n"))
	object := func(kind string, content []byte) string {
		file := filepath.Join(t.TempDir(), "object")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return childGit(t, remote.URL, "hash-object", "-t", kind, "-w", "--literally", file)
	}
	mode, hash := "100644", object("blob", []byte("x"))
	for range 9 {
		raw, err := hex.DecodeString(hash)
		if err != nil {
			t.Fatal(err)
		}
		var tree bytes.Buffer
		for i := range 10 {
			fmt.Fprintf(&tree, "%s %d\x00%s", mode, i, raw)
		}
		mode, hash = "40000", object("tree", tree.Bytes())
	}
	commit := childGit(t, remote.URL, "commit-tree", "-m", "bomb", hash)
	childGit(t, remote.URL, "update-ref", "refs/heads/main", commit)
	served := source.Remote{URL: serveMirror(t, remote.URL).url, Branch: "main"}
	dir := cloneDir(t)
	got, err := FetchChild(t.Context(), FetchRequest{Remote: served, Dir: dir})
	if err != nil || got.Commit != commit {
		t.Fatalf("FetchChild gave %v, %v", got, err)
	}
	reply, err := RenderChild(t.Context(), RenderRequest{Offer: Offer{Remote: served, Dir: dir, Tip: got}})
	if err != nil || len(reply.Problems) == 0 || !strings.Contains(reply.Problems[0].Message, "more than 20000 entries") {
		t.Errorf("problems %v, error %v", reply.Problems, err)
	}
}
