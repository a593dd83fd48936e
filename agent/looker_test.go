package agent

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"evenkeel/agent/source"
)

// branchServer says where one branch points, in Git's protocol v2.
type branchServer struct {
	url  string
	came chan struct{} // somebody asked

	mu    sync.Mutex
	tip   string
	down  bool
	asked int // for the branch
}

func serveBranch(t *testing.T, tip string) *branchServer {
	t.Helper()
	line := func(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }
	s := &branchServer{tip: tip, came: make(chan struct{}, 1)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case s.down:
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.Method == http.MethodGet:
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			fmt.Fprint(w, line("# service=git-upload-pack\n")+"0000"+line("version 2\n")+line("ls-refs\n")+line("fetch=shallow\n")+"0000")
			return
		default:
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			fmt.Fprint(w, line(s.tip+" refs/heads/main\n")+"0000")
		}
		s.asked++
		tell(s.came)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/r.git"
	return s
}

func (s *branchServer) move(tip string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tip = tip
}

func (s *branchServer) fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
}

func (s *branchServer) times() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// waitMore waits until the server was asked some more times.
func (s *branchServer) waitMore(t *testing.T, n int) {
	t.Helper()
	late := time.After(30 * time.Second)
	for want := s.times() + n; s.times() < want; {
		select {
		case <-s.came:
		case <-late:
			t.Fatalf("the server was asked %d times, not %d", s.times(), want)
		}
	}
}

// keeping is a looker whose child looks by itself, each few milliseconds.
func keeping(t *testing.T, s *branchServer) *looker {
	t.Helper()
	l := &looker{remote: source.Remote{URL: s.url, Branch: "main"}}
	t.Cleanup(l.Close)
	if _, err := l.Tip(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l.says() != nil {
		t.Error("the child says something by itself, and nobody told it to go on")
	}
	if !l.keep(5*time.Millisecond, 0) {
		t.Fatal("the child does not go on")
	}
	return l
}

// hears waits for what the child says by itself.
func hears(t *testing.T, l *looker) (said heard, open bool) {
	t.Helper()
	select {
	case said, open = <-l.says():
		return said, open
	case <-time.After(30 * time.Second):
		t.Fatal("the child says nothing")
		return said, open
	}
}

const (
	oneTip     = "1111111111111111111111111111111111111111"
	anotherTip = "2222222222222222222222222222222222222222"
)

func TestTheChildLooksByItselfAndSaysOnlyNews(t *testing.T) {
	s := serveBranch(t, oneTip)
	l := keeping(t, s)
	s.waitMore(t, 10)
	select {
	case said := <-l.says():
		t.Fatalf("there was no news, and the child said %+v", said)
	default:
	}
	s.move(anotherTip)
	said, open := hears(t, l)
	if !l.take(said, open, time.Now()) {
		t.Fatalf("%+v is of no use", said)
	}
	asked := s.times()
	for i := range 3 {
		if seen, err := l.Tip(t.Context()); err != nil || seen.Commit != anotherTip {
			t.Errorf("Tip gave %v, %v; want the news", seen, err)
		}
		if more := s.times() - asked; more != i {
			t.Errorf("the server was asked %d times for %d looks after the news was taken", more, i)
		}
	}
	if l.says() != nil {
		t.Error("the child is waited for, and does not go on after news")
	}
}

// With Nice=15 in its unit the daemon could neither look nor fetch: its children may not
// raise their priority to what they usually have.
func TestTheChildOfADaemonThatIsNicerThanItLooks(t *testing.T) {
	runtime.LockOSThread() // the priority is that of a thread, and inherited; this one ends with it
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, childNice+5); err != nil {
		t.Fatal(err)
	}
	l := &looker{remote: source.Remote{URL: serveBranch(t, oneTip).url, Branch: "main"}}
	defer l.Close()
	if seen, err := l.Tip(t.Context()); err != nil || seen.Commit != oneTip {
		t.Errorf("a look gave %v, %v", seen, err)
	}
}

func TestTheChildSaysThatTheServerFailsAndStopsLooking(t *testing.T) {
	s := serveBranch(t, oneTip)
	l := keeping(t, s)
	s.fail()
	said, open := hears(t, l)
	if !l.take(said, open, time.Now()) || l.says() != nil {
		t.Errorf("it said %+v and goes on: %t", said, l.says() != nil)
	}
	var own *source.Error
	if _, err := l.Tip(t.Context()); !errors.As(err, &own) || own.Reason != source.Unreachable {
		t.Errorf("Tip gave %v, want that the server cannot be reached", err)
	}
	if l.child == nil {
		t.Error("the child was ended because the server fails")
	}
}

func TestALookGetsNoOlderAnswer(t *testing.T) {
	s := serveBranch(t, oneTip)
	l := keeping(t, s)
	s.move(anotherTip)
	s.waitMore(t, 1) // it has news now, which it says sooner or later
	s.move(oneTip)
	if seen, err := l.Tip(t.Context()); err != nil || seen.Commit != oneTip {
		t.Errorf("a look gave %v, %v; want what the server says now", seen, err)
	}
	l.rest()
	if _, err := l.Tip(t.Context()); err != nil {
		t.Error(err)
	}
}

