package source

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"time"
)

// A proxy is named by the environment of the process, as for every other program:
// HTTPS_PROXY, HTTP_PROXY and NO_PROXY, or the same in small letters. Its address may
// hold a name and a password, so nothing here repeats it. What goes over ssh goes
// directly.
var proxyVariables = map[string][]string{"https": {"HTTPS_PROXY", "https_proxy"}, "http": {"HTTP_PROXY", "http_proxy"}}

// proxyFor gives the proxy for a request, nil for none. Of an address that it cannot
// read net/http says nothing, and goes directly.
func proxyFor(request *http.Request) (*url.URL, error) {
	for _, name := range proxyVariables[request.URL.Scheme] {
		address := os.Getenv(name)
		if address == "" {
			continue
		}
		if _, err := parseProxy(address); err != nil { // which repeats the address
			return nil, fail(Unreachable, "%s in the environment is not the address of a proxy", name)
		}
		break
	}
	return http.ProxyFromEnvironment(request)
}

// parseProxy reads an address as net/http does, for which the scheme may be missing.
func parseProxy(address string) (*url.URL, error) {
	proxy, err := url.Parse(address)
	if err != nil || proxy.Scheme == "" || proxy.Host == "" {
		proxy, err = url.Parse("http://" + address)
	}
	return proxy, err
}

// checkProxy reads what a proxy answers that was asked for a way to an https server.
func checkProxy(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	return proxyRefusal(answer)
}

func proxyRefusal(answer *http.Response) error {
	status := printable(answer.Status, 60)
	switch code := answer.StatusCode; {
	case code == http.StatusProxyAuthRequired:
		return fail(AuthFailed, "the proxy says %s: it does not accept the name and password in its address, or wants some", status)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return fail(AuthFailed, "the proxy says %s", status)
	}
	wait := retryAfter(answer.Header.Get("Retry-After"), time.Now())
	return &Error{Reason: Unreachable, Text: "the proxy says " + status, RetryAfter: wait}
}

// scrubProxies takes the passwords of proxies out of a text, in which a proxy may
// have repeated them.
func scrubProxies(text string) string {
	for _, names := range proxyVariables {
		for _, name := range names {
			proxy, err := parseProxy(os.Getenv(name))
			if err != nil {
				continue // then nobody was told of it
			}
			secret, _ := proxy.User.Password()
			text = credentials{user: proxy.User.Username(), secret: secret}.scrub(text)
		}
	}
	return text
}
