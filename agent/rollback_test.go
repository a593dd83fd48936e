package agent

import (
	"strings"
	"testing"
	"time"
)

func TestPastGood(t *testing.T) {
	l := &Ledger{
		Good:  &Good{Commit: "cccc3", Digest: "c"},
		Goods: []PastGood{{Commit: "aaaa1", Digest: "a"}, {Commit: "bbbb2", Digest: "b"}, {Commit: "bbbb3", Digest: "c"}, {Commit: "cccc3", Digest: "c"}},
	}
	open := &Attempt{Commit: "dddd4", phase: PhaseStay}
	for _, row := range []struct {
		about, meant string
		open         *Attempt
		want, fault  string
	}{
		{about: "the one before that asked for something else", want: "bbbb2"},
		{about: "the good one while an attempt is open", open: open, want: "cccc3"},
		{about: "one by its first letters", meant: "aaaa", want: "aaaa1"},
		{about: "one by its whole name", meant: "bbbb3", want: "bbbb3"},
		{about: "two begin so", meant: "bbbb", fault: "2 commits begin so"},
		{about: "too few letters", meant: "aaa", fault: "was not good on this host"},
		{about: "one that was never good here", meant: "dddd4", open: open, fault: "these were:\n  cccc3"},
	} {
		got, err := l.pastGood(row.meant, row.open)
		if got.Commit != row.want || (err == nil) != (row.fault == "") || err != nil && !strings.Contains(err.Error(), row.fault) {
			t.Errorf("%s: %q, %v; want %q, %q", row.about, got.Commit, err, row.want, row.fault)
		}
	}
	if _, err := (&Ledger{}).pastGood("", nil); err == nil || !strings.Contains(err.Error(), "no other commit was good") {
		t.Errorf("on a new host: %v", err)
	}
}

func TestRollbackEndsWhenTheBranchMoves(t *testing.T) {
	for _, row := range []struct {
		about, pinned, head string
		want                string
		stays               string // the head that the pin is for, "" when it ended
	}{
		{"the branch stands still", "head1", "head1", "past", "head1"},
		{"nobody knows where it is", "head1", "", "past", "head1"},
		{"it is seen for the first time since", "", "head1", "past", "head1"},
		{"it moved", "head1", "head2", "head2", ""},
	} {
		l := &Ledger{Pin: &Pin{Commit: "past", Head: row.pinned}, Key: "k"}
		got, _ := l.followed(row.head)
		if stays := l.Pin != nil; got != row.want || stays != (row.stays != "") || stays && l.Pin.Head != row.stays {
			t.Errorf("%s: %q, pin %+v; want %q, %q", row.about, got, l.Pin, row.want, row.stays)
		}
	}
}

// What a commit was rejected for since it was good does not keep a person from
// going back to it.
func TestRollbackForgetsWhatTheCommitFailedFor(t *testing.T) {
	now := time.Unix(1, 0)
	h := &Host{Now: func() time.Time { return now }}
	l := &Ledger{
		Rejected: []Rejection{{Commit: "a", Digest: "1"}, {Commit: "b", Digest: "2"}, {Commit: "c", Digest: "1"}},
		Hold:     &Hold{Reason: "it failed", Commit: "c"},
	}
	l.pin(PastGood{Commit: "a", Digest: "1"}, "head", h)
	if len(l.Rejected) != 1 || l.Rejected[0].Commit != "b" || l.Hold != nil || l.Pin.Commit != "a" || l.Pin.Head != "head" {
		t.Errorf("rejected %+v, hold %+v, pin %+v", l.Rejected, l.Hold, l.Pin)
	}
	if e := l.History[len(l.History)-1]; e.Result != ResultRollback || e.Commit != "a" {
		t.Errorf("the history says %+v", e)
	}
	asks := &Ledger{Hold: &Hold{Reason: "another machine", Asks: true}}
	if asks.pin(PastGood{Commit: "a"}, "head", h); asks.Hold == nil {
		t.Error("a hold that only a person ends is gone")
	}
}

