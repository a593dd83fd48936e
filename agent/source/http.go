package source

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxWire      = 64 << 20         // bytes that one answer may hold, a greeting or a pack
	maxRefAnswer = 1 << 20          // bytes that the answer to lsRefs may hold
	stallTime    = 30 * time.Second // a server that sends nothing for so long is given up
	beginTime    = 2 * time.Minute  // the same, for a server that has not begun with the pack
	dialTime     = 10 * time.Second
	maxRedirects = 5
)

// httpServer is a repository behind http or https, over one client whose
// connection stays open between polls.
type httpServer struct {
	remote    Remote
	user      string
	base      *url.URL // where the repository is, redirects of the greeting followed
	client    *http.Client
	transport *http.Transport // of the client
	repeats   repeater
	stall     time.Duration
	begin     time.Duration
	v2        bool // the server answers lsRefs at base
}

func newHTTPServer(remote Remote, at place) (*httpServer, error) {
	trust, err := remote.Auth.tlsConfig()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTime}
	transport := &http.Transport{
		Proxy:                  proxyFor,
		OnProxyConnectResponse: checkProxy,
		DialContext:            quietly(dialer),
		TLSClientConfig:        trust,
		TLSHandshakeTimeout:    dialTime,
		MaxIdleConns:           1,
		IdleConnTimeout:        10 * time.Minute,
	}
	return &httpServer{
		remote: remote, user: at.user, base: at.url, stall: stallTime, begin: beginTime,
		client: &http.Client{CheckRedirect: checkRedirect, Transport: transport}, transport: transport,
	}, nil
}

// checkRedirect lets only the greeting be redirected, and only on the same host:
// elsewhere is another server, which nobody has said may decide what runs here.
func checkRedirect(next *http.Request, before []*http.Request) error {
	from := before[0]
	if from.Method != http.MethodGet {
		return http.ErrUseLastResponse
	}
	if len(before) > maxRedirects {
		return fail(Garbage, "the server redirects more than %d times", maxRedirects)
	}
	upgrade := from.URL.Scheme == "http" && next.URL.Scheme == "https" &&
		from.URL.Port() == "" && next.URL.Port() == "" && from.URL.Hostname() == next.URL.Hostname()
	if !upgrade && (from.URL.Scheme != next.URL.Scheme || from.URL.Host != next.URL.Host) {
		return fail(AuthFailed, "the server redirects to %q; if that is right, configure that address",
			printable(next.URL.Scheme+"://"+next.URL.Host, 100))
	}
	return nil
}

// tip asks where the ref points. The first call asks for the greeting and learns
// whether the server speaks protocol v2; with v2 each later call is one small
// POST, whatever the number of refs.
func (s *httpServer) tip(ctx context.Context) (tip, error) {
	if s.v2 {
		seen, err := s.lsRefs(ctx)
		if err == nil {
			s.repeats.told()
		}
		if err == nil || reasonOf(err) != Garbage {
			return seen, err
		}
		s.v2 = false // moved, or replaced by an older server: greet it anew
	}
	s.repeats.forget()
	a, err := s.advert(ctx)
	s.v2 = err == nil && a.v2
	return a.tip, err
}

// again is tip where nothing more is needed than to ask once more; else it is not known.
func (s *httpServer) again(ctx context.Context) (seen tip, known bool, err error) {
	if !s.v2 {
		return tip{}, false, nil
	}
	seen, known, err = s.repeats.lsRefs(ctx, s)
	if known && err == nil {
		seen, err = s.remote.settle(seen)
	}
	return seen, known, err
}

func (s *httpServer) lsRefs(ctx context.Context) (tip, error) {
	answer, err := s.ask(ctx, http.MethodPost, "/git-upload-pack", lsRefs(s.remote.ref()), true, bounds{maxRefAnswer, s.stall})
	if err != nil {
		return tip{}, err
	}
	defer answer.Close()
	seen, err := readLsRefs(answer, s.remote.ref())
	if err == nil {
		// Read to the end, so that the connection can be used again.
		_, err = io.Copy(io.Discard, answer)
	}
	if err != nil {
		return tip{}, err
	}
	return s.remote.settle(seen)
}

// advert reads the greeting and, with protocol v2, asks for the ref.
func (s *httpServer) advert(ctx context.Context) (advert, error) {
	a, err := s.greet(ctx)
	switch {
	case err != nil:
		return a, err
	case a.v2:
		a.tip, err = s.lsRefs(ctx)
		return a, err
	}
	a.tip, err = s.remote.settle(a.tip)
	return a, err
}

func (s *httpServer) greet(ctx context.Context) (advert, error) {
	answer, err := s.ask(ctx, http.MethodGet, "/info/refs", "", true, bounds{maxWire, s.stall})
	if err != nil {
		return advert{}, err
	}
	defer answer.Close()
	a, err := readAdvert(answer, s.remote.ref())
	if err != nil {
		return a, err
	}
	if moved := *answer.from; strings.HasSuffix(moved.Path, "/info/refs") {
		moved.Path, moved.RawPath, moved.RawQuery = strings.TrimSuffix(moved.Path, "/info/refs"), "", ""
		s.base = &moved
	}
	_, err = io.Copy(io.Discard, answer)
	return a, err
}

