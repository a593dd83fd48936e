package source

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	firstTip  = "1111111111111111111111111111111111111111"
	secondTip = "2222222222222222222222222222222222222222"
)

// rawAnswer is an answer to lsRefs as a server writes it.
func rawAnswer(tip, headers string) string {
	body := pkt(tip+"\n") + "0000"
	if !strings.Contains(tip, " ") {
		body = pkt(tip+" refs/heads/main\n") + "0000"
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-result\r\n%sContent-Length: %d\r\n\r\n%s", headers, len(body), body)
}

func chunked(tip string, date int) string {
	line := pkt(tip + " refs/heads/main\n")
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Type: application/x-git-upload-pack-result\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n4\r\n0000\r\n0\r\n\r\n", dated(date), len(line), line)
}

func dated(second int) string {
	return "Date: " + time.Unix(int64(second), 0).UTC().Format(http.TimeFormat) + "\r\n"
}

// scriptServer answers each question for a ref with the next text of a script, byte for
// byte, and a greeting as a server does that speaks protocol v2.
type scriptServer struct {
	url string

	mu          sync.Mutex
	script      []string
	asked       int // for a ref
	greeted     int
	connections int
}

// These ends of a text do something besides.
const (
	thenClose = "\x00close" // the connection is closed after it
	inPieces  = "\x00pieces"
)

func serveScript(t *testing.T, script ...string) *scriptServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	s := &scriptServer{url: "http://" + listener.Addr().String() + "/r.git", script: script}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.connections++
			s.mu.Unlock()
			go s.serve(conn)
		}
	}()
	return s
}

func (s *scriptServer) serve(conn net.Conn) {
	defer conn.Close()
	for from := bufio.NewReader(conn); ; {
		request, err := http.ReadRequest(from)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, request.Body)
		text := s.next(request.Method)
		text, last := strings.CutSuffix(text, thenClose)
		text, pieces := strings.CutSuffix(text, inPieces)
		step := len(text)
		if pieces {
			step = 1
		}
		for ; len(text) > 0; text = text[min(step, len(text)):] {
			if _, err := io.WriteString(conn, text[:min(step, len(text))]); err != nil {
				return
			}
		}
		if last {
			return
		}
	}
}

func (s *scriptServer) next(method string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if method == http.MethodGet {
		s.greeted++
		body := pkt("# service=git-upload-pack\n") + "0000" + pkt("version 2\n") + pkt("ls-refs\n") + pkt("fetch=shallow\n") + "0000"
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	text := s.script[min(s.asked, len(s.script)-1)]
	s.asked++
	return text
}

// counts are the questions for a ref, the greetings, and the connections so far.
func (s *scriptServer) counts() [3]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return [3]int{s.asked, s.greeted, s.connections}
}

// serverOf is the server of a remote, of which nothing was asked yet.
func serverOf(t *testing.T, remote Remote) *httpServer {
	t.Helper()
	at, err := remote.place()
	if err != nil {
		t.Fatal(err)
	}
	server, err := newHTTPServer(remote, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.close)
	return server
}

