package health

import (
	"context"
	"fmt"
	"sync"
	"time"

	"evenkeel/agent/plan"
)

const (
	atOnce     = 8 // checks that run side by side
	retryEvery = time.Second
)

// namedCheck is a check under a name that no other check of the host has.
type namedCheck struct {
	name    string
	unit    string
	service plan.Service
	check   plan.Check
}

// named lists the checks of one service. A check that prints like an earlier
// one, such as the same program with other arguments, gets a number.
func named(unit string, service plan.Service) []namedCheck {
	seen := map[string]int{}
	var all []namedCheck
	for _, check := range service.Checks {
		name := unit + " " + check.String()
		seen[name]++
		if n := seen[name]; n > 1 {
			name = fmt.Sprintf("%s (%d)", name, n)
		}
		all = append(all, namedCheck{name, unit, service, check})
	}
	return all
}

// trial is one check that is tried until it passes.
type trial struct {
	namedCheck
	within    time.Duration
	redBefore bool // may fail
	green     bool // was green before
	last      Result
	passed    bool
	why       string // it failed, for certain
}

// each runs a function on every trial at once. The slots that it hands out bound
// how many of them try their check at a time.
func each(trials []*trial, do func(t *trial, slots chan struct{})) {
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for _, t := range trials {
		all.Go(func() { do(t, slots) })
	}
	all.Wait()
}

// repeat tries a check until it passes, the context ends or the tries are over.
func (t *trial) repeat(ctx context.Context, p *Prober, slots chan struct{}, over func(tries int) bool) {
	for tries := 1; ctx.Err() == nil; tries++ {
		slots <- struct{}{}
		result := p.Try(ctx, t.check)
		<-slots
		if ctx.Err() != nil {
			return // what the end of the context did to this try says nothing
		}
		t.last, t.passed = result, result.OK
		t.last.Check = t.name
		if t.passed || over(tries) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryEvery):
		}
	}
}
