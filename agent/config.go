package agent

import (
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/manifest"
)

// DefaultConfigFile is where the package installs the host's own configuration.
const DefaultConfigFile = "/etc/evenkeel/config.yaml"

// Config is what this host says about itself and about what a repository may
// do here. It is never read from Git. A Config that LoadConfig returned is
// valid; nothing in it is secret, only the names of files that are.
type Config struct {
	Repo           string            // URL or absolute path; carries no password
	Branch         string            // the branch that is followed
	Path           string            // directory in the repository that holds fleet.yaml; "." is its root
	Interval       time.Duration     // between two looks at the repository
	Host           string            // name of this host in the fleet
	Labels         map[string]string // what fleet.yaml may match besides the name
	Auth           Auth
	AllowRoots     []string      // directories in which a commit may own paths
	Deny           []string      // paths in them that it may not own, besides the built-in list
	Identities     []string      // files with this host's age identities, or credential:NAME; nil: DefaultIdentityFile, if it is there
	AllowDenied    []string      // paths on the built-in list that it may own after all
	AllowRewritten bool          // follow a branch that was force-pushed
	Probation      time.Duration // how long a commit must stay healthy before it is good
	Listen         string        // address of /metrics, "" when there is none
	LogFormat      string        // "text" or "json"
	StateDir       string        // ledger, blobs, originals; 0700
	CacheDir       string        // clones; deleting it is always safe
	File           string        // where this was read from
}

// Auth names the files that open the repository. They are read at each fetch,
// so a rotated secret needs no reload.
type Auth struct {
	Username       string // for password_file; token_file uses it too where a forge wants one
	PasswordFile   string
	TokenFile      string
	SSHKeyFile     string
	KnownHostsFile string
	CAFile         string
}

// policy is what a repository may ask of this host. Its own files are left out of
// it wherever they are: no commit can change who is followed, or what is recorded.
func (c Config) policy() manifest.Options {
	own := []string{c.StateDir, c.CacheDir}
	for _, file := range []string{c.File, c.Auth.PasswordFile, c.Auth.TokenFile, c.Auth.SSHKeyFile, c.Auth.KnownHostsFile, c.Auth.CAFile} {
		if file != "" {
			own = append(own, file)
		}
	}
	own = append(own, c.identityFiles()...)
	return manifest.Options{AllowRoots: c.AllowRoots, Deny: c.Deny, AllowDenied: c.AllowDenied, Own: own}
}

// minInterval keeps a typing error from turning a fleet into a flood.
const minInterval = time.Second

func defaultConfig() Config {
	host, _ := os.Hostname() // an empty name is a problem below, with what to write
	return Config{
		Branch:     "main",
		Path:       ".",
		Interval:   time.Minute,
		Host:       host,
		AllowRoots: []string{"/etc", "/usr/local", "/opt", "/srv"},
		Probation:  10 * time.Second,
		Listen:     "127.0.0.1:9973",
		LogFormat:  "text",
		StateDir:   "/var/lib/evenkeel",
		CacheDir:   "/var/cache/evenkeel/git",
	}
}

// LoadConfig reads and checks the host's configuration. The error names every
// problem, each on a line of its own with file and line.
func LoadConfig(file string) (Config, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("cannot read the configuration: %w", err)
	}
	c := defaultConfig()
	c.File = file
	r := &configReader{file: file, lines: map[string]int{}}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return Config{}, fmt.Errorf("cannot read the configuration %q: %v", file, err)
	}
	if len(doc.Content) > 0 {
		r.mapping("", doc.Content[0], c.keys())
	}
	c.check(r)
	if err := r.err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func (c *Config) check(r *configReader) {
	c.checkRepo(r)
	c.checkAuth(r)
	c.checkHost(r)
	c.checkPaths(r)
	c.checkIdentities(r)
	if c.Interval < minInterval {
		r.problem("interval", "interval %s is too short: the shortest is %s", c.Interval, minInterval)
	}
	if c.Probation < 0 || c.Probation > time.Hour {
		r.problem("probation", "probation %s is out of range: write 0s to 1h", c.Probation)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		r.problem("log_format", "log_format %q is unknown: write text or json", c.LogFormat)
	}
	if c.Listen == "off" {
		c.Listen = ""
	}
	if _, _, err := net.SplitHostPort(c.Listen); c.Listen != "" && err != nil {
		r.problem("listen", "listen %q is no address: write host:port, or off", c.Listen)
	}
}

// scpLike is user@host:path, the short form of an ssh URL.
var scpLike = regexp.MustCompile(`^([^@/:]+@)?[^@/:]+:[^/].*`)

