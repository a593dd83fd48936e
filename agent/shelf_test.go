package agent

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"evenkeel/agent/plan"
)

// TestLedgerThatWasPutAwaySaysTheSame: to its readers, and on the disk, where a program of
// before can read it.
func TestLedgerThatWasPutAwaySaysTheSame(t *testing.T) {
	paths, owned := map[string]plan.Path{"/etc/link": {Kind: plan.Link, Link: "where"}}, map[string]Owned{"/etc/link": {}}
	for i := range 100 {
		p := fmt.Sprint("/etc/<many>/", i)
		paths[p] = plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: fmt.Sprint("sum ", i)}
		owned[p] = ownedFrom(plan.Path{Kind: plan.File, Digest: "original"}, "md5")
	}
	l := &Ledger{Good: &Good{Commit: "c", State: goodStateOf(plan.State{Paths: paths, Units: map[string]plan.Unit{"app.service": {Active: true}}})}, Owned: shelve(owned)}
	text := mustJSON(t, l)
	var plain struct {
		Good  struct{ State plan.State }
		Owned map[string]Owned
	}
	if err := json.Unmarshal([]byte(text), &plain); err != nil || !reflect.DeepEqual(plain.Good.State.Paths, paths) || !reflect.DeepEqual(plain.Owned, owned) {
		t.Errorf("on the disk it is %+v, %v", plain, err)
	}
	read := new(Ledger)
	if err := json.Unmarshal([]byte(text), read); err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Ledger{l, read} {
		for range 2 {
			if !l.isOff() {
				t.Error("there is nothing to put away")
			}
			l.putAway()
			if l.isOff() {
				t.Error("something was not put away")
			}
			if again := mustJSON(t, l); again != text {
				t.Errorf("put away it is\n%s\nand was\n%s", again, text)
			}
			if again := mustJSON(t, *l); again != text {
				t.Errorf("as a value it is\n%s\nand was\n%s", again, text)
			}
			if !reflect.DeepEqual(l.Good.State.Paths.all(), paths) || !reflect.DeepEqual(l.Owned.all(), owned) {
				t.Error("it says something else")
			}
		}
	}
}

func TestLedgerOfAHostThatHasNothingIsPutAway(t *testing.T) {
	for _, l := range []*Ledger{{}, {Good: &Good{}}} {
		text := mustJSON(t, l)
		l.putAway()
		if again := mustJSON(t, l); again != text || l.Owned.all() != nil {
			t.Errorf("it is %s and was %s", again, text)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
