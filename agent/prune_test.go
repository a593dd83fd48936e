package agent

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/agent/source"
)

func TestPruningAsksWhenMuchGoes(t *testing.T) {
	for _, row := range []struct {
		about      string
		has, stays int
		asks       bool
	}{
		{"nothing goes", 30, 30, false},
		{"five of six may always go", 6, 1, false},
		{"six of ten are too many", 10, 4, true},
		{"six of thirty are a fifth", 30, 24, false},
		{"seven of thirty are more than a fifth", 30, 23, true},
		{"all of three, and nothing else is asked for", 3, 0, true},
		{"a host that had nothing and gets nothing", 0, 0, false},
	} {
		l := &Ledger{Owned: shelve(map[string]Owned{}), Good: &Good{State: goodStateOf(plan.State{Paths: map[string]plan.Path{}})}}
		w := wanted{target: &plan.Target{State: plan.State{Paths: map[string]plan.Path{}}}, owned: map[string]Owned{}}
		own := func(p string, kind plan.Kind, stays bool) {
			l.Owned.all()[p], l.Good.State.Paths.all()[p] = Owned{}, plan.Path{Kind: kind}
			if stays {
				w.owned[p], w.target.State.Paths[p] = Owned{}, plan.Path{Kind: kind}
			}
		}
		for i := range row.has {
			own(fmt.Sprintf("/etc/app/%02d/x.conf", i), plan.File, i < row.stays)
			// What comes and goes with the files must not tip the scales.
			own(fmt.Sprintf("/etc/app/%02d", i), plan.Directory, true)
			own(fmt.Sprintf("/etc/systemd/system/multi-user.target.wants/%02d.service", i), plan.Link, i < row.stays)
		}
		if row.stays == 0 {
			clear(w.target.State.Paths)
		}
		p := l.pruning(w)
		if asks := p.asks(); (asks != "") != row.asks || p.owned != row.has || len(p.gone) != row.has-row.stays {
			t.Errorf("%s: %q, %d of %d go", row.about, asks, len(p.gone), p.owned)
		}
	}
}

// asker is a daemon on a host in memory, as far as questions need it.
type asker struct {
	*daemon
	t *testing.T
	w *world
}

func newAsker(t *testing.T, w *world) *asker {
	t.Helper()
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	return &asker{&daemon{host: h, cfg: Config{Host: "host"}, log: slog.New(slog.DiscardHandler)}, t, w}
}

// restart is the same daemon after it was killed.
func (a *asker) restart() { *a = *newAsker(a.t, a.w) }

// commit is a target with the given files, each with its own name in it.
func (a *asker) commit(name string, paths ...string) *candidate {
	t := &plan.Target{Commit: name, Roles: []string{"base"}, State: plan.State{Paths: map[string]plan.Path{}, Units: map[string]plan.Unit{}}, Content: map[string][]byte{}}
	for _, p := range paths {
		text := []byte("ours at " + p + "\n")
		at := plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: plan.DigestKey{}.Digest(text)}
		t.State.Paths[p], t.Content[at.Digest] = at, text
	}
	return &candidate{target: t, digest: manifest.Digest(t)}
}

// come is what a pass does with a commit, without Git and without validators.
func (a *asker) come(c *candidate) Outcome {
	a.t.Helper()
	ctx := context.Background()
	a.host.forgetQuestion(c.target.Commit)
	if o, stop := a.notThis(c); stop {
		return o
	}
	n, err := a.host.observe(ctx, c.target)
	if err != nil {
		a.t.Fatal(err)
	}
	w := a.host.complete(c.target, c.digest, "", n)
	if o, asks := a.question(c, w); asks {
		return o
	}
	o, err := a.host.deploy(ctx, w, n)
	if err != nil {
		a.t.Fatal(err)
	}
	return o
}

func (a *asker) want(about string, c *candidate, result Result) {
	a.t.Helper()
	if o := a.come(c); o.Result != result {
		a.t.Fatalf("%s: it ends as %q (%s), want %q", about, o.Result, o.Reason, result)
	}
}

