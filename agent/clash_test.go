package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// The host is the real disk: what the kernel answers for a file or a link on the
// way is not for a model to say.
func TestWhatStandsInTheWayIsNamedAndNotTouched(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/group": "root:x:0:\n",
		"etc/file": "x", "etc/dir/x": "x", "etc/ours/x": "x", "srv/data/x": "x",
	} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, says := range map[string]string{"etc/linked": "dir", "srv/out": "/tmp", "srv/link": "nowhere"} {
		if err := os.Symlink(says, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	disk, err := apply.NewDisk(root)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = disk.Close() }()
	h := &Host{Disk: disk, Ledger: &Ledger{Owned: shelve(map[string]Owned{"/etc/ours": {}})}}

	for _, row := range []struct {
		about, path string
		kind        plan.Kind
		want        string // "" for no problem
	}{
		{"a file where a directory is", "/etc/dir", plan.File, `"/etc/dir" cannot be a file: on this host it is a directory (move it away, or name another path)`},
		{"a link where a directory is", "/etc/dir", plan.Link, `"/etc/dir" cannot be a symbolic link: on this host it is a directory (move it away, or name another path)`},
		{"a directory where a file is", "/etc/file", plan.Directory, `"/etc/file" cannot be a directory: on this host it is a file (move it away, or name another path)`},
		{"a directory where a link is", "/etc/linked", plan.Directory, `"/etc/linked" cannot be a directory: on this host it is a symbolic link (move it away, or name another path)`},
		{"a file where an earlier commit made a directory", "/etc/ours", plan.File, `"/etc/ours" cannot be a file: on this host it is a directory (evenkeel brought it: let one commit take it away, and the next one bring the other)`},
		{"a file below a file", "/etc/file/x", plan.File, `"/etc/file/x" cannot be managed: on this host "/etc/file" is a file (move it away, or name another path)`},
		{"a file far below a file", "/etc/file/x/y/z", plan.File, `"/etc/file/x/y/z" cannot be managed: on this host "/etc/file" is a file (move it away, or name another path)`},
		{"a file through a link", "/etc/linked/x", plan.File, `"/etc/linked/x" cannot be managed: on this host "/etc/linked" is a symbolic link (name the path that it leads to: evenkeel follows no link)`},
		{"a file through a link that leads out", "/srv/out/x", plan.File, `"/srv/out/x" cannot be managed: on this host "/srv/out" is a symbolic link (name the path that it leads to: evenkeel follows no link)`},
		{"a file where a link is", "/etc/linked", plan.File, ""},
		{"a file where a dangling link is", "/srv/link", plan.File, ""},
		{"a file below a directory", "/etc/dir/x", plan.File, ""},
		{"a file below nothing", "/srv/none/x", plan.File, ""},
	} {
		target := &plan.Target{State: plan.State{Paths: map[string]plan.Path{row.path: {Kind: row.kind, Mode: 0o644, Owner: "root", Group: "root"}}}, Origin: map[string]plan.Place{row.path: {File: "roles/web/role.yaml", Line: 7}}}
		n, err := h.observe(context.Background(), target)
		problems := h.clashes(target, n)
		if err != nil {
			problems = h.unfit(target, n, err)
		}
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		want := row.want
		if want != "" {
			want = "roles/web/role.yaml:7: " + want
		}
		if text := strings.Join(got, "\n"); text != want {
			t.Errorf("%s:\n got %s\nwant %s", row.about, text, want)
		}
		if (row.want == "") == (len(refusedBelow(h, target, n, err)) > 0) {
			t.Errorf("%s: what stages files sees it differently: %q", row.about, refusedBelow(h, target, n, err))
		}
	}
	if left, err := filepath.Glob(filepath.Join(root, "*", ".*")); err != nil || len(left) > 0 {
		t.Errorf("%q lies about (%v)", left, err)
	}
}

// refusedBelow is what the last line of defence says: the code that works out the
// moves.
func refusedBelow(h *Host, target *plan.Target, n now, err error) string {
	if err == nil {
		_, err = apply.Prepare(n.accounts, n.seen, target.State.Paths, nil)
	}
	if err == nil {
		return ""
	}
	return fmt.Sprint(err)
}
