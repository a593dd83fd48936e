package agent

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/manifest"
	"evenkeel/agent/source"
)

// Auth names the files that open a repository. They are read at each fetch, so
// a rotated secret needs no reload.
type Auth struct {
	Username       string // for password_file; token_file uses it too where a forge wants one
	PasswordFile   string
	TokenFile      string
	BearerFile     string
	SSHKeyFile     string
	KnownHostsFile string
	CAFile         string
	ClientCertFile string
	ClientKeyFile  string
	PlainHTTP      bool // credentials may go over http
}

// Mirror is another place that has the same commits. It has credentials of its
// own: those of one server are never shown to another.
type Mirror struct {
	Repo string
	Auth Auth
}

func (a *Auth) keys() []configKey {
	return []configKey{
		text("username", &a.Username, "For password_file."),
		file("password_file", &a.PasswordFile, "A file with the password."),
		file("token_file", &a.TokenFile, "A file with a token, which is sent as a password."),
		file("bearer_file", &a.BearerFile, "A file with a token, which is sent as a bearer token."),
		file("ssh_key_file", &a.SSHKeyFile, "A private key for ssh."),
		file("known_hosts_file", &a.KnownHostsFile, "The keys of the ssh server, or of an authority for them."),
		file("ca_file", &a.CAFile, "The certificates to trust for https."),
		file("client_cert_file", &a.ClientCertFile, "This host's own certificate for https."),
		file("client_key_file", &a.ClientKeyFile, "Its key."),
		yesno("plain_http", &a.PlainHTTP, "Secrets may go over plain http, where anybody on the way can read them. Default: false."),
	}
}

// maxMirrors bounds how many servers are asked in one look.
const maxMirrors = 8

func (m *Mirror) keys() []configKey {
	return []configKey{
		text("repo", &m.Repo, "As repo."),
		group("auth", "As auth.", m.Auth.keys()...),
	}
}

func mirrors(name string, to *[]Mirror, about string) configKey {
	form := manifest.List(manifest.Mapping(forms((&Mirror{}).keys())).OrNothing())
	form["maxItems"] = maxMirrors
	return named(name, about, form, func(r *configReader, key string, n *yaml.Node) {
		if n.Kind != yaml.SequenceNode || len(n.Content) > maxMirrors {
			r.problemAt(n, "%s must be a list of at most %d, each with a repo: and, where it is needed, an auth:", key, maxMirrors)
			return
		}
		list := make([]Mirror, len(n.Content))
		for i, item := range n.Content {
			r.lines[mirrorKey(i)] = item.Line
			r.mapping(mirrorKey(i), item, list[i].keys())
		}
		*to = list
	})
}

func mirrorKey(i int) string { return fmt.Sprintf("mirrors[%d]", i) }

// file is text that names a file, or one of systemd's credentials: those are
// found by any verb, not only by the daemon that systemd started.
func file(name string, to *string, about string) configKey {
	return named(name, about, manifest.Text(), func(r *configReader, key string, n *yaml.Node) {
		r.scalar(key, n, to)
		if name, is := strings.CutPrefix(*to, credentialPrefix); is {
			*to = credentialFile(name)
		}
	})
}

// scpLike is user@host:path, the short form of an ssh URL.
var scpLike = regexp.MustCompile(`^([^@/:]+@)?[^@/:]+:[^/].*`)

// badInRef is what Git itself does not take in the name of a branch or tag.
var badInRef = regexp.MustCompile(`^[-/]|\.\.|[\x00-\x20~^:?*\[\\\x7f]|//|@\{|[/.]$|\.lock$|^refs/`)

// commitHash is a commit's full name.
var commitHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// checkFollowed checks what of the repository is followed.
func (c *Config) checkFollowed(r *configReader) {
	set := 0
	for _, key := range []string{"branch", "tag", "commit"} {
		if r.lines[key] > 0 {
			set++
		}
	}
	if set > 1 {
		r.problem("tag", "more than one of branch, tag and commit is set: keep one")
	}
	if c.Tag != "" || c.Commit != "" {
		c.Branch = ""
	} else if c.Branch == "" || badInRef.MatchString(c.Branch) {
		r.problem("branch", "branch %q is no branch name: write it as in \"git branch\", such as main", c.Branch)
	}
	if c.Tag != "" && badInRef.MatchString(c.Tag) {
		r.problem("tag", "tag %q is no tag name: write it as in \"git tag\", such as v1.4", c.Tag)
	}
	if c.Commit != "" && !commitHash.MatchString(c.Commit) {
		r.problem("commit", "commit %q is no commit: write all 40 digits", c.Commit)
	}
	if c.Path == "" {
		c.Path = "."
	}
	if c.Path = path.Clean(c.Path); !fs.ValidPath(c.Path) {
		r.problem("path", "path %q must be a directory inside the repository, such as hosts/prod", c.Path)
	}
}

