package main

import (
	"fmt"
	"os"
	"strings"

	"evenkeel/e2e/lab"
)

const site = "http://127.0.0.1:8000/"

// services of the example, each needs the one before it.
var services = []string{"db.service", "app.service", "proxy.service"}

// story is what happens, in order.
func (s *stage) story() {
	s.firstCommit()
	s.configChange()
	bad := s.badCommit()
	s.leftAlone(bad)
	s.fix()
	s.ending()
}

func (s *stage) firstCommit() {
	s.chapter("the first commit: a database, an app that needs it, a proxy in front")
	first := s.commit("the first commit")
	s.host.WriteFile("/etc/evenkeel/config.yaml", fmt.Sprintf("repo: %s\ninterval: 1s\nprobation: 3s\n", s.server.URL()), 0o640)
	s.host.Must("systemctl", "enable", "--now", "evenkeel.service")
	s.say("systemctl enable --now evenkeel")
	s.follow(first, "good")
	s.say("the site says: %s", strings.TrimSpace(s.page(site)))
}

func (s *stage) configChange() {
	s.chapter("a change of the app's config: the app restarts, the proxy with it, the database does not")
	before := s.invocations()
	s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "good evening")
	s.follow(s.commit("another greeting"), "good")
	s.say("the site says: %s", strings.TrimSpace(s.page(site)))
	after := s.invocations()
	for _, unit := range services {
		word := "was started again"
		if before[unit] == after[unit] {
			word = "ran through"
		}
		s.show(fmt.Sprintf("%-14s %s", unit, word))
	}
}

func (s *stage) badCommit() string {
	s.chapter("a bad commit: the app exits as soon as it is started")
	s.repo.Edit("roles/app/units/app.service", "ExecStart=/usr/local/bin/example-app /etc/app/app.conf", "ExecStart=/bin/false")
	bad := s.commit("what could go wrong")
	st := s.follow(bad, "rejected")
	for _, r := range st.Rejected {
		if r.Commit == bad {
			s.show(strings.Join(r.Evidence, "\n"))
		}
	}
	s.say("the site says: %s", strings.TrimSpace(s.page(site)))
	return bad
}

func (s *stage) leftAlone(bad string) {
	s.chapter("the next looks at the repository leave it alone")
	before, from := s.invocations(), s.server.Requests()
	const looks = 5
	if !lab.Poll(patience, func() bool { return s.server.Requests() >= from+looks }) {
		s.Fatalf("waited %v in vain for %d more looks", patience, looks)
	}
	after := s.invocations()
	for _, unit := range services {
		if before[unit] != after[unit] {
			s.Fatalf("%s was started again, for a commit that had failed before", unit)
		}
	}
	s.say("%d looks later: %s is still rejected, nothing was started again", looks, bad[:7])
}

func (s *stage) fix() {
	s.chapter("the fix")
	s.repo.Edit("roles/app/units/app.service", "ExecStart=/bin/false", "ExecStart=/usr/local/bin/example-app /etc/app/app.conf")
	s.repo.Edit("hosts/web-1.yaml", "good evening", "all is well again")
	s.follow(s.commit("the fix"), "good")
	s.say("the site says: %s", strings.TrimSpace(s.page(site)))
}

func (s *stage) ending() {
	s.chapter("evenkeel status")
	s.show(s.tell())
	s.chapter("some lines of /metrics")
	for line := range strings.Lines(s.page("http://127.0.0.1:9973/metrics")) {
		if tellsSomething(line) {
			s.show(line)
		}
	}
	s.chapter(fmt.Sprintf("the host stays up for %v", afterwards))
	s.show(fmt.Sprintf("get into it:     nsenter -t %d -a /bin/bash -l", s.host.Leader()))
	s.show("commit to it:    cd " + s.repo.Work() + "   (commit, then git push)")
	s.show("end it:          run the demo again, or kill " + fmt.Sprint(os.Getpid()))
}

// tellsSomething leaves out series that nothing happened to, and those of passes: each
// look at a commit that stays rejected is one, which says more of time than of commits.
func tellsSomething(line string) bool {
	isSeries := strings.HasPrefix(line, "evenkeel_") && !strings.HasPrefix(line, "evenkeel_pass")
	neverHappened := strings.HasSuffix(line, "} 0\n")
	return isSeries && !neverHappened
}

// invocations of the services: another id is another start.
func (s *stage) invocations() map[string]string {
	ids := map[string]string{}
	for _, unit := range services {
		ids[unit] = s.host.Invocation(unit)
	}
	return ids
}
