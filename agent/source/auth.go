package source

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// Auth names the files that hold credentials. They are read at each use, so a
// rotated token is taken up without a restart.
type Auth struct {
	Username       string `json:"username,omitempty"`         // for http and ssh; the URL's own user name wins
	PasswordFile   string `json:"password_file,omitempty"`    // http basic auth with Username
	TokenFile      string `json:"token_file,omitempty"`       // http basic auth with a token as password; Username may stay empty
	BearerFile     string `json:"bearer_file,omitempty"`      // http bearer token
	SSHKeyFile     string `json:"ssh_key_file,omitempty"`     // private key without a passphrase
	KnownHostsFile string `json:"known_hosts_file,omitempty"` // needed for ssh
	CAFile         string `json:"ca_file,omitempty"`          // PEM, in addition to the system's own certificates
	ClientCertFile string `json:"client_cert_file,omitempty"` // PEM, shown to an https server
	ClientKeyFile  string `json:"client_key_file,omitempty"`  // PEM
	PlainHTTP      bool   `json:"plain_http,omitempty"`       // credentials may go over http, where anybody on the way reads them

	// Open opens one of the files; nil means os.Open. A process that may not open
	// them itself is given descriptors.
	Open func(path string) (io.ReadCloser, error) `json:"-"`
}

// Files lists the files that are named, sorted.
func (a Auth) Files() []string {
	list := slices.DeleteFunc([]string{
		a.PasswordFile, a.TokenFile, a.BearerFile, a.SSHKeyFile, a.KnownHostsFile, a.CAFile, a.ClientCertFile, a.ClientKeyFile,
	}, func(file string) bool { return file == "" })
	slices.Sort(list)
	return slices.Compact(list)
}

// maxCredential bounds a credential file, so that a wrong path cannot fill the memory.
const maxCredential = 64 << 10

// read gives the content of a file that an Auth names.
func (a Auth) read(what, path string, max int64) ([]byte, error) {
	open := a.Open
	if open == nil {
		open = func(path string) (io.ReadCloser, error) { return os.Open(path) }
	}
	f, err := open(path)
	if err != nil {
		return nil, fail(AuthFailed, "%s: %v", what, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, fail(AuthFailed, "%s: %v", what, err)
	}
	if int64(len(content)) > max {
		return nil, fail(AuthFailed, "%s: %q is longer than %d bytes", what, path, max)
	}
	return content, nil
}

// tokenUser is sent with a token when no user name is set. GitHub asks for this
// one in front of installation tokens; GitLab, Gitea and Azure take any.
const tokenUser = "x-access-token"

// credentials are what was read from the files of an Auth.
type credentials struct {
	user   string
	secret string
	bearer bool
}

// credentials reads the password or token for http.
func (r Remote) credentials(user string) (credentials, error) {
	a := r.Auth
	set := slices.DeleteFunc([]string{a.PasswordFile, a.TokenFile, a.BearerFile}, func(f string) bool { return f == "" })
	switch {
	case len(set) > 1:
		return credentials{}, fail(AuthFailed, "more than one of password file, token file and bearer file is set; keep one")
	case a.BearerFile != "":
		secret, err := a.secret("bearer file", a.BearerFile)
		return credentials{secret: secret, bearer: true}, err
	case a.TokenFile != "":
		secret, err := a.secret("token file", a.TokenFile)
		if user == "" {
			user = tokenUser
		}
		return credentials{user: user, secret: secret}, err
	case a.PasswordFile != "":
		if user == "" {
			return credentials{}, fail(AuthFailed, "a password file is set but no username")
		}
		secret, err := a.secret("password file", a.PasswordFile)
		return credentials{user: user, secret: secret}, err
	}
	return credentials{}, nil
}

// secret reads a file of one line.
func (a Auth) secret(what, path string) (string, error) {
	content, err := a.read(what, path, maxCredential)
	if err != nil {
		return "", err
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

// put adds the credentials to a request, if the way there is safe for them.
func (c credentials) put(request *http.Request, plainHTTP bool) error {
	switch {
	case c.secret == "":
		return nil
	case request.URL.Scheme == "http" && !plainHTTP:
		return fail(AuthFailed, "credentials are not sent over plain http, where anybody on the way can read them; use https, or say plain_http: true under auth in the host's config")
	case c.bearer:
		request.Header.Set("Authorization", "Bearer "+c.secret)
	default:
		request.SetBasicAuth(c.user, c.secret)
	}
	return nil
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
		fmt.Sprintf("%q", c.secret),
	} {
		text = strings.ReplaceAll(text, form, "[redacted]")
		// What others say is cut, and the cut may go through it.
		for n := min(len(form)-1, len(text)); n >= leastShown; n-- {
			text = strings.ReplaceAll(text, form[:n]+cutOff, "[redacted]"+cutOff)
		}
	}
	return text
}

// leastShown is how many letters of a secret are none yet.
const leastShown = 4

// tlsConfig says whom we trust, and who we are when there is a certificate for
// that. Both are read when a client is made; a failure of either makes a new one.
func (a Auth) tlsConfig() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if conf.RootCAs, err = a.trustedRoots(); err != nil {
		return nil, err
	}
	switch {
	case a.ClientCertFile == "" && a.ClientKeyFile == "":
		return conf, nil
	case a.ClientCertFile == "" || a.ClientKeyFile == "":
		return nil, fail(AuthFailed, "client_cert_file and client_key_file belong together")
	}
	cert, err := a.read("client certificate", a.ClientCertFile, maxCredential)
	if err != nil {
		return nil, err
	}
	key, err := a.read("client key", a.ClientKeyFile, maxCredential)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fail(AuthFailed, "client certificate %q and key %q do not fit together, or are not PEM", a.ClientCertFile, a.ClientKeyFile)
	}
	if leaf := pair.Leaf; leaf != nil && time.Now().After(leaf.NotAfter) {
		return nil, fail(AuthFailed, "client certificate %q has expired at %s", a.ClientCertFile, leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	conf.Certificates = []tls.Certificate{pair}
	return conf, nil
}

// trustedRoots is nil, which means the system's, or the system's and one more file.
func (a Auth) trustedRoots() (*x509.CertPool, error) {
	if a.CAFile == "" {
		return nil, nil
	}
	pem, err := a.read("CA file", a.CAFile, maxSystemRoots)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fail(AuthFailed, "CA file %q holds no certificate", a.CAFile)
	}
	return pool, nil
}

// maxSystemRoots has room for all the certificates of a system in one file.
const maxSystemRoots = 4 << 20