// approve is what "evenkeel approve" writes.
func (a *asker) approve(commit string) {
	a.t.Helper()
	q, err := a.host.Ledger.asked(commit)
	if err != nil {
		a.t.Fatal(err)
	}
	a.request(Approval{Commit: q.Commit, Digest: q.Digest})
}

func (a *asker) request(approval Approval) {
	a.t.Helper()
	data, err := json.Marshal(approval)
	if err == nil {
		err = writeState(a.host.State, approveFile, data)
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *asker) mustHeed() {
	a.t.Helper()
	if err := a.heed(); err != nil {
		a.t.Fatal(err)
	}
}

func many(n int) []string {
	var paths []string
	for i := range n {
		paths = append(paths, fmt.Sprintf("/etc/app/%02d.conf", i))
	}
	return paths
}

func TestCommitThatTakesMuchAwayWaitsForAnAnswer(t *testing.T) {
	a := newAsker(t, newWorld(newScenario(1)))
	a.want("the first", a.commit("first", many(12)...), ResultGood)
	files := a.w.disk.Tree("/etc")
	few := a.commit("few-left", many(3)...)
	a.want("one that keeps a quarter", few, ResultHeld)
	if q := a.host.Ledger.Hold.Question; !slices.Equal(q.Paths, many(12)[3:]) || q.More != 0 {
		t.Errorf("it asks about %q and %d more, want those that would go", q.Paths, q.More)
	}
	a.restart()
	if h := a.host.Ledger.Hold; h == nil || h.Question == nil {
		t.Fatal("the question did not survive a restart")
	}
	if now := a.w.disk.Tree("/etc"); fmt.Sprint(now) != fmt.Sprint(files) {
		t.Error("asking touched the host")
	}
	a.want("again, unanswered", few, ResultHeld)

	a.approve("few-")
	a.restart()
	a.mustHeed()
	a.restart()
	a.want("approved, and two restarts later", few, ResultGood)
	if a.host.Ledger.Approved != nil {
		t.Error("the answer outlived the verdict")
	}
	a.want("it comes back", a.commit("back", many(12)...), ResultGood)
	a.want("the same again is asked about again", few, ResultHeld)
}

// TestQuestionTellsWhatGetsItsOriginalBack: it spoke of 19 paths to be taken away, and 14
// of them only got back what stood there before.
func TestQuestionTellsWhatGetsItsOriginalBack(t *testing.T) {
	a := newAsker(t, newWorld(newScenario(1)))
	a.w.disk.PutDir("/etc/app", apply.Attr{Mode: 0o755})
	for _, p := range many(9)[3:] {
		a.w.disk.PutFile(p, "before\n", rootFile)
	}
	a.want("the first", a.commit("first", many(12)...), ResultGood)
	few := a.commit("few", many(3)...)

	var p Preview
	if err := a.preview(t.Context(), few, &p); err != nil {
		t.Fatal(err)
	}
	for _, diff := range p.Diffs {
		if old := slices.Contains(many(9), diff.Path); string(diff.Old) != "ours at "+diff.Path+"\n" || old != (string(diff.New) == "before\n") || !old && diff.New != nil {
			t.Errorf("plan shows %s as %q, then %q", diff.Path, diff.Old, diff.New)
		}
	}
	if len(p.Diffs) != 9 {
		t.Errorf("plan shows %d files", len(p.Diffs))
	}

	a.want("few", few, ResultHeld)
	hold := a.host.Ledger.Hold
	if want := "it would take away 9 of the 12 paths that evenkeel brought here: 3 are removed, and 6 get back what stood there before; up to 5 go without asking"; !strings.Contains(hold.Reason, want) {
		t.Errorf("it asks %q, want %q", hold.Reason, want)
	}
	if back := hold.status().Back; !slices.Equal(back, many(9)[3:]) {
		t.Errorf("these get back what stood there before: %q", back)
	}
}

// TestLinksThatEnableUnitsAreNotCounted: the host spoke of one path more than check
// --diff, which does not know the other names of units of packages.
func TestLinksThatEnableUnitsAreNotCounted(t *testing.T) {
	link := func(to string) plan.Path { return plan.Path{Kind: plan.Link, Link: to} }
	mask, alias := "/etc/systemd/system/other.service", "/etc/systemd/system/sshd.service"
	was := link("/usr/lib/systemd/system/db.service")
	paths := map[string]plan.Path{
		"/etc/app.conf": {Kind: plan.File}, "/etc/link": link("app.conf"), mask: link("/dev/null"), alias: link("/usr/lib/systemd/system/ssh.service"),
		"/etc/systemd/system/multi-user.target.wants/ssh.service": link("/usr/lib/systemd/system/ssh.service"),
	}
	owned := map[string]Owned{"/etc/systemd/system/database.service": {Original: &was}}
	for p := range paths {
		owned[p] = Owned{}
	}
	l := &Ledger{Good: &Good{State: goodStateOf(plan.State{Paths: paths})}, Owned: shelve(owned)}
	p := l.pruning(wanted{target: &plan.Target{}})
	if want := []string{"/etc/app.conf", "/etc/link", mask}; !slices.Equal(p.gone, want) || p.owned != len(want) {
		t.Errorf("%d count, of which these go: %q; want %q", p.owned, p.gone, want)
	}
}

func TestAnAnswerIsForOneCommit(t *testing.T) {
	a := newAsker(t, newWorld(newScenario(1)))
	a.want("the first", a.commit("first", many(20)...), ResultGood)
	few := a.commit("few-left", many(3)...)
	a.want("few", few, ResultHeld)
	a.approve("")
	a.want("another comes before the answer is read", a.commit("fewer", many(2)...), ResultHeld)
	a.mustHeed()
	if l := a.host.Ledger; l.Approved != nil || l.Hold == nil {
		t.Errorf("the answer to %q counted for %q", "few-left", l.Hold.Question.Commit)
	}
	if _, err := a.host.Ledger.asked("few-left"); err == nil {
		t.Error("the old commit can still be approved")
	}
	a.want("one that takes little away is not asked about", a.commit("mend", many(17)...), ResultGood)
	if a.host.Ledger.Hold != nil {
		t.Error("the question outlived the commit")
	}
	a.request(Approval{Commit: "few-left", Digest: few.digest})
	a.mustHeed()
	a.want("an answer without a question is worth nothing", few, ResultHeld)
}

func TestTrailerAnswersBeforehand(t *testing.T) {
	a := newAsker(t, newWorld(newScenario(1)))
	a.want("the first", a.commit("first", many(20)...), ResultGood)
	few := a.commit("few-left", many(3)...)
	few.info = source.Info{AllowPrune: true}
	a.want("few, and meant", few, ResultGood)
}

func TestRenamedHostWaitsForAnAnswer(t *testing.T) {
	for _, by := range []string{"approve", "retry"} {
		a := newAsker(t, newWorld(newScenario(1)))
		a.host.Ledger.Host = "host"
		a.want("the first", a.commit("first", "/etc/app.conf"), ResultGood)
		a.cfg.Host = "other"
		next := a.commit("next", "/etc/app.conf", "/etc/db.conf")
		next.target.Roles = []string{"base", "db"}
		next.info.AllowPrune = true
		a.want("another name and other roles", next, ResultHeld)
		if by == "approve" {
			a.approve("next")
		} else if err := writeState(a.host.State, retryFile, nil); err != nil {
			t.Fatal(err)
		}
		a.mustHeed()
		a.want(by, next, ResultGood)
		third := a.commit("third", "/etc/app.conf")
		a.want("the name is known now", third, ResultGood)
	}
}

func TestDamagedApprovalCountsForNothing(t *testing.T) {
	a := newAsker(t, newWorld(newScenario(1)))
	a.want("the first", a.commit("first", many(12)...), ResultGood)
	a.want("few", a.commit("few", many(3)...), ResultHeld)
	if err := writeState(a.host.State, approveFile, []byte("{")); err != nil {
		t.Fatal(err)
	}
	a.mustHeed()
	if a.host.Ledger.Hold == nil {
		t.Error("it ended the hold")
	}
	if slices.Contains(a.w.disk.Names(stateDir), approveFile) {
		t.Error("it is still there, and would be read at each pass")
	}
}

// shipped writes dpkg's record of one package with one configuration file.
func (a *asker) shipped(p, content string) {
	text := "Package: lamp\nStatus: install ok installed\nConffiles:\n /etc/lamp/other 00000000000000000000000000000000\n"
	if content != "" {
		sum := md5.Sum([]byte(content))
		text += " " + p + " " + hex.EncodeToString(sum[:]) + "\n"
	}
	a.w.disk.PutDir("/var/lib/dpkg", apply.Attr{Mode: 0o755})
	a.w.disk.PutFile("/var/lib/dpkg/status", text+"Description: lamp\n of /etc/motd 11111111111111111111111111111111\n", rootFile)
}

func TestStaleOriginalIsNotPutBack(t *testing.T) {
	const p = "/etc/motd"
	ours := "ours at " + p + "\n"
	for _, row := range []struct {
		about         string
		before, after string // what the package ships, "" when none has the file
		stands        string // what the upgrade leaves at the path
		left          string // and beside it
		asks          bool
		ends          string
	}{
		{"the package did not change", "vendor\n", "vendor\n", ours, "", false, "vendor\n"},
		{"no package has the file", "", "", ours, "", false, "vendor\n"},
		{"a local edit of what did not change since", "pristine\n", "pristine\n", ours, ".dpkg-dist", false, "vendor\n"},
		{"a newer version, and ours was kept", "vendor\n", "newer\n", ours, ".dpkg-dist", true, ours},
		{"a newer version that took our place", "vendor\n", "newer\n", "newer\n", ".dpkg-old", false, "newer\n"},
		{"a package that came later", "", "newer\n", ours, "", true, ours},
		{"the package was purged", "vendor\n", "", ours, "", true, ours},
		{"rpm kept ours", "", "", ours, ".rpmnew", true, ours},
		{"rpm took our place", "", "", "newer\n", ".rpmsave", true, "newer\n"},
	} {
		t.Run(row.about, func(t *testing.T) {
			a := newAsker(t, newWorld(newScenario(1)))
			a.shipped(p, row.before)
			a.want("the first", a.commit("first", p, "/etc/app.conf"), ResultGood)
			a.shipped(p, row.after)
			a.w.disk.PutFile(p, row.stands, rootFile)
			if row.left != "" {
				a.w.disk.PutFile(p+row.left, "x", rootFile)
			}
			if beside := strings.Join(a.host.beside(), " "); row.left != "" && beside != p+row.left {
				t.Errorf("beside it: %q", beside)
			}
			next := a.commit("next", "/etc/app.conf")
			if row.asks {
				a.want("next", next, ResultHeld)
				if q := a.host.Ledger.Hold.Question; !slices.Equal(q.Paths, []string{p}) {
					t.Errorf("it asks about %q", q.Paths)
				}
				a.approve("next")
				a.mustHeed()
			}
			a.want("next", next, ResultGood)
			if text, _ := a.w.disk.ReadFile(p); string(text) != row.ends {
				t.Errorf("%q stands there, want %q", text, row.ends)
			}
			if _, ours := a.host.Ledger.Owned.all()[p]; ours {
				t.Error("the path is still ours")
			}
		})
	}
}

func TestQuestionIsBoundedAndSaysWhatToDo(t *testing.T) {
	a := newAsker(t, newWorld(newScenario(1)))
	a.want("the first", a.commit("first", many(90)...), ResultGood)
	a.want("few", a.commit("0123456789abcdef0123456789abcdef01234567", many(3)...), ResultHeld)
	s := a.host.Ledger.Hold.status()
	if len(s.Paths) != maxAsked || s.More != 87-maxAsked || !strings.Contains(s.Do, "evenkeel approve 0123456789ab") {
		t.Errorf("%d paths and %d more; %s", len(s.Paths), s.More, s.Do)
	}
	if s.Since.Before(time.Unix(0, 0)) {
		t.Error("it has no time")
	}
}
