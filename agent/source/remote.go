package source

import (
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Remote is a branch, tag or commit of a repository and how to be let in.
type Remote struct {
	// URL is http://, https://, ssh://, user@host:path, file://, or a local
	// path. It may hold a user name but never a password.
	URL    string `json:"url"`
	Branch string `json:"branch"`           // short name: "main", not "refs/heads/main"
	Tag    string `json:"tag,omitempty"`    // a tag to follow in place of a branch; its name may move
	Commit string `json:"commit,omitempty"` // one commit, in place of both
	Auth   Auth   `json:"auth"`
}

// place is a Remote's URL taken apart.
type place struct {
	scheme string // "http", "https", "ssh", "local"
	url    *url.URL
	user   string
	host   string // ssh: host:port
	path   string // ssh and local
}

// place reads the URL. Its errors never repeat it, because it may hold a
// password in the wrong spot.
func (r Remote) place() (place, error) {
	switch {
	case r.URL == "":
		return place{}, fail(Unreachable, "no repository is configured")
	case r.Commit == "" && plumbing.ReferenceName(r.ref()).Validate() != nil:
		return place{}, fail(NoBranch, "%q is not the name of a branch or tag", printable(r.Branch+r.Tag, 100))
	case strings.Contains(r.URL, "://"):
		return r.placeOfURL()
	}
	host, path, found := strings.Cut(r.URL, ":")
	if found && !strings.Contains(host, "/") {
		user, name, hasUser := strings.Cut(host, "@")
		if !hasUser {
			user, name = "", host
		}
		return r.sshPlace(user, name, "", path)
	}
	return localPlace(r.URL)
}

func (r Remote) placeOfURL() (place, error) {
	parsed, err := url.Parse(r.URL)
	if err != nil {
		return place{}, fail(Unreachable, "the address is not a URL")
	}
	if _, has := parsed.User.Password(); has {
		return place{}, fail(AuthFailed, "the URL holds a password; put it in a file and name that as password_file or token_file")
	}
	user := parsed.User.Username()
	switch parsed.Scheme {
	case "http", "https":
		if parsed.Host == "" {
			return place{}, fail(Unreachable, "the URL has no host")
		}
		clean := *parsed
		clean.User, clean.RawQuery, clean.Fragment = nil, "", ""
		clean.Path = strings.TrimRight(clean.Path, "/")
		clean.RawPath = strings.TrimRight(clean.RawPath, "/")
		if user == "" {
			user = r.Auth.Username
		}
		return place{scheme: parsed.Scheme, url: &clean, user: user}, nil
	case "ssh", "git+ssh", "ssh+git":
		return r.sshPlace(user, parsed.Hostname(), parsed.Port(), parsed.Path)
	case "file":
		return localPlace(parsed.Path)
	}
	return place{}, fail(Unreachable, "the URL begins with %q; it must be http, https, ssh or file", printable(parsed.Scheme, 20))
}

func (r Remote) sshPlace(user, host, port, path string) (place, error) {
	if host == "" || path == "" {
		return place{}, fail(Unreachable, "the ssh address needs a host and a path")
	}
	if user == "" {
		user = r.Auth.Username
	}
	if user == "" {
		user = "git"
	}
	if port == "" {
		port = "22"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	// As git does: ssh://host/~user/repo means the home directory, without the slash.
	if strings.HasPrefix(path, "/~") {
		path = path[1:]
	}
	return place{scheme: "ssh", user: user, host: host + ":" + port, path: path}, nil
}

func localPlace(path string) (place, error) {
	if !filepath.IsAbs(path) {
		return place{}, fail(Unreachable, "a local repository must be given as an absolute path")
	}
	return place{scheme: "local", path: filepath.Clean(path)}, nil
}

// shown is the address as errors and status may show it: no user, no password.
func (r Remote) shown() string {
	p, err := r.place()
	switch {
	case err != nil:
		return "the repository"
	case p.scheme == "ssh":
		return "ssh://" + p.host + "/" + strings.TrimPrefix(p.path, "/")
	case p.scheme == "local":
		return p.path
	}
	return p.url.String()
}

func readFileMax(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > max {
		return nil, fail(Limit, "%q is longer than %d bytes", path, max)
	}
	return content, nil
}

// Local gives the path of a repository on this disk.
func (r Remote) Local() (path string, is bool) {
	at, err := r.place()
	return at.path, err == nil && at.scheme == "local"
}

// Shown is the address as status and metrics may show it: no user, no password.
func (r Remote) Shown() string { return r.shown() }
