package manifest

import "evenkeel/agent/plan"

// Options is the host's own policy: what it lets a repository ask for. The zero
// value is the policy of a host without any config.
type Options struct {
	AllowRoots  []string // directories below which paths may be managed; none means DefaultRoots
	Deny        []string // patterns that are never managed, besides those in the code; * ? [a] and ** as in restart_on
	AllowDenied []string // patterns that may be managed although the code denies them; not the kernel's, and not evenkeel's own
	Own         []string // paths of evenkeel itself on this host, besides the packaged ones: never managed
	RequireHost bool     // the repository must name this host itself, not only match it by pattern or labels
	Limits      Limits
	DigestKey   plan.DigestKey // of the host, to the digests of contents

	// Decrypt opens what is encrypted in the repository; its errors say why it
	// cannot, and quote nothing. Without it stand-ins take the place of secrets, so
	// that a machine that has no keys can check everything else.
	Decrypt    func(sealed []byte) ([]byte, error) `json:"-"`
	Recipients []string                            // what Decrypt can open is encrypted to one of these, for hints
}

// Limits bounds what one commit may ask for. A zero field means its default.
type Limits struct {
	FileBytes  int64 // of one file, 8 MiB
	TotalBytes int64 // of all files together, 64 MiB
	Paths      int   // files, links and directories, 20,000
}

// DefaultRoots are the directories below which a repository may manage paths
// when the host's config names no others.
func DefaultRoots() []string { return []string{"/etc", "/usr/local", "/opt", "/srv"} }

func (o Options) withDefaults() Options {
	if len(o.AllowRoots) == 0 {
		o.AllowRoots = DefaultRoots()
	}
	if o.Limits.FileBytes == 0 {
		o.Limits.FileBytes = defaultFileBytes
	}
	if o.Limits.TotalBytes == 0 {
		o.Limits.TotalBytes = defaultTotalBytes
	}
	if o.Limits.Paths == 0 {
		o.Limits.Paths = defaultPaths
	}
	return o
}
