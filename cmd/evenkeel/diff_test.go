package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clone is a repository in a directory, worked on with the real git.
type clone struct {
	tb  testing.TB
	dir string
}

func newClone(tb testing.TB, files map[string]string) *clone {
	c := &clone{tb, tb.TempDir()}
	c.git("init", "-q", "-b", "main")
	c.write(files)
	c.git("add", "-A")
	c.git("commit", "-q", "-m", "First")
	return c
}

func (c *clone) git(args ...string) {
	c.tb.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org",
		"GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	if out, err := cmd.CombinedOutput(); err != nil {
		c.tb.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (c *clone) write(files map[string]string) {
	c.tb.Helper()
	for name, text := range files {
		at := filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			c.tb.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			c.tb.Fatal(err)
		}
	}
}

// fleet is a repository of hosts with 20 files each, half of them templates.
func fleet(hosts int) map[string]string {
	files := map[string]string{
		"fleet.yaml": "hosts:\n  - {match: '*', roles: [base]}\n  - {match: 'web-*', roles: [web]}\n  - {match: 'db-*', roles: [db]}\n  - {match: 'app-*', roles: [app]}\n",
		"vars.yaml":  "level: info\n",
	}
	kinds := []string{"web", "db", "app"}
	for _, role := range append(kinds, "base") {
		dir := "roles/" + role + "/"
		files[dir+"role.yaml"] = fmt.Sprintf("services: {%s.service: {restart_on: [/etc/%s]}}\n", role, role)
		files[dir+"units/"+role+".service"] = fmt.Sprintf("[Service]\nExecStart=/usr/bin/%s /etc/%s/0.conf\n", role, role)
		for i := range 5 {
			files[fmt.Sprintf("%sfiles/etc/%s/%d.conf.tmpl", dir, role, i)] = strings.Repeat("# a line of a config file\n", 20) +
				"{{ .vars.level }} {{ .facts.name }} {{ .vars.serial }}\n" + strings.Repeat("# another line\n", 20)
			if i < 4 {
				files[fmt.Sprintf("%sfiles/etc/%s/%d.txt", dir, role, i)] = strings.Repeat("y", 1024)
			}
		}
	}
	for i := range hosts {
		files[fmt.Sprintf("hosts/%s-%d.yaml", kinds[i%len(kinds)], i)] = fmt.Sprintf("serial: %d\n", i)
	}
	return files
}

// BenchmarkCheckDiff compares 1,000 hosts with 20 files each: a value that is in
// half of the files of every host, which is 1,000 different changes.
func BenchmarkCheckDiff(b *testing.B) {
	c := newClone(b, fleet(1000))
	c.write(map[string]string{"vars.yaml": "level: debug\n"})
	before := processorTime()
	for b.Loop() {
		r, err := check(context.Background(), c.dir, baseline{"HEAD", true}, subject{}, nil)
		if err != nil || len(r.Problems) > 0 || len(r.Changes.Groups) != 1000 {
			b.Fatal(err, r)
		}
		if page := r.Changes.markdown(nil, nil); len(page) > maxPage {
			b.Fatalf("the page has %d bytes", len(page))
		}
	}
	used := (processorTime() - before).Seconds() / float64(b.N)
	b.ReportMetric(used, "cpu-s/op")
	if used > 10 {
		b.Errorf("%.1f s of processor time, more than the 10 that people may be asked to wait for", used)
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