// pack asks for objects.
func (s *httpServer) pack(ctx context.Context, request string, v2 bool) (packBody, error) {
	a, err := s.ask(ctx, http.MethodPost, "/git-upload-pack", request, v2, bounds{maxWire, s.begin})
	if err != nil {
		return nil, err
	}
	return &httpPack{a, s.stall}, nil
}

// httpPack is an answer that holds a pack.
type httpPack struct {
	*answer
	stall time.Duration // once the pack has begun
}

func (p *httpPack) begun() {
	p.answer.stall = p.stall
	p.timer.Reset(p.stall)
}

func (p *httpPack) cause() (known bool, err error) { return true, p.broken }

func (s *httpServer) close() {
	s.repeats.forget()
	s.client.CloseIdleConnections()
}

// bounds are those of one answer: its bytes, and the time without one.
type bounds struct {
	bytes int64
	stall time.Duration
}

// ask sends one request and gives the body of a good answer under its bounds.
func (s *httpServer) ask(ctx context.Context, method, path, body string, v2 bool, within bounds) (*answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &answer{left: within.bytes, cancel: cancel, stall: within.stall, ctx: ctx}
	a.timer = time.AfterFunc(a.stall, func() { cancel(errStalled) })
	request, err := s.request(ctx, method, path, body, v2)
	if err != nil {
		a.Close()
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		err = a.explain(err) // before Close, which ends the context as well
		a.Close()
		var own *Error
		if !errors.As(err, &own) && reasonOf(err) == Garbage { // no answer came at all
			err = fail(Unreachable, "%s", printable(err.Error(), 200))
		}
		return nil, err
	}
	a.body, a.from = response.Body, response.Request.URL
	if err := checkResponse(response, method); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (s *httpServer) request(ctx context.Context, method, path, body string, v2 bool) (*http.Request, error) {
	target := *s.base
	target.Path += path
	target.RawPath = ""
	if method == http.MethodGet {
		target.RawQuery = "service=git-upload-pack"
	}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), strings.NewReader(body))
	if err == nil {
		err = s.setHeaders(request, method, v2)
	}
	return request, err
}

func (s *httpServer) setHeaders(request *http.Request, method string, v2 bool) error {
	secrets, err := s.remote.credentials(s.user)
	if err != nil {
		return err
	}
	if err := secrets.put(request, s.remote.Auth.PlainHTTP); err != nil {
		return err
	}
	request.Header.Set("User-Agent", "git/2.0 (evenkeel)")
	request.Header.Set("Accept", "*/*")
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		request.Header.Set("Accept", "application/x-git-upload-pack-result")
	}
	if v2 {
		request.Header.Set("Git-Protocol", "version=2")
	}
	return nil
}

func checkResponse(response *http.Response, method string) error {
	status := printable(response.Status, 60)
	switch code := response.StatusCode; {
	case code == http.StatusProxyAuthRequired:
		return proxyRefusal(response)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fail(AuthFailed, "the server says %s", status)
	case code == http.StatusNotFound:
		return fail(Unreachable, "the server says %s: no such repository, or these credentials may not see it", status)
	case code == http.StatusTooManyRequests, code >= 500:
		return &Error{Reason: Unreachable, Text: "the server says " + status, RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now()), Answered: true}
	case code != http.StatusOK:
		return fail(Garbage, "the server says %s", status)
	}
	want := "application/x-git-upload-pack-advertisement"
	if method == http.MethodPost {
		want = "application/x-git-upload-pack-result"
	}
	if got := response.Header.Get("Content-Type"); got != want {
		return fail(Garbage, "the server does not speak Git: it answers with %q", printable(got, 60))
	}
	return nil
}

// maxRetryAfter bounds how long a server can send us away.
const maxRetryAfter = time.Hour

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(text string, now time.Time) time.Duration {
	wait := time.Duration(0)
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	} else if when, err := http.ParseTime(text); err == nil {
		wait = when.Sub(now)
	}
	return max(0, min(wait, maxRetryAfter))
}

// answer is the body of a response under its bounds.
type answer struct {
	body   io.ReadCloser
	from   *url.URL
	left   int64
	stall  time.Duration
	timer  *time.Timer
	ctx    context.Context
	cancel context.CancelCauseFunc
	broken error // the first failure of the network, which explains what the reader above says
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	a.timer.Reset(a.stall)
	a.left -= int64(n)
	switch {
	case a.left < 0:
		n, err = 0, tooLarge() // no bytes: io.ReadFull forgets an error that comes with enough of them
	case err != nil && err != io.EOF:
		err = a.explain(err)
	default:
		return n, err
	}
	a.broken = err
	return n, err
}

func tooLarge() error {
	return fail(Limit, "the server's answer is larger than %d MiB", maxWire>>20)
}

// explain prefers the reason why a context ended to "context canceled", and
// leaves out the URL that net/http puts in front.
func (a *answer) explain(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if cause := context.Cause(a.ctx); cause != nil {
		return cause
	}
	return err
}

func (a *answer) Close() error {
	a.timer.Stop()
	if a.body != nil {
		a.body.Close()
	}
	a.cancel(nil)
	return nil
}
