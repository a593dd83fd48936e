package health

import (
	"context"
	"time"

	"evenkeel/units"
)

const (
	settlePoll = 250 * time.Millisecond
	watchPoll  = time.Second

	renewals = 5                // restarts by somebody else that one watch puts up with
	patience = 30 * time.Second // for a unit that somebody restarts to be back, and for systemd to answer

)

// Settle watches the units of a wave after their jobs, each for its service's
// settle time. A restart by somebody else, which is no failure, begins the time
// again, a few times. The first failure ends it for all.
func (p *Prober) Settle(ctx context.Context, wave []Watched) []Finding {
	enough := make(chan struct{})
	close(enough)
	return follow(ctx, p.Manager, wave, settlePoll, enough)
}

// follow looks at units again and again: until one has failed, until the context
// ends, or, once enough is closed, until each has been good for its settle time.
// There is one finding for each unit, in order.
func follow(ctx context.Context, m units.Manager, watched []Watched, poll time.Duration, enough <-chan struct{}) []Finding {
	all := make([]*follower, len(watched))
	for i, w := range watched {
		all[i] = &follower{Watched: w, manager: m, since: time.Now()}
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		failed, settled := false, true
		for _, f := range all {
			f.look(ctx)
			failed = failed || f.why != ""
			settled = settled && f.settled()
		}
		if failed || ctx.Err() != nil || settled && closed(enough) {
			return findings(ctx, all)
		}
		over := enough
		if !settled {
			over = nil // it would not end anything yet
		}
		select {
		case <-ctx.Done():
		case <-over:
		case <-tick.C:
		}
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// findings closes a watch. A unit that had not failed when the context ended is
// neither good nor bad.
func findings(ctx context.Context, all []*follower) []Finding {
	list := make([]Finding, len(all))
	for i, f := range all {
		list[i] = Finding{Unit: f.Name, OK: f.why == "", Why: f.why, Evidence: f.evidence}
		if f.why == "" && ctx.Err() != nil {
			list[i].OK, list[i].Interrupted = false, true
		}
	}
	return list
}

// follower is one unit under watch.
type follower struct {
	Watched
	manager  units.Manager
	since    time.Time // good from here on
	trouble  time.Time // not to be judged from here on; zero when it can be
	renewals int
	why      string // it failed
	evidence string
}

func (f *follower) settled() bool {
	return f.trouble.IsZero() && time.Since(f.since) >= f.Service.Settle
}

// look asks systemd about the unit once. A failure stays one.
func (f *follower) look(ctx context.Context) {
	if f.why != "" {
		return
	}
	now, triggered, err := f.ask(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.wait("systemd does not answer", err.Error())
		return
	}
	switch mark, why := judge(f.Watched, now, triggered); mark {
	case bad:
		f.fail(why, says(now))
	case between:
		f.wait(why, says(now))
	case good:
		f.back()
		f.lookAtTriggered(ctx, now)
	case renewed:
		f.back()
		f.renew(now)
	}
}

func (f *follower) ask(ctx context.Context) (now units.Detail, triggered bool, err error) {
	now, err = f.manager.Show(ctx, f.Name)
	if err != nil || now.Active != "inactive" || len(now.TriggeredBy) == 0 {
		return now, false, err
	}
	triggers, err := f.manager.List(ctx, now.TriggeredBy)
	for _, trigger := range triggers {
		triggered = triggered || trigger.IsActive()
	}
	return now, triggered, err
}

// lookAtTriggered looks at what the unit starts, when it is one that does.
func (f *follower) lookAtTriggered(ctx context.Context, now units.Detail) {
	for _, name := range now.Triggers {
		triggered, err := f.manager.Show(ctx, name)
		if err != nil {
			return // systemd is asked about the unit itself again soon
		}
		if mark, why := judgeTriggered(f.Watched, triggered); mark == bad {
			f.fail(why, says(triggered))
		}
	}
}

// wait puts up with a unit that cannot be judged now, for a while.
func (f *follower) wait(why, evidence string) {
	if f.trouble.IsZero() {
		f.trouble = time.Now()
	}
	if time.Since(f.trouble) >= patience {
		f.fail(why+" within "+patience.String(), evidence)
	}
}

// back ends a wait. The time in which the unit was down does not count as good.
func (f *follower) back() {
	if !f.trouble.IsZero() {
		f.since, f.trouble = time.Now(), time.Time{}
	}
}

func (f *follower) renew(now units.Detail) {
	f.since, f.Was = time.Now(), now
	f.renewals++
	if f.renewals > renewals {
		f.fail("somebody restarts it again and again", says(now))
	}
}

func (f *follower) fail(why, evidence string) { f.why, f.evidence = why, clean(evidence) }