func TestRepeatedLooks(t *testing.T) {
	const volatile = "X-Request-Id: %s\r\n"
	one, two := rawAnswer(firstTip, ""), rawAnswer(secondTip, "")
	peeled := rawAnswer(firstTip+" refs/heads/main peeled:"+secondTip, "")
	for _, row := range []struct {
		what   string
		script []string // the first is the client's own look
		want   []string // of each look
		counts [3]int
	}{
		{"nothing changes", []string{one, one, one, one}, []string{firstTip, firstTip, firstTip, firstTip}, [3]int{4, 1, 2}},
		{"the date changes", []string{one, rawAnswer(firstTip, dated(1)), rawAnswer(firstTip, dated(2)), rawAnswer(secondTip, dated(3)), rawAnswer(secondTip, dated(4))},
			[]string{firstTip, firstTip, firstTip, secondTip, secondTip}, [3]int{5, 1, 2}},
		{"the date goes and comes", []string{one, rawAnswer(firstTip, dated(1)), one, rawAnswer(secondTip, dated(3))},
			[]string{firstTip, firstTip, firstTip, secondTip}, [3]int{4, 1, 2}},
		{"the branch moves and moves back", []string{one, one, two, one}, []string{firstTip, firstTip, secondTip, firstTip}, [3]int{4, 1, 2}},
		{"a longer answer, and a shorter one", []string{one, one, peeled, one}, []string{firstTip, firstTip, secondTip, firstTip}, [3]int{4, 1, 2}},
		{"a header is another each time", []string{one, rawAnswer(firstTip, fmt.Sprintf(volatile, "a")), rawAnswer(firstTip, fmt.Sprintf(volatile, "bc")), rawAnswer(secondTip, fmt.Sprintf(volatile, "bd"))},
			[]string{firstTip, firstTip, firstTip, secondTip}, [3]int{4, 1, 2}},
		{"in chunks", []string{one, chunked(firstTip, 1), chunked(firstTip, 2), chunked(secondTip, 3)}, []string{firstTip, firstTip, firstTip, secondTip}, [3]int{4, 1, 2}},
		{"byte by byte", []string{one, one + inPieces, one + inPieces, two + inPieces}, []string{firstTip, firstTip, firstTip, secondTip}, [3]int{4, 1, 2}},
		{"the connection is closed after each", []string{one, one + thenClose, two + thenClose, one + thenClose}, []string{firstTip, firstTip, secondTip, firstTip}, [3]int{4, 1, 4}},
		{"it says that it closes", []string{one, rawAnswer(firstTip, "Connection: close\r\n") + thenClose, two}, []string{firstTip, firstTip, secondTip}, [3]int{3, 1, 3}},
		{"an answer that is cut", []string{one, one, one[:len(one)-9] + thenClose, two}, []string{firstTip, firstTip, secondTip}, [3]int{4, 1, 3}},
		{"more than an answer", []string{one, one + "more", two}, []string{firstTip, secondTip}, [3]int{3, 1, 3}},
		{"nothing that anybody can read", []string{one, "nonsense\r\n\r\n", "nonsense\r\n\r\n", two}, []string{firstTip, "unreachable", secondTip}, [3]int{4, 1, 4}},
		{"busy", []string{one, one, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", two}, []string{firstTip, firstTip, "unreachable", secondTip}, [3]int{4, 1, 3}},
		{"nobody may ask any more", []string{one, one, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", two}, []string{firstTip, firstTip, "auth", secondTip}, [3]int{4, 2, 3}},
	} {
		t.Run(row.what, func(t *testing.T) {
			s := serveScript(t, row.script...)
			p := NewPoller(Remote{URL: s.url, Branch: "main"})
			defer p.Close()
			for i, want := range row.want {
				seen, err := p.Tip(t.Context())
				got := seen.Commit
				var own *Error
				if errors.As(err, &own) {
					got = string(own.Reason)
				}
				if got != want {
					t.Errorf("look %d gave %q, %v; want %q", i+1, got, err, want)
				}
			}
			if got := s.counts(); got != row.counts {
				t.Errorf("questions, greetings and connections were %v, want %v", got, row.counts)
			}
		})
	}
}

// A server that was away comes back, and is asked in the short way again.
func TestRepeatedLooksGoOnAfterAnOutage(t *testing.T) {
	one := rawAnswer(firstTip, "")
	s := serveScript(t, one)
	p := NewPoller(Remote{URL: s.url, Branch: "main"})
	defer p.Close()
	look := func() error {
		_, err := p.Tip(t.Context())
		return err
	}
	for range 2 {
		if err := look(); err != nil {
			t.Fatal(err)
		}
	}
	base := p.http.base
	nowhere := *base
	nowhere.Host = "127.0.0.1:1"
	p.http.repeats.hangUp()
	p.http.base = &nowhere
	for range 2 * maxMisses {
		if err := look(); err == nil {
			t.Fatal("a server that is away answers")
		}
	}
	p.http.base = base
	for range 2 {
		if err := look(); err != nil {
			t.Fatal(err)
		}
	}
	if p.http.repeats.conn == nil || p.http.repeats.misses != 0 {
		t.Errorf("after the outage the client asks: %d misses", p.http.repeats.misses)
	}
}

// A server that only the client understands is asked by the client alone, after a while.
func TestRepeatedLooksEndWhereOnlyTheClientIsAnswered(t *testing.T) {
	p := NewPoller(Remote{URL: serveScript(t, rawAnswer(firstTip, "")).url, Branch: "main"})
	defer p.Close()
	for i := range 2 * maxMisses {
		if i > 0 {
			p.http.repeats.request, p.http.repeats.buffer = []byte("nonsense\r\n\r\n"), make([]byte, maxRepeated)
		}
		if _, err := p.Tip(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := min(i, maxMisses); p.http.repeats.misses != want {
			t.Errorf("after %d looks there were %d misses, want %d", i, p.http.repeats.misses, want)
		}
	}
}

func TestRepeatedLookSendsTheTokenOfNow(t *testing.T) {
	one := rawAnswer(firstTip, "")
	s := serveScript(t, one)
	var token, sent string
	remote := Remote{URL: s.url, Branch: "main", Auth: Auth{TokenFile: "/token", PlainHTTP: true,
		Open: func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(token)), nil }}}
	server := serverOf(t, remote)
	for _, token = range []string{"first", "first", "second"} {
		if err := server.repeats.prepare(server); err != nil {
			t.Fatal(err)
		}
		request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(server.repeats.request)))
		if err != nil {
			t.Fatal(err)
		}
		if _, sent, _ = request.BasicAuth(); sent != token {
			t.Errorf("%q is sent, want %q", sent, token)
		}
	}
	token = ""
	if err := server.repeats.prepare(server); err == nil {
		t.Error("an empty token is sent")
	}
}

func TestRepeatedLookEndsWithItsContext(t *testing.T) {
	for _, cut := range []string{"HTTP/1.1 200 OK\r\n", "HTTP/1.1 503 ", ""} {
		s := serveScript(t, rawAnswer(firstTip, ""), rawAnswer(firstTip, ""), cut)
		p := NewPoller(Remote{URL: s.url, Branch: "main"})
		defer p.Close()
		for range 2 {
			if _, err := p.Tip(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := p.Tip(ctx); err == nil || time.Since(began) > repeatTime/2 {
			t.Errorf("after %q it ended after %v with %v", cut, time.Since(began), err)
		}
	}
}

// What a server that is out of order sends besides its refusal is not waited for.
func TestRefusedRepeatedLookReadsNoBody(t *testing.T) {
	const busy = "HTTP/1.1 503 Busy\r\nContent-Length: 1000000000\r\n\r\n"
	s := serveScript(t, rawAnswer(firstTip, ""), busy)
	p := NewPoller(Remote{URL: s.url, Branch: "main"})
	defer p.Close()
	if _, err := p.Tip(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := p.Tip(t.Context()); err == nil || !strings.Contains(err.Error(), "503 Busy") || time.Since(began) > repeatTime/2 {
		t.Errorf("after %v it gave %v", time.Since(began), err)
	}
	if got := s.counts(); got != [3]int{2, 1, 2} {
		t.Errorf("questions, greetings and connections were %v", got)
	}
}

func TestRepeatedLookReadsNoHeaderWithoutEnd(t *testing.T) {
	r := &repeater{}
	server := serverOf(t, Remote{URL: "http://git.example.test/r.git", Branch: "main"})
	if err := r.prepare(server); err != nil {
		t.Fatal(err)
	}
	flood := &endless{text: "X: y\r\n"}
	r.conn = spoken{text: io.MultiReader(strings.NewReader("HTTP/1.1 200 OK\r\n"), flood)}
	got, err := r.exchange()
	if err == nil {
		_, err = r.read(got, server)
	}
	if err == nil || flood.read > 2*maxRefAnswer {
		t.Errorf("of headers without end %d bytes were read: %v", flood.read, err)
	}
}

// endless says the same for ever.
type endless struct {
	text string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[(e.read+i)%len(e.text)]
	}
	e.read += len(p)
	return len(p), nil
}

// What comes between two looks is no answer to the next one.
func TestConnectionOnWhichSomethingCameIsReadable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := quietly(&net.Dialer{})(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what string
		do   func() error
		want bool
	}{
		{"nothing", func() error { return nil }, false},
		{"two bytes, of which one was read", func() error {
			_, err := io.WriteString(server, "ab")
			return errors.Join(err, readOne(conn))
		}, true},
		{"both were read", func() error { return readOne(conn) }, false},
		{"the end", func() error {
			err := server.Close()
			if end := readOne(conn); end != io.EOF {
				err = errors.Join(err, fmt.Errorf("no end: %v", end))
			}
			return err
		}, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []net.Conn{conn, tls.Client(conn, &tls.Config{})} {
			if got := isReadable(c); got != step.want {
				t.Errorf("%s: isReadable is %t for a %T", step.what, got, c)
			}
		}
	}
}

func readOne(conn net.Conn) error {
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

// spoken is a connection on which a server has said something and closed it.
type spoken struct {
	net.Conn
	text io.Reader
}

func (s spoken) Read(p []byte) (int, error)  { return s.text.Read(p) }
func (s spoken) Write(p []byte) (int, error) { return len(p), nil }
func (s spoken) SetDeadline(time.Time) error { return nil }
func (s spoken) Close() error                { return nil }

// Whatever a server answers first and next: the short way says what a parser says of the
// second answer alone, or nothing.
func TestRepeaterSaysWhatAParserSays(t *testing.T) {
	server := serverOf(t, Remote{URL: "http://git.example.test/r.git", Branch: "main"})
	say := func(r *repeater, text string) (tip, error) {
		r.conn = spoken{text: strings.NewReader(text)}
		got, err := r.exchange()
		if err != nil {
			return tip{}, err
		}
		return r.read(got, server)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	parsed, short := 0, 0
	for i := range 20000 {
		first := []string{rawAnswer(firstTip, dated(i)), chunked(firstTip, i), rawAnswer(firstTip, "")}[i%3]
		second := []byte([]string{rawAnswer(firstTip, dated(i+1)), chunked(firstTip, i+1), rawAnswer(firstTip, "")}[i%3])
		for range random.IntN(3) {
			at := random.IntN(len(second))
			switch random.IntN(4) {
			case 0:
				second[at] = byte(random.IntN(256))
			case 1:
				second = append(second[:at], second[min(at+random.IntN(9), len(second)):]...)
			case 2:
				second = append(second[:at:at], append([]byte("\r\n0a1f")[:random.IntN(7)], second[at:]...)...)
			case 3:
				second[at] ^= 1
			}
			if len(second) == 0 {
				break
			}
		}
		var r, alone repeater
		for _, each := range []*repeater{&r, &alone} {
			if err := each.prepare(server); err != nil {
				t.Fatal(err)
			}
		}
		if seen, err := say(&r, first); err != nil || seen.commit.String() != firstTip {
			t.Fatalf("the first answer says %v, %v", seen, err)
		}
		before := r.answer
		got, err := say(&r, string(second))
		want, wantErr := say(&alone, string(second))
		if err == nil && len(before) > 0 && len(r.answer) > 0 && &before[0] == &r.answer[0] {
			short++
		}
		if (err == nil) != (wantErr == nil) || got != want {
			t.Fatalf("seed %d, answer %d: after %q the answer %q says %v, %v; alone it says %v, %v", seed, i, first, second, got, err, want, wantErr)
		}
		if err == nil {
			parsed++
		}
	}
	if short == 0 || parsed == short {
		t.Errorf("of 20000 answers %d were good, and %d of them not parsed", parsed, short)
	}
}
