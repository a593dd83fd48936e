package source

import (
	"encoding/base64"
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

// Auth names the files that hold credentials. They are read at each use, so a
// rotated token is taken up without a restart.
type Auth struct {
	Username       string `json:"username,omitempty"`         // for http and ssh; the URL's own user name wins
	PasswordFile   string `json:"password_file,omitempty"`    // http basic auth with Username
	TokenFile      string `json:"token_file,omitempty"`       // http basic auth with a token as password; Username may stay empty
	SSHKeyFile     string `json:"ssh_key_file,omitempty"`     // private key without a passphrase
	KnownHostsFile string `json:"known_hosts_file,omitempty"` // needed for ssh
	CAFile         string `json:"ca_file,omitempty"`          // PEM, in addition to the system's own certificates
}

// maxCredential bounds a credential file, so that a wrong path cannot fill the memory.
const maxCredential = 64 << 10

// tokenUser is sent with a token when no user name is set. GitHub asks for this
// one in front of installation tokens; GitLab, Gitea and Azure take any.
const tokenUser = "x-access-token"

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

// credentials are what was read from the files of an Auth.
type credentials struct {
	user   string
	secret string
}

// credentials reads the password or token for http.
func (r Remote) credentials(user string) (credentials, error) {
	a := r.Auth
	switch {
	case a.PasswordFile != "" && a.TokenFile != "":
		return credentials{}, fail(AuthFailed, "both a password file and a token file are set; keep one")
	case a.TokenFile != "":
		secret, err := readSecret("token file", a.TokenFile)
		if user == "" {
			user = tokenUser
		}
		return credentials{user, secret}, err
	case a.PasswordFile != "":
		if user == "" {
			return credentials{}, fail(AuthFailed, "a password file is set but no username")
		}
		secret, err := readSecret("password file", a.PasswordFile)
		return credentials{user, secret}, err
	}
	return credentials{}, nil
}

// scrub takes every form in which the secret travels out of a text.
func (c credentials) scrub(text string) string {
	if c.secret == "" {
		return text
	}
	for _, form := range []string{
		base64.StdEncoding.EncodeToString([]byte(c.user + ":" + c.secret)),
		c.secret,
		url.QueryEscape(c.secret),
		url.PathEscape(c.secret),
	} {
		text = strings.ReplaceAll(text, form, "[redacted]")
	}
	return text
}

func readSecret(what, path string) (string, error) {
	content, err := readFileMax(path, maxCredential)
	if err != nil {
		return "", fail(AuthFailed, "%s: %v", what, err)
	}
	secret := strings.TrimRight(string(content), "\r\n")
	if secret == "" {
		return "", fail(AuthFailed, "%s %q is empty", what, path)
	}
	if strings.ContainsAny(secret, "\r\n\x00") {
		return "", fail(AuthFailed, "%s %q has more than one line", what, path)
	}
	return secret, nil
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
