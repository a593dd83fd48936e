//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha1"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// mostDuringTrouble is what the daemon may have resident at any time, whatever its
// server does: bytes, its peak since the trouble began.
const mostDuringTrouble = 64 << 20

// gitAnswer is the head of an answer that looks like Git's.
func gitAnswer(w http.ResponseWriter, r *http.Request) {
	kind := "application/x-git-upload-pack-advertisement"
	if r.Method == http.MethodPost {
		kind = "application/x-git-upload-pack-result"
	}
	w.Header().Set("Content-Type", kind)
}

// pktLine is a line as Git writes it.
func pktLine(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// hold keeps an answer open until the client has had enough.
func hold(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// pour writes a text again and again until the client has had enough.
func pour(w io.Writer, text string) {
	for err := error(nil); err == nil; {
		_, err = io.WriteString(w, text)
	}
}

// wrongPack answers greeting and question as the repository does, with a commit
// that nobody has, and sends a pack of its own.
func wrongPack(commit string, pack func(w http.ResponseWriter, r *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		gitAnswer(w, r)
		switch {
		case r.Method == http.MethodGet:
			fmt.Fprint(w, pktLine("# service=git-upload-pack\n")+"0000"+pktLine("version 2\n")+pktLine("ls-refs\n")+pktLine("fetch=shallow filter\n")+"0000")
		case bytes.Contains(body, []byte("command=ls-refs")):
			fmt.Fprint(w, pktLine(commit+" refs/heads/main\n")+"0000")
		default:
			fmt.Fprint(w, pktLine("packfile\n"))
			pack(w, r)
		}
	}
}

// band is a piece of a pack, in the line that carries it.
func band(piece []byte) string { return pktLine("\x01" + string(piece)) }

// noPack is a pack of some objects that are none.
func noPack(objects string) []byte {
	pack := []byte("PACK\x00\x00\x00\x02\xff\xff\xff\xff" + objects)
	sum := sha1.Sum(pack)
	return append(pack, sum[:]...)
}

// misbehaviour is what a server may do; each is seen in the status in the end.
func misbehaviour() []struct {
	what   string
	answer http.HandlerFunc
} {
	elsewhere := strings.Repeat("1", 40)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, strings.Repeat("no ", 1<<20), code) }
	}
	return []struct {
		what   string
		answer http.HandlerFunc
	}{
		{"401", status(401)},
		{"404", status(404)},
		{"429", status(429)},
		{"500", status(500)},
		{"a redirect to another host", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}},
		{"a connection that is cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"a greeting without end", func(w http.ResponseWriter, r *http.Request) {
			gitAnswer(w, r)
			fmt.Fprint(w, pktLine("# service=git-upload-pack\n")+"0000")
			pour(w, pktLine(elsewhere+" refs/heads/"+strings.Repeat("x", 60_000)))
		}},
		{"a header without end", func(w http.ResponseWriter, r *http.Request) {
			gitAnswer(w, r)
			w.Header().Set("X-Long", strings.Repeat("x", 20<<20))
		}},
		{"silence in the greeting", func(w http.ResponseWriter, r *http.Request) {
			gitAnswer(w, r)
			fmt.Fprint(w, pktLine("# service=git-upload-pack\n"))
			hold(w, r)
		}},
		{"silence in the pack", wrongPack(elsewhere, func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, band([]byte("PACK\x00\x00\x00\x02")))
			hold(w, r)
		})},
		{"a pack of objects without number", wrongPack(elsewhere, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, band(noPack("no zlib"))+"0000")
		})},
		{"a pack without end", wrongPack(elsewhere, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, band([]byte("PACK\x00\x00\x00\x02\x00\x00\xff\xff\xb0\x80\x80\x80\x01")))
			pour(w, band(bytes.Repeat([]byte{0x78}, 60_000)))
		})},
	}
}

// Whatever the server does, the daemon stays small, nothing is touched, the reason
// is in the status, and the host goes on by itself when the server does.
func TestDaemonStaysSmallWhateverTheServerDoes(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		s.settled()
		daemon := h.Property("evenkeel.service", "MainPID")
		for i, c := range misbehaviour() {
			files, running := h.Snapshot(), s.invocations()
			h.WriteFile("/var/tmp/reset", "5", 0o600)
			h.Must("cp", "/var/tmp/reset", "/proc/"+daemon+"/clear_refs") // its peak begins anew
			began := time.Now()
			s.server.Answer(c.answer)
			st := s.waitStatus(c.what+" to be in the status", func(st status) bool { return st.ContactError != "" })
			took := time.Since(began).Round(time.Second)
			peak := s.peakMemory(daemon)
			t.Logf("%s: %s: %d MB at most, after %v: %s", h.Release, c.what, peak>>20, took, st.ContactError)
			if peak > mostDuringTrouble {
				t.Errorf("%s: the daemon had %d MB resident", c.what, peak>>20)
			}
			if len(st.ContactError) > 1000 {
				t.Errorf("%s: the status repeats %d bytes of it", c.what, len(st.ContactError))
			}
			s.untouched(c.what, files, running)
			s.server.Answer(nil)
			h.Must("systemctl", "reload", "evenkeel.service") // not to wait out how long it backs off
			s.repo.Write("roles/base/files/etc/shop/secret.conf", fmt.Sprintf("after trouble %d\n", i))
			s.waitGood(s.repo.Commit("after " + c.what))
		}
		if now := h.Property("evenkeel.service", "MainPID"); now != daemon {
			t.Errorf("the daemon was process %s, and is %s", daemon, now)
		}
	})
}

// peakMemory is the most that a process had resident, in bytes.
func (s *site) peakMemory(pid string) int64 {
	s.t.Helper()
	text := s.host.Must("grep", "VmHWM:", "/proc/"+pid+"/status")
	return s.number(strings.Fields(text)[1]) << 10
}
