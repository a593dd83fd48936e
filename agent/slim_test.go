package agent

import (
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	"evenkeel/agent/plan"
)

// TestSlimLedgerSaysTheSame: only where its texts are is different, and that is one place.
func TestSlimLedgerSaysTheSame(t *testing.T) {
	var l Ledger
	l.slim() // nothing is good yet

	was := Ledger{Good: &Good{State: plan.State{Paths: map[string]plan.Path{}}}, Owned: map[string]Owned{}}
	for i := range 100 {
		p := fmt.Sprint("/etc/", i)
		was.Good.State.Paths[p] = plan.Path{Kind: plan.File, Owner: "root", Group: fmt.Sprint("g", i%2), Digest: fmt.Sprint("sum ", i)}
		was.Owned[fmt.Sprint("/etc/", i+50)] = ownedFrom(plan.Path{Kind: plan.Link, Link: "there"}, "")
	}
	was.Good.State.Paths["/etc/link"] = plan.Path{Kind: plan.Link, Link: "where"}
	l = was
	l.slim()
	if !reflect.DeepEqual(l, was) {
		t.Errorf("it says %+v, and said %+v", l, was)
	}
	begins := map[*byte]bool{}
	for _, at := range l.Good.State.Paths {
		if at.Kind == plan.File {
			begins[unsafe.StringData(at.Owner)] = true
		}
	}
	if len(begins) != 1 {
		t.Errorf("the same owner is there %d times", len(begins))
	}
	for p := range l.Owned {
		for good := range l.Good.State.Paths {
			if p == good && unsafe.StringData(p) != unsafe.StringData(good) {
				t.Fatalf("the path %s is there twice", p)
			}
		}
	}
}
