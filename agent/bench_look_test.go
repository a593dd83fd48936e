package agent

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"evenkeel/agent/source"
)

// BenchmarkLook is a look at a branch that did not move, in this process and
// through the child that is not root. It counts the processor time of both
// sides; the server's is taken off by what it reports itself.
func BenchmarkLook(b *testing.B) {
	line := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	answer := line(strings.Repeat("1", 40)+" refs/heads/main\n") + "0000"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprint(w, line("# service=git-upload-pack\n")+"0000"+line("version 2\n")+line("ls-refs\n")+line("fetch=shallow\n")+"0000")
			return
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		fmt.Fprint(w, answer)
	}))
	defer server.Close()
	remote := source.Remote{URL: server.URL + "/r.git", Branch: "main"}
	for name, tip := range map[string]func() *looker{
		"direct": func() *looker { return &looker{remote: remote, direct: source.NewPoller(remote)} },
		"child":  func() *looker { return &looker{remote: remote} },
	} {
		b.Run(name, func(b *testing.B) {
			l := tip()
			defer l.Close()
			look := func() {
				var err error
				if l.direct != nil {
					_, err = l.direct.Tip(b.Context())
				} else {
					_, err = l.Tip(b.Context())
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			look()
			before := ran(b, l)
			for b.Loop() {
				look()
			}
			b.ReportMetric(float64(ran(b, l)-before)/1000/float64(b.N), "cpu-µs/op")
		})
	}
}

// ran is the processor time of this process and of the looker's child, in ns.
func ran(b *testing.B, l *looker) int64 {
	b.Helper()
	dirs, err := os.ReadDir("/proc/self/task")
	if err != nil {
		b.Fatal(err)
	}
	var sum int64
	count := func(file string) {
		var ns int64
		text, err := os.ReadFile(file)
		if err == nil {
			_, err = fmt.Sscan(string(text), &ns)
		}
		if err == nil { // a thread may have ended meanwhile
			sum += ns
		}
	}
	for _, d := range dirs {
		count("/proc/self/task/" + d.Name() + "/schedstat")
	}
	if l.child == nil {
		return sum
	}
	children, err := os.ReadFile("/proc/self/task/" + fmt.Sprint(os.Getpid()) + "/children")
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range dirs {
		if more, err := os.ReadFile("/proc/self/task/" + d.Name() + "/children"); err == nil && d.Name() != fmt.Sprint(os.Getpid()) {
			children = append(children, more...)
		}
	}
	for child := range strings.FieldsSeq(string(children)) {
		tasks, err := os.ReadDir("/proc/" + child + "/task")
		if err != nil {
			continue
		}
		for _, d := range tasks {
			count("/proc/" + child + "/task/" + d.Name() + "/schedstat")
		}
	}
	return sum
}