// badInBranch is what Git itself does not take in a branch name.
var badInBranch = regexp.MustCompile(`^[-/]|\.\.|[\x00-\x20~^:?*\[\\\x7f]|//|@\{|[/.]$|\.lock$|^refs/`)

func (c *Config) checkRepo(r *configReader) {
	if c.Branch == "" || badInBranch.MatchString(c.Branch) {
		r.problem("branch", "branch %q is no branch name: write it as in \"git branch\", such as main", c.Branch)
	}
	if c.Path == "" {
		c.Path = "."
	}
	if c.Path = path.Clean(c.Path); !fs.ValidPath(c.Path) {
		r.problem("path", "path %q must be a directory inside the repository, such as hosts/prod", c.Path)
	}
	switch {
	case c.Repo == "":
		r.problem("repo", "no repository is set: write a line such as \"repo: https://git.example.com/ops/hosts.git\"")
		return
	case path.IsAbs(c.Repo), scpLike.MatchString(c.Repo) && !strings.Contains(c.Repo, "://"):
		return
	}
	u, err := url.Parse(c.Repo)
	switch {
	// url.Error quotes the whole text, password and all, so it is not shown.
	case err != nil:
		r.problem("repo", "repo is no URL and no absolute path")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ssh":
		r.problem("repo", "repo %q must be an https, http or ssh URL, or an absolute path", u.Redacted())
	case u.Host == "":
		r.problem("repo", "repo %q names no host", u.Redacted())
	case u.Scheme != "ssh" && u.User != nil:
		r.problem("repo", "repo must not carry a user or password: use auth: username and password_file, or token_file")
	case u.User != nil && hasPassword(u):
		r.problem("repo", "repo must not carry a password: use auth: ssh_key_file")
	}
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has
}

// UsesSSH reports whether the repository is reached over ssh.
func (c Config) UsesSSH() bool {
	return strings.HasPrefix(c.Repo, "ssh://") ||
		!path.IsAbs(c.Repo) && !strings.Contains(c.Repo, "://") && scpLike.MatchString(c.Repo)
}

func (c *Config) checkAuth(r *configReader) {
	a := c.Auth
	if a.PasswordFile != "" && a.TokenFile != "" {
		r.problem("auth.token_file", "password_file and token_file are both set: keep one")
	}
	if a.PasswordFile != "" && a.Username == "" {
		r.problem("auth.password_file", "password_file needs a username beside it")
	}
	if c.UsesSSH() {
		if a.SSHKeyFile == "" {
			r.problem("repo", "an ssh repository needs auth: ssh_key_file")
		}
		if a.KnownHostsFile == "" {
			r.problem("repo", "an ssh repository needs auth: known_hosts_file; make one with \"ssh-keyscan HOST\" and compare the fingerprint")
		}
	}
	for key, file := range map[string]string{"password_file": a.PasswordFile, "token_file": a.TokenFile, "ssh_key_file": a.SSHKeyFile} {
		r.readableFile("auth."+key, file, true)
	}
	for key, file := range map[string]string{"known_hosts_file": a.KnownHostsFile, "ca_file": a.CAFile} {
		r.readableFile("auth."+key, file, false)
	}
}

// nameOfHost is what fleet.yaml's globs and the file name hosts/NAME.yaml can carry.
var nameOfHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

func (c *Config) checkHost(r *configReader) {
	if !nameOfHost.MatchString(c.Host) || strings.Contains(c.Host, "..") || len(c.Host) > 253 {
		r.problem("host", "host name %q does not do: write \"host: NAME\" with letters, digits, dots and dashes", c.Host)
	}
	for name := range c.Labels {
		if name == "" {
			r.problem("labels", "a label has no name")
		}
	}
}

func (c *Config) checkPaths(r *configReader) {
	for _, dir := range []struct {
		key  string
		path *string
	}{{"state_dir", &c.StateDir}, {"cache_dir", &c.CacheDir}} {
		*dir.path = r.absolute(dir.key, *dir.path)
	}
	if c.StateDir == c.CacheDir {
		r.problem("cache_dir", "cache_dir and state_dir are both %q: the cache may be deleted at any time, the state may not", c.CacheDir)
	}
	for i, root := range c.AllowRoots {
		c.AllowRoots[i] = r.absolute("allow_roots", root)
	}
	for i, denied := range c.Deny {
		c.Deny[i] = r.pattern("deny", denied, func(p string) manifest.Options { return manifest.Options{Deny: []string{p}} })
	}
	for i, allowed := range c.AllowDenied {
		c.AllowDenied[i] = r.pattern("allow_denied", allowed, func(p string) manifest.Options { return manifest.Options{AllowDenied: []string{p}} })
	}
}
