package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultIdentityFile is where "evenkeel secret keygen" puts this host's own
// identity, and where it is looked for when the configuration names none.
const DefaultIdentityFile = "/etc/evenkeel/identity.txt"

const (
	credentialPrefix = "credential:"
	maxIdentityFile  = 1 << 20
	maxIdentities    = 16 // files that one host may name
)

// identityFiles are the files that hold this host's identities. Credentials of
// the service are also found from a shell, where systemd has not said where
// they are.
func (c Config) identityFiles() []string {
	if c.Identities == nil {
		return []string{DefaultIdentityFile}
	}
	var files []string
	for _, where := range c.Identities {
		if name, is := strings.CutPrefix(where, credentialPrefix); is {
			where = credentialFile(name)
		}
		files = append(files, where)
	}
	return files
}

// credentialFile is where systemd puts a credential of the service.
func credentialFile(name string) string {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		dir = "/run/credentials/evenkeel.service"
	}
	return path.Join(dir, name)
}

func (c *Config) checkIdentities(r *configReader) {
	const key = "identities"
	if len(c.Identities) > maxIdentities {
		r.problem(key, "%s: more than %d", key, maxIdentities)
	}
	for _, where := range c.Identities {
		name, credential := strings.CutPrefix(where, credentialPrefix)
		switch {
		case !credential:
			if !path.IsAbs(where) {
				r.problem(key, "%s: %q must be an absolute path, or credential:NAME", key, where)
			}
		case name == "" || strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, "."):
			r.problem(key, "%s: %q names no credential: write credential:NAME, with the NAME of LoadCredential=", key, where)
		}
	}
}

// Keys is what may be said about this host's identities: what others encrypt to,
// and why some cannot be used.
type Keys struct {
	Recipients []string `json:"recipients,omitempty"`
	Faults     []string `json:"faults,omitempty"`
}

func (k Keys) equal(o Keys) bool {
	return slices.Equal(k.Recipients, o.Recipients) && slices.Equal(k.Faults, o.Faults)
}

// keyring looks at the identities' files, and remembers their public side for
// as long as the files stay as they are.
type keyring struct{ known map[string]identityFile }

type identityFile struct {
	stamp      identityStamp
	recipients []string
	fault      string
}

type identityStamp struct {
	inode        uint64
	size         int64
	mtime, ctime time.Time
}

// look gives the public side of all identities. It reads only what changed.
func (k *keyring) look(cfg Config) Keys {
	known := map[string]identityFile{}
	var keys Keys
	for _, file := range cfg.identityFiles() {
		stamp, err := stampOf(file)
		seen, is := k.known[file]
		switch {
		case err == unix.ENOENT && cfg.Identities == nil:
			continue // nobody said that it is there
		case err != nil:
			seen = identityFile{fault: fmt.Sprintf("cannot use the identity %q: %v", file, withoutPath(err))}
		case !is || seen.stamp != stamp:
			seen = readIdentity(file, stamp)
		}
		known[file] = seen
		keys.Recipients = append(keys.Recipients, seen.recipients...)
		if seen.fault != "" {
			keys.Faults = append(keys.Faults, seen.fault)
		}
	}
	k.known = known
	return keys
}

func stampOf(file string) (identityStamp, error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return identityStamp{}, err
	}
	return identityStamp{st.Ino, st.Size, time.Unix(st.Mtim.Unix()), time.Unix(st.Ctim.Unix())}, nil
}

func readIdentity(file string, stamp identityStamp) identityFile {
	seen := identityFile{stamp: stamp}
	var list []identity
	f, err := openIdentity(file)
	if err == nil {
		list, err = readIdentities(f)
		f.Close()
	}
	if err != nil {
		seen.fault = fmt.Sprintf("cannot use the identity %q: %v", file, withoutPath(err))
	}
	for _, id := range list {
		seen.recipients = append(seen.recipients, id.recipient)
	}
	return seen
}

// openIdentity opens a regular file that only its owner and group can read.
func openIdentity(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errors.New("it is no regular file")
	case info.Mode().Perm()&0o007 != 0:
		err = fmt.Errorf("everybody on this host can use it (mode %04o)", info.Mode().Perm())
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

func readIdentities(f *os.File) ([]identity, error) {
	text, err := io.ReadAll(io.LimitReader(f, maxIdentityFile))
	if err != nil {
		return nil, err
	}
	return parseIdentities(text)
}

// withoutPath takes off the path that package os puts before each error.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// openIdentities opens the files whose identities a child shall use. It gets
// them as descriptors: neither its arguments nor its environment nor its request
// hold a private key.
func openIdentities(cfg Config) []*os.File {
	var files []*os.File
	for _, file := range cfg.identityFiles() {
		if f, err := openIdentity(file); err == nil { // look has told why not
			files = append(files, f)
		}
	}
	return files
}

// HostKeys gives the public side of this host's identities.
func HostKeys(cfg Config) Keys { return new(keyring).look(cfg) }

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// firstDescriptor is the number of the first file that a child is given.
const firstDescriptor = 3

// locksmith opens secrets in the render child. It reads the identities when the
// first secret is met: most commits have none.
type locksmith struct {
	files  int
	faults []string
	ready  bool
	keys   []identity
}

// decrypt is manifest.Options.Decrypt.
func (l *locksmith) decrypt(sealed []byte) ([]byte, error) {
	if !l.ready {
		l.readKeys()
	}
	if len(l.keys) > 0 {
		return decrypt(l.keys, sealed)
	}
	if len(l.faults) > 0 {
		return nil, errors.New(strings.Join(l.faults, "; "))
	}
	return nil, fmt.Errorf("this host has no identity")
}

func (l *locksmith) readKeys() {
	l.ready = true
	for i := range l.files {
		f := os.NewFile(uintptr(firstDescriptor+i), "identity")
		keys, err := readIdentities(f)
		if err == nil { // else a fault says so
			l.keys = append(l.keys, keys...)
		}
		f.Close()
	}
}
