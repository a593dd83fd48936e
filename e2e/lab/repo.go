package lab

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"
)

// Branch is the branch that every repository of the lab starts with.
const Branch = "main"

// Repo is a bare Git repository and a work tree that pushes to it, both made
// with the real git of this machine.
type Repo struct {
	t    T
	name string
	bare string
	work string
}

// Repo makes an empty repository that the lab's servers can serve.
func (l *Lab) Repo(t T, name string) *Repo {
	t.Helper()
	dir, err := os.MkdirTemp(l.dir, "repo-")
	if err != nil {
		t.Fatalf("cannot make repository %q: %v", name, err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("cannot remove repository %q: %v", name, err)
		}
	})
	r := &Repo{t: t, name: name, bare: filepath.Join(dir, name+".git"), work: filepath.Join(dir, "work")}
	r.git(dir, "init", "--quiet", "--bare", "--initial-branch="+Branch, r.bare)
	r.git(r.bare, "config", "http.receivepack", "false")
	r.git(dir, "clone", "--quiet", r.bare, r.work)
	r.git(r.work, "checkout", "--quiet", "-B", Branch)
	// So that a person in the work tree can just commit and push.
	r.git(r.work, "config", "push.default", "current")
	r.git(r.work, "config", "user.name", "A. Author")
	r.git(r.work, "config", "user.email", "author@example.com")
	return r
}

// Work is the folder of the work tree.
func (r *Repo) Work() string { return r.work }

// WriteTree puts the files of a txtar archive into the work tree.
func (r *Repo) WriteTree(archive string) {
	r.t.Helper()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		r.Write(f.Name, string(f.Data))
	}
}

// CopyTree puts all files below a folder of this machine into the work tree,
// executable bits included.
func (r *Repo) CopyTree(dir string) {
	r.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r.Write(rel, string(content))
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.Chmod(filepath.Join(r.work, rel), info.Mode())
	})
	if err != nil {
		r.t.Fatalf("cannot copy %q: %v", dir, err)
	}
}

// CopyFrom is CopyTree for a folder of a host.
func (r *Repo) CopyFrom(h *Host, dir string) {
	r.t.Helper()
	r.CopyTree(h.outside(dir))
}

// Write writes a file of the work tree. Its mode stays, 0644 when it is new.
func (r *Repo) Write(path, content string) {
	r.t.Helper()
	full := filepath.Join(r.work, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		r.t.Fatalf("cannot write %q: %v", path, err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		r.t.Fatalf("cannot write %q: %v", path, err)
	}
}

// Executable sets Git's executable bit of a file of the work tree.
func (r *Repo) Executable(path string) {
	r.t.Helper()
	if err := os.Chmod(filepath.Join(r.work, path), 0o755); err != nil {
		r.t.Fatalf("cannot make %q executable: %v", path, err)
	}
}

// Read gives a file of the work tree.
func (r *Repo) Read(path string) string {
	r.t.Helper()
	content, err := os.ReadFile(filepath.Join(r.work, path))
	if err != nil {
		r.t.Fatalf("cannot read %q: %v", path, err)
	}
	return string(content)
}

// Edit replaces the one place in a file where old stands.
func (r *Repo) Edit(path, old, new string) {
	r.t.Helper()
	content := r.Read(path)
	if n := strings.Count(content, old); n != 1 {
		r.t.Fatalf("cannot edit %q: %q stands there %d times, not once:\n%s", path, old, n, content)
	}
	r.Write(path, strings.Replace(content, old, new, 1))
}

// Remove removes a file or folder from the work tree.
func (r *Repo) Remove(path string) {
	r.t.Helper()
	if err := os.RemoveAll(filepath.Join(r.work, path)); err != nil {
		r.t.Fatalf("cannot remove %q: %v", path, err)
	}
}

// Commit commits the work tree as it is, pushes, and gives the commit's id.
func (r *Repo) Commit(message string) string {
	r.t.Helper()
	r.CommitOnly(message)
	r.git(r.work, "push", "--quiet", "origin", "HEAD:refs/heads/"+Branch)
	return r.Head()
}

// CommitOnly commits the work tree as it is, without pushing.
func (r *Repo) CommitOnly(message string) {
	r.t.Helper()
	r.git(r.work, "add", "--all")
	r.git(r.work, "commit", "--quiet", "--allow-empty", "-m", message)
}

// Head is the id of the work tree's commit.
func (r *Repo) Head() string {
	r.t.Helper()
	return strings.TrimSpace(r.git(r.work, "rev-parse", "HEAD"))
}

// Reset takes the work tree back to an earlier commit, without pushing.
func (r *Repo) Reset(commit string) {
	r.t.Helper()
	r.git(r.work, "reset", "--quiet", "--hard", commit)
}

// Restore makes the work tree's files those of an earlier commit, for a new
// commit on top of the present one.
func (r *Repo) Restore(commit string) {
	r.t.Helper()
	r.git(r.work, "rm", "-r", "--quiet", "--ignore-unmatch", ".")
	r.git(r.work, "checkout", "--quiet", commit, "--", ".")
}

// Empty removes everything from the work tree.
func (r *Repo) Empty() {
	r.t.Helper()
	r.git(r.work, "rm", "-r", "--quiet", "--ignore-unmatch", ".")
}

// ForcePush makes the branch point at the work tree's commit, whatever it
// pointed at before.
func (r *Repo) ForcePush() {
	r.t.Helper()
	r.git(r.work, "push", "--quiet", "--force", "origin", "HEAD:refs/heads/"+Branch)
}

// DeleteBranch removes the branch from the server.
func (r *Repo) DeleteBranch() {
	r.t.Helper()
	r.git(r.bare, "update-ref", "-d", "refs/heads/"+Branch)
}

// Break overwrites every object of the server's repository with garbage.
// Commits of the work tree stay; Mend pushes them again.
func (r *Repo) Break() {
	r.t.Helper()
	err := filepath.WalkDir(filepath.Join(r.bare, "objects"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := os.Remove(path); err != nil { // objects are read-only, and may be links
			return err
		}
		return os.WriteFile(path, []byte("garbage, garbage, garbage"), 0o644)
	})
	if err != nil {
		r.t.Fatalf("cannot break repository %q: %v", r.name, err)
	}
}

// Mend makes the server's repository anew from the work tree's commit.
func (r *Repo) Mend() {
	r.t.Helper()
	if err := os.RemoveAll(r.bare); err != nil {
		r.t.Fatalf("cannot mend repository %q: %v", r.name, err)
	}
	r.git(filepath.Dir(r.bare), "init", "--quiet", "--bare", "--initial-branch="+Branch, r.bare)
	r.ForcePush()
}

// git runs git without any configuration of this machine or its user.
func (r *Repo) git(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = gitEnv()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		r.t.Fatalf("cannot run git %v: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

func gitEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=A. Author", "GIT_AUTHOR_EMAIL=author@example.com",
		"GIT_COMMITTER_NAME=A. Author", "GIT_COMMITTER_EMAIL=author@example.com",
	}
}

// Sign makes every further commit of the work tree be signed with a key of
// ssh-keygen; "" ends that.
func (r *Repo) Sign(keyFile string) {
	r.t.Helper()
	if keyFile == "" {
		r.git(r.work, "config", "commit.gpgSign", "false")
		return
	}
	r.git(r.work, "config", "gpg.format", "ssh")
	r.git(r.work, "config", "user.signingKey", keyFile)
	r.git(r.work, "config", "commit.gpgSign", "true")
}