// The child is not root, and may be somebody else's by now.
func TestAChildThatTalksTooMuchIsMadeToRest(t *testing.T) {
	now := time.Now()
	for what, row := range map[string]struct {
		said  heard
		after time.Duration
		use   bool
	}{
		"in time":                   {heard{looks: 1}, time.Second / 2, true},
		"news, in time":             {heard{looks: 1, news: true}, time.Second / 2, true},
		"too soon":                  {heard{looks: 1}, time.Second / 4, false},
		"news, too soon":            {heard{looks: 1, news: true}, time.Second / 4, false},
		"from before the last look": {heard{}, time.Second, false},
		"of looks that never were":  {heard{looks: 2}, time.Second, false},
	} {
		l := keeping(t, serveBranch(t, oneTip))
		l.every, l.took = time.Second, now
		if use := l.take(row.said, true, now.Add(row.after)); use != row.use {
			t.Errorf("%s: it is of use: %t", what, use)
		}
		if goesOn := l.says() != nil; goesOn != (row.use && !row.said.news) {
			t.Errorf("%s: the child goes on: %t", what, goesOn)
		}
	}
	said := make(chan heard, maxOlderAnswers)
	for range cap(said) {
		said <- heard{}
	}
	silent, err := source.NewQuiet(pipeEnd(t))
	if err != nil {
		t.Fatal(err)
	}
	p := &pollChild{in: pipeEnd(t), say: silent, said: said}
	if _, err := p.ask(t.Context()); err == nil || !strings.Contains(err.Error(), "more than it was asked") {
		t.Errorf("a child that says anything but what it is asked gave %v", err)
	}
}

// pipeEnd is the end of a pipe that somebody writes to.
func pipeEnd(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return w
}

func TestAChildThatDiesWhileItLooksByItselfIsReplaced(t *testing.T) {
	s := serveBranch(t, oneTip)
	l := keeping(t, s)
	l.child.ends()
	said, open := hears(t, l)
	if open || !l.take(said, open, time.Now()) {
		t.Errorf("a dead child said %+v", said)
	}
	if _, err := l.Tip(t.Context()); err == nil || !strings.Contains(err.Error(), "gave no answer") {
		t.Errorf("Tip gave %v, want that there was no answer", err)
	}
	if seen, err := l.Tip(t.Context()); err != nil || seen.Commit != oneTip {
		t.Errorf("the next look gave %v, %v", seen, err)
	}
}

// A daemon without news wants to know, now and then, that somebody looks.
func TestTheChildSaysTheSameAgainAfterAWhile(t *testing.T) {
	s := serveBranch(t, oneTip)
	clock, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer clock.close()
	var out bytes.Buffer
	a := &pollAsker{poller: source.NewPoller(source.Remote{URL: s.url, Branch: "main"}), out: &out, clock: clock}
	defer a.poller.Close()
	for _, order := range []string{"look", "keep 3600000000000 0"} {
		if err := a.heed(order); err != nil {
			t.Fatal(err)
		}
	}
	first := out.String()
	look := func(want string) {
		t.Helper()
		out.Reset()
		if err := a.lookByClock(); err != nil || out.String() != want {
			t.Errorf("it said %q, %v; want %q", out.String(), err, want)
		}
	}
	look("")
	a.said = a.said.Add(-pollSilence)
	look(first)
	look("")
	s.move(anotherTip)
	look(strings.ReplaceAll(first, oneTip, anotherTip))
	rests := func(after string) {
		t.Helper()
		asked := s.times()
		a.said = a.said.Add(-pollSilence)
		look("")
		if s.times() != asked {
			t.Errorf("after %s it goes on looking", after)
		}
	}
	rests("news")
	for _, order := range []string{"keep 3600000000000 0", "rest"} {
		if err := a.heed(order); err != nil {
			t.Fatal(err)
		}
	}
	rests("an order to rest")
	if err := a.heed("keep soon"); err == nil {
		t.Error("an order that cannot be read is heeded")
	}
}

func TestAnAlarmRingsOnceAndNotWhenItWasSetBefore(t *testing.T) {
	a, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	rang := make(chan error, 1)
	ring := func() { rang <- a.wait() }
	set := func(after time.Duration) {
		if err := a.set(after); err != nil {
			t.Fatal(err)
		}
	}
	set(time.Hour)
	began := time.Now()
	set(20 * time.Millisecond)
	go ring()
	if err := <-rang; err != nil || time.Since(began) < 20*time.Millisecond {
		t.Errorf("it rang after %v: %v", time.Since(began), err)
	}
	set(0)
	go ring()
	if err := <-rang; err != nil {
		t.Error(err)
	}
	go ring()
	a.close()
	if err := <-rang; err == nil {
		t.Error("it rang once more")
	}
}
