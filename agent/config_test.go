package agent

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/plan"
)

// loadText loads a configuration in which DIR stands for a directory that holds
// the files "secret" (0600), "open" (0644) and others, and "folder".
func loadText(t *testing.T, text string) (c Config, dir string, problems string) {
	t.Helper()
	dir = t.TempDir()
	const signer = "ada@example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINNwMHM8lLcve+HMdKmjaanRnkdOE0Sm3ZUxkjv5LTgg\n"
	for name, file := range map[string]struct {
		content string
		mode    os.FileMode
	}{
		"secret": {"not to be guessed at all\n", 0o600}, "open": {"x\n", 0o644}, "signers": {signer, 0o644}, "none": {"", 0o644},
		"broken": {"ada ssh-ed25519 AAAA\n\nada cert-authority ssh-ed25519 AAAA\n", 0o644}, "short": {"guess me\n", 0o600},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(file.content), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "DIR/", dir+"/")), 0o640); err != nil {
		t.Fatal(err)
	}
	c, err := LoadConfig(file)
	if err != nil {
		problems = strings.ReplaceAll(err.Error(), dir+"/", "")
	}
	return c, dir, problems
}

func TestLoadConfigDefaults(t *testing.T) {
	c, _, problems := loadText(t, "repo: https://git.example.com/hosts.git\nhost: web-1\nauth:\n#  username: x\n")
	if problems != "" {
		t.Fatal(problems)
	}
	c.File = ""
	want := Config{
		Repo: "https://git.example.com/hosts.git", Branch: "main", Path: ".", Interval: time.Minute, Host: "web-1",
		AllowRoots: []string{"/etc", "/usr/local", "/opt", "/srv"}, Probation: 10 * time.Second, DriftInterval: 10 * time.Minute,
		Guard:  GuardConfig{Deadline: 2 * time.Minute},
		Listen: "127.0.0.1:9973", LogFormat: "text", StateDir: "/var/lib/evenkeel", CacheDir: "/var/cache/evenkeel/git",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestLoadConfigReadsEveryKey(t *testing.T) {
	c, dir, problems := loadText(t, `
repo: ssh://git@git.example.com/hosts.git
branch: prod
path: sites/a/
interval: 5m
host: web-1.example.com
labels: {env: prod, rack: 7}
auth:
  username: u
  password_file: DIR/secret
  ssh_key_file: DIR/secret
  known_hosts_file: DIR/open
  ca_file: DIR/open
allow_roots: [/etc, /var/www/]
deny: [/etc/hosts]
identities: [/etc/ssh/ssh_host_ed25519_key, "credential:identity"]
allow_denied: [/etc/sudoers.d/ops, /srv/*/.ssh/]
allow_rewritten: true
probation: 1m30s
windows:
  zone: Europe/Berlin
  allow: [{days: [sat-sun], from: "22:00", to: "04:00"}]
drift_interval: 1h
guard:
  deadline: 30s
  checks: [{tcp: "10.0.0.1:22", interval: 5s}]
listen: off
log_format: json
state_dir: /s
cache_dir: /c
`)
	if problems != "" {
		t.Fatal(problems)
	}
	want := Config{
		Repo: "ssh://git@git.example.com/hosts.git", Branch: "prod", Path: "sites/a", Interval: 5 * time.Minute, Host: "web-1.example.com",
		Labels: map[string]string{"env": "prod", "rack": "7"},
		Auth: Auth{Username: "u", PasswordFile: dir + "/secret", SSHKeyFile: dir + "/secret",
			KnownHostsFile: dir + "/open", CAFile: dir + "/open"},
		AllowRoots: []string{"/etc", "/var/www"}, Deny: []string{"/etc/hosts"},
		AllowDenied: []string{"/etc/sudoers.d/ops", "/srv/*/.ssh"}, AllowRewritten: true,
		Identities: []string{"/etc/ssh/ssh_host_ed25519_key", "credential:identity"},
		Probation:  90 * time.Second, DriftInterval: time.Hour, Listen: "",
		Windows: &plan.Windows{Zone: "Europe/Berlin", Allow: []plan.Window{{Days: []time.Weekday{time.Saturday, time.Sunday}, From: 22 * 60, To: 4 * 60}}},
		Guard: GuardConfig{Deadline: 30 * time.Second,
			Checks: []plan.Check{{TCP: "10.0.0.1:22", Interval: 5 * time.Second, Timeout: 5 * time.Second, Successes: 1, Failures: 3}}},
		LogFormat: "json", StateDir: "/s", CacheDir: "/c", File: dir + "/config.yaml",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestLoadConfigReadsWhomToTrust(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	c, dir, problems := loadText(t, `
repo: https://git.example.com/hosts.git
host: web-1
tag: production
auth: {bearer_file: DIR/secret, client_cert_file: DIR/open, client_key_file: DIR/secret}
mirrors:
  - repo: http://mirror.example.com/hosts.git
    auth: {token_file: DIR/secret, plain_http: true}
  - repo: /srv/hosts.git
trust: {signatures: ssh, verify: tag, allowed_signers_file: DIR/signers, revoked_keys_file: DIR/none,
  minimum_commit: 0123456789abcdef0123456789abcdef01234567}
stale: {contact: 1h, head: 720h}
webhook: {listen: "0.0.0.0:9974", secret_file: DIR/secret}
`)
	if problems != "" {
		t.Fatal(problems)
	}
	secret := dir + "/secret"
	want := defaultConfig()
	want.Repo, want.Host, want.Branch, want.Tag, want.File = "https://git.example.com/hosts.git", "web-1", "", "production", dir+"/config.yaml"
	want.Auth = Auth{BearerFile: secret, ClientCertFile: dir + "/open", ClientKeyFile: secret}
	want.Mirrors = []Mirror{{"http://mirror.example.com/hosts.git", Auth{TokenFile: secret, PlainHTTP: true}}, {Repo: "/srv/hosts.git"}}
	want.Trust = Trust{Signatures: "ssh", Verify: "tag", AllowedSignersFile: dir + "/signers", RevokedKeysFile: dir + "/none",
		MinimumCommit: "0123456789abcdef0123456789abcdef01234567"}
	want.Stale, want.Webhook = Stale{time.Hour, 720 * time.Hour}, Webhook{"0.0.0.0:9974", secret}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	_, _, problems = loadText(t, "repo: https://h/r\nhost: a\nauth: {token_file: \"credential:git\"}\n")
	if want := "config.yaml:3: auth.token_file: cannot use the file: stat /run/credentials/evenkeel.service/git: no such file or directory"; problems != want {
		t.Errorf("got  %s\nwant %s", problems, want)
	}
}

func TestLoadConfigProblems(t *testing.T) {
	const repo = "repo: https://h/r\nhost: a\n" // two lines that are right
	for _, row := range []struct{ what, text, want string }{
		{"an empty file says what to write", "host: a\n",
			`config.yaml: no repository is set: write a line such as "repo: https://git.example.com/ops/hosts.git"`},
		{"an empty value counts as missing", "host: a\nrepo:\n",
			`config.yaml:2: no repository is set: write a line such as "repo: https://git.example.com/ops/hosts.git"`},
		{"a branch and a tag", repo + "branch: a\ntag: b\n", "config.yaml:4: more than one of branch, tag and commit is set: keep one"},
		{"a short commit", repo + "commit: abc123\n", `config.yaml:3: commit "abc123" is no commit: write all 40 digits`},
		{"a secret over plain http", "repo: http://h/r\nhost: a\nauth:\n  token_file: DIR/secret\n",
			"config.yaml:4: token_file would go over plain http, where anybody on the way can read it: use https, or say plain_http: true"},
		{"a mirror without an address, and one twice", repo + "mirrors:\n  - auth: {username: x}\n  - repo: https://h/r\n",
			"config.yaml:4: mirrors[0] has no repo:\nconfig.yaml:5: mirrors[1]: the same repository is there twice"},
		{"signatures without signers", repo + "trust: {signatures: ssh}\n", "config.yaml:3: signatures: ssh needs an allowed_signers_file, and no keyring_file"},
		{"signers without signatures", repo + "trust: {verify: all}\n", "config.yaml:3: verify does nothing without signatures: openpgp or ssh"},
		{"a tag that is verified and not followed", repo + "trust:\n  signatures: ssh\n  verify: tag\n  allowed_signers_file: DIR/signers\n",
			"config.yaml:5: verify: tag needs a tag: to follow"},
		{"broken allowed signers each with its line", repo + "trust: {signatures: ssh, allowed_signers_file: DIR/broken}\n",
			"config.yaml:3: line 1 of the allowed signers: its key cannot be read; line 3 of the allowed signers: cert-authority is not supported; list each signer's own key"},
		{"a keyring that is none", repo + "trust: {signatures: openpgp, keyring_file: DIR/open}\n",
			"config.yaml:3: the OpenPGP keyring cannot be read: openpgp: invalid data: tag byte does not have MSB set"},
		{"a webhook without a secret", repo + "webhook: {listen: \":9974\"}\n", "config.yaml:3: webhook needs a secret_file: without a secret anybody could ask"},
		{"a webhook with a secret that can be guessed", repo + "webhook: {listen: \":9974\", secret_file: DIR/short}\n",
			"config.yaml:3: secret_file: the secret must have at least 16 characters"},
		{"a misspelt key names the right one", repo + "intervall: 60s\n",
			`config.yaml:3: unknown key "intervall"; did you mean "interval"?`},
		{"a misspelt key of a mapping", repo + "auth:\n  user: u\n  tokenfile: /x\n",
			"config.yaml:4: unknown key \"user\" under \"auth\"\n" +
				`config.yaml:5: unknown key "tokenfile" under "auth"; did you mean "token_file"?`},
		{"a key that is like no other", repo + "frobnicate: 1\n", `config.yaml:3: unknown key "frobnicate"`},
		{"a key twice", repo + "branch: a\nbranch: b\n", `config.yaml:4: key "branch" is there twice: also in line 3`},
		{"a duration without a unit", repo + "interval: 60\n",
			"config.yaml:3: interval 60 has no unit: write 60s, or 60m"},
		{"a duration that is none", repo + "interval: soon\n",
			`config.yaml:3: interval "soon" is no duration: write a number with a unit, such as 30s, 5m or 1h`},
		{"an interval that floods", repo + "interval: 10ms\n", "config.yaml:3: interval 10ms is too short: the shortest is 1s"},
		{"all problems at once, in order of lines", "repo: ftp://h/r\nhost: a\nlog_format: xml\nlisten: 9973\nallow_rewritten: perhaps\n",
			"config.yaml:1: repo \"ftp://h/r\" must be an https, http or ssh URL, or an absolute path\n" +
				"config.yaml:3: log_format \"xml\" is unknown: write text or json\n" +
				"config.yaml:4: listen \"9973\" is no address: write host:port, or off\n" +
				`config.yaml:5: allow_rewritten must be true or false, not "perhaps"`},
		{"a password in the URL is not repeated", "repo: https://u:hunter2@h/r\nhost: a\n",
			"config.yaml:1: repo must not carry a user or password: use auth: username and password_file, or token_file"},
		{"a broken URL with a password is not repeated", "repo: \"https://u:hunter2@h:x/r\"\nhost: a\n",
			"config.yaml:1: repo is no URL and no absolute path"},
		{"ssh needs a key and known hosts", "repo: git@h:hosts.git\nhost: a\n",
			"config.yaml:1: an ssh repository needs auth: known_hosts_file; make one with \"ssh-keyscan HOST\" and compare the fingerprint\n" +
				"config.yaml:1: an ssh repository needs auth: ssh_key_file"},
		{"a secret that everybody can read", repo + "auth:\n  token_file: DIR/open\n",
			`config.yaml:4: auth.token_file: everybody on this host can use "open" (mode 0644): run "chmod 0600 open"`},
		{"a secret that is not there", repo + "auth:\n  token_file: DIR/gone\n",
			"config.yaml:4: auth.token_file: cannot use the file: stat gone: no such file or directory"},
		{"a secret that is a directory", repo + "auth: {token_file: DIR/folder}\n",
			`config.yaml:3: auth.token_file: "folder" is no regular file`},
		{"two secrets", repo + "auth: {username: u, token_file: DIR/secret, password_file: DIR/secret}\n",
			"config.yaml:3: password_file and token_file are both set: keep one"},
		{"a path out of the repository", repo + "path: ../x\n",
			`config.yaml:3: path "../x" must be a directory inside the repository, such as hosts/prod`},
		{"a branch that is an option", repo + "branch: --upload-pack\n",
			`config.yaml:3: branch "--upload-pack" is no branch name: write it as in "git branch", such as main`},
		{"a relative root", repo + "allow_roots: [etc]\n", `config.yaml:3: allow_roots: "etc" must be an absolute path`},
		{"a relative identity", repo + "identities: [id.txt]\n", `config.yaml:3: identities: "id.txt" must be an absolute path, or credential:NAME`},
		{"a credential that is a path", repo + "identities: [\"credential:../x\"]\n",
			`config.yaml:3: identities: "credential:../x" names no credential: write credential:NAME, with the NAME of LoadCredential=`},
		{"a text where a list belongs", repo + "deny: /etc/hosts\n", "config.yaml:3: deny must be a list, such as [/etc, /opt]"},
		{"a pattern that matches nothing", repo + "deny: [/etc/**x]\nallow_denied: ['/etc/[', etc/apt]\n",
			"config.yaml:3: deny: cannot deny \"/etc/**x\": not a clean, absolute pattern\n" +
				"config.yaml:4: allow_denied: \"etc/apt\" must be an absolute path\n" +
				`config.yaml:4: allow_denied: cannot allow "/etc/[": not a clean, absolute pattern`},
		{"what no host can allow", repo + "allow_denied: [/proc/sys/x, /etc/evenkeel, /etc/apt]\n",
			"config.yaml:3: allow_denied: cannot allow \"/etc/evenkeel\": it is evenkeel's own: no commit changes it\n" +
				`config.yaml:3: allow_denied: cannot allow "/proc/sys/x": it belongs to the kernel or to the running system`},
		{"a list where labels belong", repo + "labels: [a]\n", "config.yaml:3: labels must be keys and values, such as {env: prod}"},
		{"a host name that cannot be a file name", "repo: /srv/r\nhost: a/b\n",
			`config.yaml:2: host name "a/b" does not do: write "host: NAME" with letters, digits, dots and dashes`},
		{"a guard with faults", repo + "guard:\n  deadline: 2h\n  checks:\n    - {http: localhost}\n    - {tcp: 'a:1', user: app}\n",
			"config.yaml:4: guard.deadline 2h0m0s is out of range: write 1s to 1h\n" +
				"config.yaml:6: http: is not a URL of http or https (such as http://127.0.0.1:8080/healthz)\n" +
				"config.yaml:7: user: is only for a check of kind exec"},
		{"windows with faults, all at once", repo + "intervall: 1s\nwindows:\n  zone: Mars\n  allow:\n    - {days: [mo], from: \"22:00\"}\n  denied: []\n",
			"config.yaml:3: unknown key \"intervall\"; did you mean \"interval\"?\n" +
				"config.yaml:5: zone: \"Mars\" is no time zone (write an IANA name such as Europe/Berlin, or leave it away for UTC)\n" +
				"config.yaml:7: \"mo\" is no day of the week (such as mon, or mon-fri)\n" +
				"config.yaml:7: a window has from: and to: (write both, or none of them for the whole day)\n" +
				"config.yaml:8: unknown key \"denied\" in windows: (known here: zone, allow, deny)"},
		{"windows that are never open", repo + "windows: {deny: [{days: [mon-sun]}]}\n",
			"config.yaml:3: windows: never open: deny: takes all that there is (a pause is the way to keep commits off for a time)"},
		{"cache and state in one place", repo + "state_dir: /x\ncache_dir: /x/\n",
			`config.yaml:4: cache_dir and state_dir are both "/x": the cache may be deleted at any time, the state may not`},
		{"a list as the whole file", "- repo\n", "config.yaml: no repository is set: write a line such as \"repo: https://git.example.com/ops/hosts.git\"\n" +
			"config.yaml:1: expected keys and values"},
		{"no YAML at all", "repo: [\n", `cannot read the configuration "config.yaml": yaml: line 1: did not find expected node content`},
	} {
		t.Run(row.what, func(t *testing.T) {
			_, dir, got := loadText(t, row.text)
			if got = strings.ReplaceAll(got, dir, ""); got != row.want {
				t.Errorf("\n got: %s\nwant: %s", got, row.want)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("the password is in the message")
			}
		})
	}
}

func TestLoadConfigMissing(t *testing.T) {
	_, err := LoadConfig("/nonexistent/config.yaml")
	if want := "cannot read the configuration: open /nonexistent/config.yaml: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestUsesSSH(t *testing.T) {
	for repo, want := range map[string]bool{
		"ssh://git@h/r": true, "git@h:r.git": true, "h:r.git": true,
		"https://h/r": false, "http://h:80/r": false, "/srv/r:x": false,
	} {
		if got := usesSSH(repo); got != want {
			t.Errorf("%q: got %v, want %v", repo, got, want)
		}
	}
}

// commented finds the keys of the sample that wait for somebody to uncomment them.
var commented = regexp.MustCompile(`(?m)^#(\w+:|  \w+: )`)

func TestSampleConfigShowsEveryKeyAndLoads(t *testing.T) {
	sample, err := os.ReadFile("../packaging/etc/evenkeel/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile("../docs/evenkeel.8.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range (&Config{}).keys() {
		key := k.Name
		for _, below := range k.below {
			if !strings.Contains(string(manual), "**"+below.Name+"**") {
				t.Errorf("docs/evenkeel.8.md does not describe the key %q of %q", below.Name, key)
			}
		}
		if !strings.Contains(string(manual), "**"+key+"**") {
			t.Errorf("docs/evenkeel.8.md does not describe the key %q", key)
		}
		// Whoever moves these must change the units too.
		if key == "state_dir" || key == "cache_dir" {
			continue
		}
		if !regexp.MustCompile(`(?m)^#?` + key + `:`).Match(sample) {
			t.Errorf("the sample configuration does not show the key %q", key)
		}
	}

	_, _, problems := loadText(t, string(sample)+"host: a\n")
	if !regexp.MustCompile(`^config.yaml:\d+: no repository is set[^\n]*$`).MatchString(problems) {
		t.Errorf("as it is installed the sample must ask for a repository and nothing else, got: %s", problems)
	}
	full := commented.ReplaceAllString(string(sample), "$1")
	full = strings.Replace(full, "allowed_signers_file: /etc/evenkeel/allowed_signers", "allowed_signers_file: DIR/signers", 1)
	full = strings.Replace(full, "revoked_keys_file: /etc/evenkeel/revoked_keys", "revoked_keys_file: DIR/none", 1)
	full = regexp.MustCompile(`/etc/evenkeel/[\w-]+(\.\w+)?`).ReplaceAllString(full, "DIR/secret")
	full = strings.Replace(full, "repo:\n", "repo: /srv/hosts.git\n", 1)
	// Of those that exclude each other, one.
	full = regexp.MustCompile(`(?m)^(  token_file|  bearer_file|  keyring_file|tag|commit):.*\n`).ReplaceAllString(full, "")
	c, _, problems := loadText(t, full)
	if problems != "" {
		t.Fatalf("the sample with everything uncommented: %s", problems)
	}
	want := defaultConfig()
	if c.Interval != want.Interval || c.Listen != want.Listen || c.Probation != want.Probation || c.Branch != want.Branch ||
		c.Path != want.Path || c.LogFormat != want.LogFormat || !reflect.DeepEqual(c.AllowRoots, want.AllowRoots) {
		t.Errorf("the sample shows other values than the defaults: %+v", c)
	}
}

func TestPolicyLeavesOutEvenkeelsOwnFiles(t *testing.T) {
	c := Config{
		StateDir: "/srv/state", CacheDir: "/srv/cache", File: "/srv/config.yaml", AllowRoots: []string{"/srv"},
		Auth:    Auth{TokenFile: "/srv/token", CAFile: "/srv/ca.pem"},
		Mirrors: []Mirror{{Auth: Auth{ClientKeyFile: "/srv/mirror"}}},
		Trust:   Trust{AllowedSignersFile: "/srv/signers"},
		Webhook: Webhook{SecretFile: "/srv/hook"},
	}
	want := []string{"/srv/state", "/srv/cache", "/srv/token", "/srv/ca.pem", "/srv/config.yaml", "/srv/hook", "/srv/signers", "/srv/mirror", DefaultIdentityFile}
	if got := c.policy(); !slices.Equal(got.Own, want) || !slices.Equal(got.AllowRoots, c.AllowRoots) {
		t.Errorf("got %+v", got)
	}
}