func (c *Config) checkRepos(r *configReader) {
	switch {
	case c.Repo != "":
		checkRepo(r, "repo", c.Repo)
	case !r.local:
		r.problem("repo", "no repository is set: write a line such as \"repo: https://git.example.com/ops/hosts.git\"")
	}
	c.Auth.check(r, "", c.Repo)
	seen := []string{c.Repo}
	for i, m := range c.Mirrors {
		prefix := mirrorKey(i)
		switch {
		case m.Repo == "":
			r.problem(prefix, "%s has no repo:", prefix)
		case slices.Contains(seen, m.Repo):
			r.problem(prefix+".repo", "%s: the same repository is there twice", prefix)
		default:
			checkRepo(r, prefix+".repo", m.Repo)
		}
		m.Auth.check(r, prefix+".", m.Repo)
		seen = append(seen, m.Repo)
	}
}

func checkRepo(r *configReader, key, repo string) {
	if path.IsAbs(repo) || scpLike.MatchString(repo) && !strings.Contains(repo, "://") {
		return
	}
	u, err := url.Parse(repo)
	switch {
	// url.Error quotes the whole text, password and all, so it is not shown.
	case err != nil:
		r.problem(key, "repo is no URL and no absolute path")
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ssh":
		r.problem(key, "repo %q must be an https, http or ssh URL, or an absolute path", u.Redacted())
	case u.Host == "":
		r.problem(key, "repo %q names no host", u.Redacted())
	case u.Scheme != "ssh" && u.User != nil:
		r.problem(key, "repo must not carry a user or password: use auth: username and password_file, or token_file")
	case u.User != nil && hasPassword(u):
		r.problem(key, "repo must not carry a password: use auth: ssh_key_file")
	}
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has
}

// usesSSH reports whether a repository is reached over ssh.
func usesSSH(repo string) bool {
	return strings.HasPrefix(repo, "ssh://") ||
		!path.IsAbs(repo) && !strings.Contains(repo, "://") && scpLike.MatchString(repo)
}

// check checks the credentials for a repository; prefix is "" or that of a mirror.
func (a Auth) check(r *configReader, prefix, repo string) {
	key := func(name string) string { return prefix + "auth." + name }
	secrets := map[string]string{"password_file": a.PasswordFile, "token_file": a.TokenFile, "bearer_file": a.BearerFile}
	var set []string
	for _, name := range []string{"password_file", "token_file", "bearer_file"} {
		if secrets[name] != "" {
			set = append(set, name)
		}
	}
	if len(set) > 1 {
		r.problem(key(set[1]), "%s are both set: keep one", strings.Join(set[:2], " and "))
	}
	if a.PasswordFile != "" && a.Username == "" {
		r.problem(key("password_file"), "password_file needs a username beside it")
	}
	if len(set) > 0 && strings.HasPrefix(repo, "http://") && !a.PlainHTTP {
		r.problem(key(set[0]), "%s would go over plain http, where anybody on the way can read it: use https, or say plain_http: true", set[0])
	}
	if (a.ClientCertFile == "") != (a.ClientKeyFile == "") {
		r.problem(prefix+"auth", "client_cert_file and client_key_file belong together")
	}
	if usesSSH(repo) {
		where := prefix + "repo"
		if a.SSHKeyFile == "" {
			r.problem(where, "an ssh repository needs auth: ssh_key_file")
		}
		if a.KnownHostsFile == "" {
			r.problem(where, "an ssh repository needs auth: known_hosts_file; make one with \"ssh-keyscan HOST\" and compare the fingerprint")
		}
	}
	secrets["ssh_key_file"], secrets["client_key_file"] = a.SSHKeyFile, a.ClientKeyFile
	for name, file := range secrets {
		r.readableFile(key(name), file, true)
	}
	for name, file := range map[string]string{"known_hosts_file": a.KnownHostsFile, "ca_file": a.CAFile, "client_cert_file": a.ClientCertFile} {
		r.readableFile(key(name), file, false)
	}
}

// remotes are the places to look at, in order.
func (c Config) remotes() []source.Remote {
	list := []source.Remote{c.remote(c.Repo, c.Auth)}
	for _, m := range c.Mirrors {
		list = append(list, c.remote(m.Repo, m.Auth))
	}
	return list
}

func (c Config) remote(repo string, a Auth) source.Remote {
	return source.Remote{URL: repo, Branch: c.Branch, Tag: c.Tag, Commit: c.Commit, Auth: source.Auth{
		Username: a.Username, PasswordFile: a.PasswordFile, TokenFile: a.TokenFile, BearerFile: a.BearerFile,
		SSHKeyFile: a.SSHKeyFile, KnownHostsFile: a.KnownHostsFile, CAFile: a.CAFile,
		ClientCertFile: a.ClientCertFile, ClientKeyFile: a.ClientKeyFile, PlainHTTP: a.PlainHTTP,
	}}
}

// followed names what is followed, for people.
func (c Config) followed() string {
	switch {
	case c.Commit != "":
		return "commit " + c.Commit
	case c.Tag != "":
		return "tag " + c.Tag
	}
	return "branch " + c.Branch
}

// files are all that an Auth names, "" for what it does not name.
func (a Auth) files() []string {
	return []string{
		a.PasswordFile, a.TokenFile, a.BearerFile, a.SSHKeyFile, a.KnownHostsFile, a.CAFile, a.ClientCertFile, a.ClientKeyFile,
	}
}
