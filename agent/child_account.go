package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"evenkeel/agent/source"
)

// What a server sends is never parsed as root. The package's sysusers.d makes
// two accounts, neither of which owns anything but the clones: one speaks with
// the servers and writes the clones, the other reads them, through the group,
// and renders. They are two, so that a fetch gone wrong cannot reach into a
// process that holds decrypted values.
const (
	fetchUser  = "evenkeel-fetch"
	renderUser = "evenkeel-render"
)

// account is who a child runs as; nil is who we are.
type account struct{ uid, gid uint32 }

func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// accountFor finds who reads a remote. A repository on this disk is read as its
// owner, who can make of it what he likes anyway; as root only when it is root's.
func accountFor(name string, remote source.Remote) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if path, local := remote.Local(); local {
		return ownerOf(path), nil
	}
	return accountNamed(name)
}

func accountNamed(name string) (*account, error) {
	found, err := user.Lookup(name)
	var group *user.Group
	if err == nil {
		group, err = user.LookupGroup(fetchUser)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot fetch as anybody but root: %v; \"systemd-sysusers evenkeel.conf\" makes the accounts %s and %s", err, fetchUser, renderUser)
	}
	uid, bad := strconv.ParseUint(found.Uid, 10, 32)
	gid, worse := strconv.ParseUint(group.Gid, 10, 32)
	if bad != nil || worse != nil || uid == 0 {
		return nil, fmt.Errorf("cannot fetch as user %q: its number is %q", name, found.Uid)
	}
	return &account{uint32(uid), uint32(gid)}, nil
}

func ownerOf(path string) *account {
	info, err := os.Stat(path)
	if err != nil {
		return nil // whoever opens it will say what is wrong
	}
	stat, is := info.Sys().(*syscall.Stat_t)
	if !is || stat.Uid == 0 {
		return nil
	}
	return &account{stat.Uid, stat.Gid}
}

// ownDir makes the directory of a clone, into which only the account writes. One
// that is somebody else's, as after a change of accounts, is made anew.
func (a *account) ownDir(dir string, remote source.Remote) error {
	if _, local := remote.Local(); local {
		return nil
	}
	// Through the directories above it the accounts need to pass, not to look.
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return fmt.Errorf("cannot make a place for the clone: %w", err)
	}
	if a == nil {
		return os.MkdirAll(dir, 0o750)
	}
	// The umask, or a version that fetched as root, may have closed our own.
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		return fmt.Errorf("cannot make a place for the clone: %w", err)
	}
	if err := a.mayPass(dir); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err == nil {
		if stat, is := info.Sys().(*syscall.Stat_t); is && stat.Uid == a.uid && stat.Gid == a.gid && info.IsDir() {
			return nil
		}
		err = os.RemoveAll(dir)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = os.Chmod(dir, 0o750) // whatever the umask is
	}
	if err == nil {
		err = os.Lchown(dir, int(a.uid), int(a.gid))
	}
	if err != nil {
		return fmt.Errorf("cannot make a place for the clone: %w", err)
	}
	return nil
}

// mayPass checks the directories above one, so that the words are not just
// "permission denied".
func (a *account) mayPass(dir string) error {
	for up := filepath.Dir(dir); up != "/"; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		if err != nil {
			return fmt.Errorf("cannot make a place for the clone: %w", err)
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("cannot make a place for the clone: users %s and %s cannot pass through %q (mode %04o): run \"chmod o+x %s\"",
				fetchUser, renderUser, up, info.Mode().Perm(), up)
		}
	}
	return nil
}

// firstFile is the descriptor of the first file that a child is given.
const firstFile = 3

// descriptors are the files of credentials that a child was given, by name.
type descriptors map[string]int

// openFor opens the files of credentials, which a child may not open itself.
func openFor(remote source.Remote) (files []*os.File, done func(), err error) {
	done = func() {
		for _, f := range files {
			_ = f.Close() // they were only read
		}
	}
	for _, name := range remote.Auth.Files() {
		f, err := os.Open(name)
		if err != nil {
			done()
			return nil, nil, &source.Error{Reason: source.AuthFailed, Text: fmt.Sprintf("cannot use the credentials for the repository: %v", err)}
		}
		files = append(files, f)
	}
	return files, done, nil
}

func describe(files []*os.File) descriptors {
	d := descriptors{}
	for i, f := range files {
		d[f.Name()] = firstFile + i
	}
	return d
}

// open reads a file that this process was given, from its beginning.
func (d descriptors) open(name string) (io.ReadCloser, error) {
	fd, given := d[name]
	if !given {
		return nil, fmt.Errorf("open %s: this process was not given it", name)
	}
	content := make([]byte, maxSigners+1)
	n, err := syscall.Pread(fd, content, 0)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: name, Err: err}
	}
	if n > maxSigners {
		return nil, fmt.Errorf("read %s: it is longer than %d bytes", name, maxSigners)
	}
	return io.NopCloser(bytes.NewReader(content[:n])), nil
}

// tidyClones removes the clones of repositories that are not followed any more,
// and those of versions that kept them elsewhere.
func tidyClones(cacheDir string, keep []string) error {
	entries, err := os.ReadDir(cacheDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		name := entry.Name()
		ours := strings.HasPrefix(name, clonePrefix) || strings.HasPrefix(name, "gen-") || strings.HasPrefix(name, "new-")
		if path := filepath.Join(cacheDir, name); ours && !slices.Contains(keep, path) {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}
