package source

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// BenchmarkIdlePoll is a look at a branch that did not move. The server runs in
// this process and in children, so over http the processor time that is
// reported counts the serving goroutine too, but not the git that answers.
func BenchmarkIdlePoll(b *testing.B) {
	g := newGitRepo(b)
	g.push("one")
	for name, remote := range map[string]Remote{
		"http":  cached(b, g),
		"local": {URL: g.bare, Branch: "main"},
	} {
		b.Run(name, func(b *testing.B) {
			poller := NewPoller(remote)
			defer poller.Close()
			if _, err := poller.Tip(b.Context()); err != nil {
				b.Fatal(err)
			}
			before := cpuTime(b)
			for b.Loop() {
				if _, err := poller.Tip(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// BenchmarkPollByRefs is a look at real servers with few and with many branches, in
// a process of its own: what is reported is our processor time alone.
func BenchmarkPollByRefs(b *testing.B) {
	g := newGitRepo(b)
	g.push("one")
	for _, row := range []struct {
		name   string
		remote Remote
		polls  int
	}{{"http", g.nginx(), looksOverHTTP}, {"ssh", g.sshd(), looksOverSSH}} {
		for _, refs := range manyRefs {
			b.Run(fmt.Sprintf("%s/%d", row.name, refs), func(b *testing.B) {
				var sum time.Duration
				for b.Loop() {
					sum += g.cpuByRefs(row.remote, []int{refs}, row.polls, 1)[refs]
				}
				b.ReportMetric(float64(sum.Microseconds())/1000/float64(b.N), "cpu-ms/look")
			})
		}
	}
}

// cached answers each poll with the same bytes that git http-backend gave, so
// that the benchmark measures us and not git.
func cached(b *testing.B, g *gitRepo) Remote {
	return g.serve(func(git http.Handler) http.Handler {
		answer := pkt(g.run(g.bare, "rev-parse", "main")+" refs/heads/main\n") + "0000"
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				git.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			w.Write([]byte(answer))
		})
	})
}

// cpuTime is the processor time of this process in microseconds.
func cpuTime(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return (used.Utime.Sec+used.Stime.Sec)*1e6 + used.Utime.Usec + used.Stime.Usec
}
