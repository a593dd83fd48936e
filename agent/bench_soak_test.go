package agent

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"evenkeel/agent/source"
)

// BenchmarkSoak follows a repository through a thousand changes, merges, large
// files and force-pushes among them, with a look before each, and prints what
// that costs beside the bar: 0.6 ms a look, 34 ms and 25 KB a change, 17 MB
// resident, 1.2 MB on disk. The times are by the clock, with git's own answer in
// them, and each change starts a child, which the bar did not.
func BenchmarkSoak(b *testing.B) {
	changes := 1000
	if n, err := strconv.Atoi(os.Getenv("SOAK_CHANGES")); err == nil {
		changes = n // a shorter one, to look at
	}
	for range b.N {
		soak(b, changes)
	}
}

func soak(b *testing.B, changes int) {
	work, bare := b.TempDir(), filepath.Join(b.TempDir(), "repo.git")
	git := func(args ...string) { childGit(b, work, args...) }
	git("init", "-q", "-b", "main")
	for i := range 100 {
		writeFile(b, filepath.Join(work, "files", fmt.Sprint(i)), fmt.Sprintf("file %d\n", i))
	}
	git("add", "-A")
	git("commit", "-q", "-m", "many files")
	git("clone", "-q", "--bare", work, bare)
	server := serveBare(b, bare)
	remote := source.Remote{URL: server.url, Branch: "main"}
	dir := cloneDir(b)
	l := &looker{remote: remote}
	defer l.Close()
	var change, look time.Duration
	var disk, bytes int64
	prior := ""
	for i := range changes {
		soakChange(b, work, i)
		git("push", "-q", "--force", bare, "main")
		began := time.Now()
		tip, err := l.Tip(b.Context())
		look += time.Since(began)
		if err != nil {
			b.Fatal(err)
		}
		sent := server.sent.Load()
		began = time.Now()
		got, err := FetchChild(b.Context(), FetchRequest{Remote: remote, Dir: dir, About: source.Question{Old: []string{prior}}})
		change += time.Since(began)
		if err != nil || got != tip {
			b.Fatalf("change %d: the look gave %v, the fetch %v, %v", i, tip, got, err)
		}
		bytes += server.sent.Load() - sent
		prior = got.Commit
		disk = max(disk, diskUse(b, dir))
	}
	b.ReportMetric(float64(look.Microseconds())/1000/float64(changes), "ms/look")
	b.ReportMetric(float64(change.Microseconds())/1000/float64(changes), "ms/change")
	b.ReportMetric(float64(bytes)/1024/float64(changes), "KB/change")
	b.ReportMetric(float64(disk)/(1<<20), "MB-disk")
	var self, children syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		b.Fatal(err)
	}
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(self.Maxrss)/1024, "MB-peak")           // of this process, the tests in it included
	b.ReportMetric(float64(children.Maxrss)/1024, "MB-child-peak") // the largest of any, git included
}

// soakChange makes the next commit: after some time a merge, a large file, or
// another history.
func soakChange(b *testing.B, work string, i int) {
	git := func(args ...string) { childGit(b, work, args...) }
	switch {
	case i%50 == 49:
		git("reset", "-q", "--hard", "HEAD~3")
	case i%10 == 9:
		git("checkout", "-q", "-b", "side", "HEAD~1")
		git("commit", "-q", "--allow-empty", "-m", "aside")
		git("checkout", "-q", "main")
		git("merge", "-q", "--no-ff", "-m", "merge", "side")
		git("branch", "-q", "-D", "side")
	case i%100 == 55:
		writeFile(b, filepath.Join(work, "large"), strings.Repeat(fmt.Sprintf("%d large ", i), 50_000))
	}
	writeFile(b, filepath.Join(work, "files", fmt.Sprint(i%100)), fmt.Sprintf("change %d\n", i))
	git("add", "-A")
	git("commit", "-q", "-m", fmt.Sprintf("change %d", i))
}

func writeFile(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func diskUse(tb testing.TB, dir string) (total int64) {
	tb.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return total
}
