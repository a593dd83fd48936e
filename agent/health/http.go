package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

const (
	redirects   = 3       // that one try follows, all on the host it began with
	bodyLimit   = 4 << 10 // bytes of a failing answer that are read
	headerLimit = 64 << 10
)

// probeHTTP passes when a GET is answered with 2xx. It has a connection of its
// own and no proxy: the question is whether the service answers, from here, now.
func probeHTTP(ctx context.Context, address string) error {
	transport := &http.Transport{
		DialContext:            dialer().DialContext,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: headerLimit,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: stayOnHost}

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return withoutURL(err)
	}
	request.Header.Set("User-Agent", "evenkeel")
	answer, err := client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 200 && answer.StatusCode <= 299 {
		return nil
	}
	// What came before a broken or slow end of the body is evidence enough.
	body, _ := io.ReadAll(io.LimitReader(answer.Body, bodyLimit))
	return fmt.Errorf("answered %q: %s", answer.Status, body)
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
