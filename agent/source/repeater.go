package source

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"time"
)

// repeater asks an http server the same question again and again, on a connection of its
// own, with a request that is made once. An answer that has the bytes of the one before but
// for the date says what that one said; only another one is parsed. So a look that finds
// nothing new runs little of the code that a client runs: a daemon that waits finds all of it
// cold, and pays for each line. What is not as expected is left to the client, which knows
// proxies, redirects and the words for what goes wrong. It is for one goroutine at a time.
type repeater struct {
	off     bool        // until the client is told what the server says
	misses  int         // times in a row that only the client was
	secrets credentials // in the request
	request []byte      // as it is sent, nil when there is none yet
	conn    net.Conn    // nil when there is none
	buffer  []byte      // what an answer is read into
	answer  []byte      // the last whole one, nil when there is none to compare with
	date    int         // where the date stands in it, 0 for nowhere
	seen    tip         // what it says
}

const (
	repeatTime  = 10 * time.Second // for all of it; the client has more patience
	maxRepeated = 4 << 10          // bytes of an answer that can be compared
	maxMisses   = 3                // then only the client asks, until it has greeted the server anew
)

var errNotDirect = errors.New("not reached directly")

// lsRefs is that of the server. Unless it is known what the server says, the client must ask.
func (r *repeater) lsRefs(ctx context.Context, s *httpServer) (seen tip, known bool, err error) {
	if r.off || r.misses >= maxMisses || r.prepare(s) != nil {
		return tip{}, false, nil
	}
	end := time.Now().Add(repeatTime)
	// What the server said unasked, or its goodbye, is no answer.
	if r.conn != nil && isReadable(r.conn) {
		r.hangUp()
	}
	for again := true; again; {
		again = r.conn != nil // the server may close it at this moment
		if r.conn == nil {
			if r.conn, err = s.dial(ctx, end); err != nil {
				r.conn = nil
				break
			}
		}
		answered := false
		if seen, answered, err = r.ask(ctx, s, end); err == nil {
			r.misses = 0
			return seen, true, nil
		}
		r.hangUp()
		again = again && !answered && time.Now().Before(end) && ctx.Err() == nil
	}
	var own *Error
	if errors.As(err, &own) && own.Reason != Garbage { // a refusal, in so many words
		return tip{}, true, err
	}
	r.off = true
	return tip{}, false, nil
}

// told says that the client was told what the repeater was not, so that it may try again.
func (r *repeater) told() { r.off, r.misses = false, min(r.misses+1, maxMisses) }

// ask is one question and its answer. Of what comes after an error nobody knows where it
// begins, so the connection must end then.
func (r *repeater) ask(ctx context.Context, s *httpServer, end time.Time) (seen tip, answered bool, err error) {
	conn := r.conn
	if err := conn.SetDeadline(end); err != nil {
		return tip{}, false, err
	}
	if ctx.Done() != nil {
		defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	}
	got, err := r.exchange()
	if err == nil {
		seen, err = r.read(got, s)
	}
	if err == nil && r.conn != nil {
		err = conn.SetDeadline(time.Time{}) // else it wakes somebody
	}
	return seen, len(got) > 0, err
}

// prepare makes the request, if there is none with the credentials of now.
func (r *repeater) prepare(s *httpServer) error {
	secrets, err := s.remote.credentials(s.user)
	if err != nil || r.request != nil && secrets == r.secrets {
		return err
	}
	request, err := s.request(context.Background(), http.MethodPost, "/git-upload-pack", lsRefs(s.remote.ref()), true)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := request.Write(&text); err != nil {
		return err
	}
	r.secrets, r.request, r.buffer = secrets, text.Bytes(), make([]byte, maxRepeated)
	return nil
}

// exchange sends the request and reads the answer as far as it is the one before, or its
// first bytes.
func (r *repeater) exchange() (got []byte, err error) {
	if _, err := r.conn.Write(r.request); err != nil {
		return nil, err
	}
	for n := 0; ; {
		some, err := r.conn.Read(r.buffer[n:])
		n += some
		got = r.buffer[:n]
		if some == 0 && err != nil { // what comes with bytes comes again
			return got, err
		}
		if n >= len(r.answer) || !r.begins(got) {
			return got, nil
		}
	}
}

