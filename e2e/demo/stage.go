package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"evenkeel/e2e/lab"
)

// patience bounds each step of the story.
const patience = 60 * time.Second

// stage is where the story happens: a host, its repository and the server in
// between. It is a lab.T that ends the story at the first thing that goes wrong.
type stage struct {
	lab      *lab.Lab
	host     *lab.Host
	repo     *lab.Repo
	server   *lab.Server
	began    time.Time
	cleanups []func()
	failed   bool
}

// wrong ends the story from wherever it is.
type wrong struct{ text string }

// The methods of lab.T.

func (s *stage) Helper()                           {}
func (s *stage) Name() string                      { return "demo" }
func (s *stage) Failed() bool                      { return s.failed }
func (s *stage) Cleanup(f func())                  { s.cleanups = append(s.cleanups, f) }
func (s *stage) Logf(format string, args ...any)   { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (s *stage) Fatalf(format string, args ...any) { panic(wrong{fmt.Sprintf(format, args...)}) }

// perform tells the story and gives the exit code.
func (s *stage) perform() (code int) {
	defer func() {
		switch w := recover().(type) {
		case nil:
		case wrong:
			s.failed = true
			fmt.Fprintf(os.Stderr, "demo: %s\n", w.text)
			code = 1
		default:
			panic(w)
		}
	}()
	s.began = time.Now()
	s.set()
	s.story()
	return 0
}

// close takes down what is there.
func (s *stage) close() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
	if s.lab != nil {
		if err := s.lab.Close(); err != nil {
			fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		}
	}
}

// set makes the host and the repository.
func (s *stage) set() {
	deb := os.Getenv("EVENKEEL_DEB")
	if deb == "" {
		s.Fatalf("EVENKEEL_DEB does not name a package: use \"make demo\"")
	}
	release := os.Getenv("RELEASE")
	if release == "" {
		release = "trixie"
	}
	var err error
	if s.lab, err = lab.Open(); err != nil {
		s.Fatalf("%v", err)
	}
	s.say("booting a host: Debian %s in a container, systemd as PID 1", release)
	s.host = s.lab.Host(s, release, "web-1")
	s.say("it runs %s", strings.SplitN(s.host.Must("systemctl", "--version"), "\n", 2)[0])
	s.repo = s.lab.Repo(s, "config")
	s.repo.CopyTree("examples/small")
	s.server = s.lab.Serve(s, s.repo, "", "")
	s.say("serving examples/small with git at %s", s.server.URL())
	s.host.Install(deb)
	s.say("installed %s", s.host.Must("evenkeel", "version"))
}

// say prints a line of the story with its time.
func (s *stage) say(format string, args ...any) {
	fmt.Printf("%6.1fs  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// chapter prints a heading.
func (s *stage) chapter(text string) { fmt.Printf("\n--- %s\n", text) }

// show prints what a command says, indented.
func (s *stage) show(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Printf("         %s\n", strings.TrimRight(line, "\n"))
	}
}

// status is the part of "evenkeel status --json" that the story looks at.
type status struct {
	Stage    string
	Target   struct{ Commit string }
	Good     struct{ Commit string }
	Attempt  *struct{ Commit string }
	Rejected []struct {
		Commit, Reason string
		Evidence       []string
	}
	History []struct {
		Commit, Result, Reason string
		Restarts               []string
	}
}

func (s *stage) status() status {
	out, _ := s.host.Run("evenkeel", "status", "--json") // its exit code is a verdict
	var st status
	_ = json.Unmarshal([]byte(out), &st)
	return st
}

// commit commits and says so.
func (s *stage) commit(message string) string {
	id := s.repo.Commit(message)
	s.say("git commit -m %q   (%s)", message, id[:7])
	return id
}

// follow tells the stages of a pass as they come until the commit has its
// verdict, and then what was restarted and why.
func (s *stage) follow(commit, result string) status {
	last := ""
	var st status
	ended := lab.Poll(patience, func() bool {
		st = s.status()
		if now := st.Stage; st.Attempt != nil && now != last {
			last = now
			s.say("%s ...", now)
		}
		return st.Attempt == nil && st.Stage == "idle" && len(st.History) > 0 &&
			st.History[0].Commit == commit && st.History[0].Result == result
	})
	if !ended {
		s.Fatalf("waited %v in vain for commit %s to be %s; the status is\n%s", patience, commit[:7], result, s.tell())
	}
	if why := st.History[0].Reason; why != "" {
		s.say("%s: %s", result, why)
	} else {
		s.say("%s", result)
	}
	for _, line := range st.History[0].Restarts {
		s.show(line)
	}
	return st
}

// tell is what "evenkeel status" says to a person.
func (s *stage) tell() string {
	out, _ := s.host.Run("evenkeel", "status")
	return out
}

// page gets a URL as a program on the host would.
func (s *stage) page(url string) string {
	answer, err := s.host.HTTP().Get(url)
	if err != nil {
		s.Fatalf("cannot get %s: %v", url, err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatalf("cannot get %s: %v", url, err)
	}
	return string(content)
}
