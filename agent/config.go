package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// DefaultConfigFile is where the package installs the host's own configuration.
const DefaultConfigFile = "/etc/evenkeel/config.yaml"

// Config is what this host says about itself and about what a repository may
// do here. It is never read from Git. A Config that LoadConfig returned is
// valid; nothing in it is secret, only the names of files that are.
type Config struct {
	Repo           string            // URL or absolute path; carries no password
	Branch         string            // the branch that is followed
	Tag            string            // a tag in place of the branch
	Commit         string            // one commit in place of both
	Mirrors        []Mirror          // other places that have the same commits
	Path           string            // directory in the repository that holds fleet.yaml; "." is its root
	Interval       time.Duration     // between two looks at the repository
	Host           string            // name of this host in the fleet
	Labels         map[string]string // what fleet.yaml may match besides the name
	Auth           Auth
	AllowRoots     []string      // directories in which a commit may own paths
	Deny           []string      // paths in them that it may not own, besides the built-in list
	AllowDenied    []string      // paths on the built-in list that it may own after all
	Identities     []string      // files with this host's age identities, or credential:NAME; nil: DefaultIdentityFile, if it is there
	AllowRewritten bool          // follow a branch that was force-pushed
	Trust          Trust         // whose commits count
	Stale          Stale         // when silence is an alarm
	Webhook        Webhook       // who may ask for a look now
	DriftInterval  time.Duration // between two looks at the whole host for what was changed by hand
	Probation      time.Duration // how long a commit must stay healthy before it is good
	Windows        *plan.Windows // when a commit may begin; nil: what the repository says
	Guard          GuardConfig   // what must still be reached after an apply
	Listen         string        // address of /metrics, "" when there is none
	LogFormat      string        // "text" or "json"
	StateDir       string        // ledger, blobs, originals; 0700
	CacheDir       string        // clones; deleting it is always safe
	File           string        // where this was read from
}

// policy is what a repository may ask of this host. Its own files are left out of
// it wherever they are: no commit can change who is followed, or what is recorded.
func (c Config) policy() manifest.Options {
	own := []string{c.StateDir, c.CacheDir}
	files := append(c.Auth.files(), c.File, c.Webhook.SecretFile, c.Trust.KeyringFile, c.Trust.AllowedSignersFile, c.Trust.RevokedKeysFile)
	for _, m := range c.Mirrors {
		files = append(files, m.Auth.files()...)
	}
	for _, file := range append(files, c.identityFiles()...) {
		if file != "" {
			own = append(own, file)
		}
	}
	return manifest.Options{AllowRoots: c.AllowRoots, Deny: c.Deny, AllowDenied: c.AllowDenied, Own: own}
}

// minInterval keeps a typing error from turning a fleet into a flood.
const minInterval = time.Second

func defaultConfig() Config {
	host, _ := os.Hostname() // an empty name is a problem below, with what to write
	return Config{
		Branch:        "main",
		Path:          ".",
		Interval:      time.Minute,
		Host:          host,
		AllowRoots:    []string{"/etc", "/usr/local", "/opt", "/srv"},
		Probation:     10 * time.Second,
		DriftInterval: 10 * time.Minute,
		Guard:         GuardConfig{Deadline: 2 * time.Minute},
		Listen:        "127.0.0.1:9973",
		LogFormat:     "text",
		StateDir:      "/var/lib/evenkeel",
		CacheDir:      "/var/cache/evenkeel/git",
	}
}

// LoadConfig reads and checks the host's configuration. The error names every
// problem, each on a line of its own with file and line.
func LoadConfig(file string) (Config, error) {
	return readConfig(&configReader{file: file, lines: map[string]int{}})
}

// LoadLocalConfig is LoadConfig for what this host says about itself: it may name
// no repository yet, or not be there.
func LoadLocalConfig(file string) (Config, error) {
	c, err := readConfig(&configReader{file: file, lines: map[string]int{}, local: true})
	if errors.Is(err, fs.ErrNotExist) {
		return defaultConfig(), nil
	}
	return c, err
}

func readConfig(r *configReader) (Config, error) {
	file := r.file
	content, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("cannot read the configuration: %w", err)
	}
	c := defaultConfig()
	c.File = file
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
	c.checkFollowed(r)
	c.checkRepos(r)
	c.Trust.check(r, c.Tag)
	c.Stale.check(r)
	c.Webhook.check(r)
	c.checkHost(r)
	c.checkPaths(r)
	c.checkIdentities(r)
	if c.Interval < minInterval {
		r.problem("interval", "interval %s is too short: the shortest is %s", c.Interval, minInterval)
	}
	if c.DriftInterval < time.Second || c.DriftInterval > 24*time.Hour {
		r.problem("drift_interval", "drift_interval %s is out of range: write 1s to 24h", c.DriftInterval)
	}
	if c.Probation < 0 || c.Probation > time.Hour {
		r.problem("probation", "probation %s is out of range: write 0s to 1h", c.Probation)
	}
	if c.Guard.Deadline < time.Second || c.Guard.Deadline > time.Hour {
		r.problem("guard.deadline", "guard.deadline %s is out of range: write 1s to 1h", c.Guard.Deadline)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		r.problem("log_format", "log_format %q is unknown: write text or json", c.LogFormat)
	}
	if c.Listen == "off" {
		c.Listen = ""
	}
	if c.Listen != "" {
		r.address("listen", "listen", c.Listen)
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
