package agent

import (
	"go.yaml.in/yaml/v3"

	"evenkeel/agent/manifest"
)

// configKey is one key of the host's configuration: how it is read, and what an
// editor is told about it.
type configKey struct {
	manifest.Key
	read  func(r *configReader, key string, n *yaml.Node)
	below []configKey // the keys of the mapping behind it
}

// keys is the whole vocabulary of the file: a key here is a key that exists.
func (c *Config) keys() []configKey {
	return []configKey{
		text("repo", &c.Repo, "An https, http or ssh URL, or an absolute path. It must not carry a password."),
		text("branch", &c.Branch, "The branch to follow. Default: main."),
		text("tag", &c.Tag, "A tag to follow in place of a branch. Its name may be moved."),
		text("commit", &c.Commit, "One commit, by all 40 digits, in place of a branch."),
		mirrors("mirrors", &c.Mirrors, "Other places with the same commits, each with its own auth."),
		text("path", &c.Path, "The directory in the repository that holds fleet.yaml. Default: its root."),
		duration("interval", &c.Interval, "How often to look, such as 30s or 5m. Default: 1m."),
		text("host", &c.Host, "The name of this host in fleet.yaml. Default: its hostname."),
		texts("labels", &c.Labels, "Keys and values that fleet.yaml may match."),
		group("auth", "Files that open the repository, read at each fetch.", c.Auth.keys()...),
		list("allow_roots", &c.AllowRoots, "Directories in which a commit may own paths. Default: /etc, /usr/local, /opt, /srv."),
		list("deny", &c.Deny, "Paths in them that a commit may not own, besides the built-in list."),
		list("allow_denied", &c.AllowDenied, "Paths on the built-in list that a commit may own after all; never the kernel's, and never evenkeel's own."),
		list("identities", &c.Identities, "Files with the age identities of this host, or credential:NAME of its unit. Default: /etc/evenkeel/identity.txt, if it is there."),
		group("trust", "Whose commits this host takes.", c.Trust.keys()...),
		group("stale", "When silence is an alarm.", c.Stale.keys()...),
		group("webhook", "Where a forge may ask for a look now.", c.Webhook.keys()...),
		yesno("allow_rewritten", &c.AllowRewritten, "Follow a branch that was force-pushed. Default: false."),
		duration("drift_interval", &c.DriftInterval, "How often to look at the whole host for what was changed by hand; a change to a file is seen at once besides. Default: 10m."),
		duration("probation", &c.Probation, "How long a commit must stay healthy at least before it is good. Default: 10s."),
		windows("windows", &c.Windows, "When a new commit may begin on this host, whatever fleet.yaml says; {} is at any time."),
		group("guard", "What must still be reached after an apply.", c.Guard.keys()...),
		text("listen", &c.Listen, "The address of the Prometheus page /metrics, or off. Default: 127.0.0.1:9973."),
		oneOf("log_format", &c.LogFormat, "text or json. Default: text.", "text", "json"),
		text("state_dir", &c.StateDir, "Default: /var/lib/evenkeel."),
		text("cache_dir", &c.CacheDir, "Default: /var/cache/evenkeel/git."),
	}
}

// ConfigSchema is the JSON Schema of the file, for editors.
func ConfigSchema() []byte {
	return manifest.JSONSchema("/etc/evenkeel/config.yaml: what a host is, and what a repository may do on it",
		manifest.Mapping(forms((&Config{}).keys())).OrNothing())
}

func forms(keys []configKey) []manifest.Key {
	var out []manifest.Key
	for _, k := range keys {
		if k.below != nil {
			k.Value = manifest.Mapping(forms(k.below))
		}
		k.Value = k.Value.OrNothing() // a key with nothing behind it keeps the default
		out = append(out, k.Key)
	}
	return out
}

// named makes a key whose values have that form.
func named(name, about string, form manifest.Form, read func(r *configReader, key string, n *yaml.Node)) configKey {
	return configKey{Key: manifest.Key{Name: name, About: about, Value: form}, read: read}
}

func group(name, about string, below ...configKey) configKey {
	k := named(name, about, nil, func(r *configReader, key string, n *yaml.Node) { r.mapping(key, n, below) })
	k.below = below
	return k
}