// TestRollbackInTheMiddleOfARetryLeavesTheCommitRejected: the retried commit had no verdict
// any more, and "resume" began it again.
func TestRollbackInTheMiddleOfARetryLeavesTheCommitRejected(t *testing.T) {
	h := &Host{Now: time.Now}
	to := PastGood{Commit: "a", Digest: "1"}
	l := &Ledger{Rejected: []Rejection{{Commit: "a", Digest: "1"}, {Commit: "bad", Digest: "2", Reason: "it crashed"}}}
	l.Retry()
	if _, rejected := l.IsRejected("bad", "2"); rejected {
		t.Fatal("a retry does not make the commit be tried again")
	}
	l.pin(to, "head", h)
	if r, rejected := l.IsRejected("bad", ""); !rejected || r.Reason != "it crashed" {
		t.Errorf("it counts as %+v", l.Rejected)
	}
	if _, rejected := l.IsRejected("a", ""); rejected || len(l.Retried) > 0 {
		t.Errorf("rejected are %+v, to be tried again %+v", l.Rejected, l.Retried)
	}
	l.Retry()
	l.Reject(Rejection{Commit: "bad", Digest: "2", Reason: "it crashed again"})
	if l.pin(to, "head", h); len(l.Rejected) != 1 || l.Rejected[0].Reason != "it crashed again" {
		t.Errorf("the second verdict is %+v", l.Rejected)
	}
	l.Retry()
	l.Proved(PastGood{Commit: "mended", Digest: "3"}) // weeks before the rollback
	if l.pin(to, "head", h); len(l.Rejected) != 0 {
		t.Errorf("after a good commit the retry counts as under way: %+v", l.Rejected)
	}
}

// TestRetryThatIsTakenBackBeforeItIsHeeded: the rollback was heeded first, and the retry
// after it, whatever a person had asked for first.
func TestRetryThatIsTakenBackBeforeItIsHeeded(t *testing.T) {
	d := anchoredDaemon(t, t.TempDir())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	l := d.host.Ledger
	l.Goods = []PastGood{{Commit: "aaaaaaaaaaaa", Digest: "1"}}
	l.Rejected = []Rejection{{Commit: "bad", Digest: "2"}}
	for _, before := range []func(){
		func() {},
		func() { l.Retry() }, // and a crash came before the request was removed
	} {
		before()
		must(l.save(d.host.State))
		must(RequestRetry(d.cfg))
		if _, err := RequestRollback(d.cfg, "aaaaaaaaaaaa"); err != nil {
			t.Fatal(err)
		}
		must(d.heed())
		if _, rejected := l.IsRejected("bad", ""); !rejected || l.Pin == nil {
			t.Errorf("rejected are %+v, the pin is %+v", l.Rejected, l.Pin)
		}
	}
	must(RequestRetry(d.cfg)) // this one came last
	must(d.heed())
	if len(l.Rejected) != 0 {
		t.Errorf("after a retry are rejected %+v", l.Rejected)
	}
}

func TestLedgerRemembersTheLastGoodCommits(t *testing.T) {
	l := &Ledger{}
	for i := range maxGoods + 5 {
		l.Proved(PastGood{Commit: string(rune('a' + i)), When: time.Unix(int64(i), 0)})
	}
	l.Proved(PastGood{Commit: l.Goods[3].Commit, When: time.Unix(100, 0)})
	l.Proved(PastGood{Commit: l.Goods[len(l.Goods)-1].Commit, When: time.Unix(200, 0)})
	if n := len(l.Goods); n != maxGoods {
		t.Errorf("%d are remembered, want %d", n, maxGoods)
	}
	if last := l.Goods[len(l.Goods)-1]; last.Commit != "i" || last.When.Unix() != 100 {
		t.Errorf("the newest is %+v", last)
	}
}
