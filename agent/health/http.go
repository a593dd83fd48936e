package health

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"

	"evenkeel/agent/plan"
)

const (
	redirects   = 3        // that one try follows, all on the host it began with
	bodyLimit   = 64 << 10 // bytes of an answer that are read
	headerLimit = 64 << 10
	caLimit     = 1 << 20
)

// probeHTTP passes when a GET gets the wanted status and body. It has a connection
// of its own and no proxy: the question is whether the service answers, from
// here, now.
func probeHTTP(ctx context.Context, check plan.Check) error {
	transport, err := transportFor(check)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if len(check.Status) > 0 && check.Takes(next.Response.StatusCode) {
			return http.ErrUseLastResponse
		}
		return stayOnHost(next, before)
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, check.HTTP, nil)
	if err != nil {
		return withoutURL(err)
	}
	request.Header.Set("User-Agent", "evenkeel")
	for name, value := range check.Headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			request.Host = value
		} else {
			request.Header.Set(name, value)
		}
	}
	answer, err := client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer answer.Body.Close()
	return judgeAnswer(check, answer)
}

func judgeAnswer(check plan.Check, answer *http.Response) error {
	taken := check.Takes(answer.StatusCode)
	if taken && check.Body == "" {
		return nil
	}
	// What came before a broken or slow end of the body is evidence enough.
	body, _ := io.ReadAll(io.LimitReader(answer.Body, bodyLimit))
	if !taken {
		return fmt.Errorf("answered %q: %s", answer.Status, body)
	}
	want, err := regexp.Compile(check.Body)
	if err != nil {
		return fmt.Errorf("cannot compare the body: %v", err)
	}
	if !want.Match(body) {
		return fmt.Errorf("answered %q and nothing in it matches %q: %s", answer.Status, check.Body, body)
	}
	return nil
}

// transportFor makes the connection of one try.
func transportFor(check plan.Check) (*http.Transport, error) {
	transport := &http.Transport{
		DialContext:            dialer().DialContext,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: headerLimit,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: check.Insecure},
	}
	if check.Socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialUnix(ctx, check.Socket)
		}
	}
	for name, value := range check.Headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			// Whoever names a virtual host means its certificate, too.
			transport.TLSClientConfig.ServerName = hostOf(value)
		}
	}
	if check.CAFile == "" {
		return transport, nil
	}
	// Read at each try: a service that makes its own certificate makes it while it starts.
	pool, err := readCA(check.CAFile)
	transport.TLSClientConfig.RootCAs = pool
	return transport, err
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return strings.Trim(address, "[]")
}

func readCA(file string) (*x509.CertPool, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificates to trust: %v", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, caLimit))
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificates to trust: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("cannot read the certificates to trust: there is none in %q", file)
	}
	return pool, nil
}

func stayOnHost(next *http.Request, before []*http.Request) error {
	if next.URL.Hostname() != before[0].URL.Hostname() {
		return fmt.Errorf("redirected to another host, %q", next.URL.Hostname())
	}
	if len(before) > redirects {
		return fmt.Errorf("redirected more than %d times", redirects)
	}
	return nil
}

// withoutURL takes off the URL that package net/http puts before each error: the
// name of the check says it already, and its query may be nobody's business.
func withoutURL(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