// begins reports whether the last answer begins with these bytes, whatever the date.
func (r *repeater) begins(got []byte) bool {
	if len(got) > len(r.answer) {
		return false
	}
	want, from, to := r.answer[:len(got)], min(r.date, len(got)), min(r.date+len(http.TimeFormat), len(got))
	if r.date == 0 {
		return bytes.Equal(got, want)
	}
	return bytes.Equal(got[:from], want[:from]) && bytes.Equal(got[to:], want[to:]) && isText(got[from:to])
}

// read gives what an answer says of which the first bytes are here.
func (r *repeater) read(got []byte, s *httpServer) (tip, error) {
	if len(got) > 0 && len(got) == len(r.answer) && r.begins(got) {
		return r.seen, nil
	}
	r.answer = nil
	whole := bytes.NewBuffer(bytes.Clone(got))
	from := bufio.NewReader(io.MultiReader(bytes.NewReader(got), io.TeeReader(io.LimitReader(r.conn, maxRefAnswer), whole)))
	response, err := http.ReadResponse(from, nil)
	if err != nil {
		return tip{}, err
	}
	// The body is not closed: that would read it to its end, and only the connection ends here.
	if err := checkResponse(response, http.MethodPost); err != nil {
		return tip{}, err
	}
	seen, err := readLsRefs(response.Body, s.remote.ref())
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
	}
	switch {
	case err == nil && from.Buffered() > 0:
		return tip{}, fail(Garbage, "the server says more than it was asked for")
	case err != nil:
		return tip{}, err
	case response.Close:
		r.hangUp()
	case whole.Len() <= maxRepeated:
		r.remember(whole.Bytes(), seen)
	}
	return seen, nil
}

// remember makes an answer the one that the next is compared with.
func (r *repeater) remember(answer []byte, seen tip) {
	const before = "\r\nDate: "
	r.answer, r.seen, r.date = answer, seen, 0
	head, _, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	at := bytes.Index(head, []byte(before)) + len(before)
	if at > len(before) && at+len(http.TimeFormat) <= len(head) && isText(head[at:at+len(http.TimeFormat)]) {
		r.date = at
	}
}

// isText reports whether these bytes can be within a line.
func isText(some []byte) bool {
	return !slices.ContainsFunc(some, func(b byte) bool { return b < ' ' || b > '~' })
}

// isReadable reports whether something came on a connection on which nobody is asked
// anything, its end included.
func isReadable(conn net.Conn) bool {
	if secure, is := conn.(*tls.Conn); is {
		conn = secure.NetConn()
	}
	quiet, is := conn.(quietConn)
	return is && quiet.quiet.isReadable()
}

// hangUp ends the connection; the next look makes another.
func (r *repeater) hangUp() {
	if r.conn != nil {
		_ = r.conn.Close()
		r.conn = nil
	}
}

// forget makes the next look begin from nothing.
func (r *repeater) forget() {
	r.hangUp()
	*r = repeater{}
}

// dial connects to the server, as the client would if nothing stands in between.
func (s *httpServer) dial(ctx context.Context, end time.Time) (net.Conn, error) {
	proxy, err := proxyFor(&http.Request{URL: s.base})
	if err != nil || proxy != nil || s.base.User != nil || !isText([]byte(s.base.Hostname())) { // a name in other letters has another form
		return nil, errNotDirect
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	port := s.base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[s.base.Scheme]
	}
	s.transport.CloseIdleConnections() // this one is in their place
	conn, err := s.transport.DialContext(ctx, "tcp", net.JoinHostPort(s.base.Hostname(), port))
	if err != nil || s.base.Scheme != "https" {
		return conn, err
	}
	config := s.transport.TLSClientConfig.Clone()
	config.ServerName = s.base.Hostname()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}
