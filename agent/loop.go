package agent

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// errand is what the loop does in a goroutine of its own, one at a time: a pass, or a
// look for drift.
type errand struct {
	do     func(context.Context) Outcome
	done   chan Outcome
	finish func(Outcome) time.Duration // tells how it ended, and gives the time until the next pass
}

// asPlanned is the time until the next pass when an errand leaves it as it is.
const asPlanned time.Duration = -1

// errands are done in one goroutine: the stack of a new one would grow anew each time.
type errands chan *errand

func (e errands) run(ctx context.Context) {
	for next := range e {
		next.done <- next.do(ctx)
	}
}

// begin starts an errand. The one before must be over.
func (e errands) begin(do func(context.Context) Outcome, finish func(Outcome) time.Duration) *errand {
	next := &errand{do: do, done: make(chan Outcome, 1), finish: finish}
	e <- next
	return next
}

// loop runs one errand after the other. It feeds systemd's watchdog itself, and
// stops doing so when an errand makes no progress.
func (d *daemon) loop(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var owed, asked bool // a reload, or a pass, that waits for the end of an errand
	dirs := findPlaces(d.cfg)
	timer := time.NewTimer(0)
	alive, lived := time.NewTicker(beat), time.Now()
	defer alive.Stop()
	var under *errand // way
	errands := make(errands, 1)
	defer close(errands)
	go errands.run(ctx)
	for {
		var due chan struct{}
		var tick <-chan time.Time
		var says chan heard
		var done chan Outcome
		if under != nil {
			done = under.done
		} else {
			due, tick, says = d.lookout.due, timer.C, d.origins[0].looker.says()
		}
		select {
		case <-ctx.Done():
			if under != nil {
				under.finish(<-done)
			}
			return d.notify.Stopping()
		case <-hup:
			if under != nil {
				owed = true
				d.ask()
				continue
			}
			d.reload()
			timer.Reset(0)
		case <-d.wake:
			if under != nil {
				asked = true
				d.ask()
				continue
			}
			d.hurry()
			timer.Reset(0)
		case said, open := <-says:
			if !d.origins[0].looker.take(said, open, time.Now()) {
				d.lookSelf()
				timer.Reset(d.cfg.Interval / 3)
				continue
			}
			d.looked(time.Now())
			under = errands.begin(d.onePass, d.passed)
		case <-due:
			under = errands.begin(d.checkDrift, d.checked)
		case <-tick:
			if d.locks.putsOff(time.Now()) {
				timer.Reset(recheck)
				continue
			}
			d.looked(time.Now())
			under = errands.begin(d.onePass, d.passed)
		case outcome := <-done:
			delay := under.finish(outcome)
			under = nil
			if time.Since(lived) > beat/2 {
				if err := d.live(dirs); err != nil {
					return err
				}
				lived = time.Now()
				alive.Reset(beat)
			}
			if owed {
				d.reload()
				delay = 0
			}
			if asked {
				d.hurry()
				delay = 0
			}
			owed, asked = false, false
			if delay = d.stillPlanned(delay); delay != asPlanned {
				timer.Reset(delay)
			}
		case <-alive.C:
			lived = time.Now()
			if under != nil {
				d.feed()
			} else if err := d.live(dirs); err != nil {
				return err
			}
		}
	}
}

// live is what the loop does at each beat. After an errand it does it a little early: a daemon
// that is woken at each beat anyway need not wake up once more.
func (d *daemon) live(dirs places) error {
	d.feed()
	return dirs.lost()
}

// feed tells systemd's watchdog that all is well, if it is.
func (d *daemon) feed() {
	if d.board.isProgressing() {
		_ = d.notify.Watchdog()
	}
}

// passed is finished, and leaves the looks to the child where the daemon has nothing else to
// do at them: it hears of news at once, and passes at least at each beat.
func (d *daemon) passed(outcome Outcome) time.Duration {
	delay := d.finished(outcome)
	looker := d.origins[0].looker
	nothing := outcome.Result.isSettled() && d.failures == 0 && d.asks.nothing && len(d.origins) == 1
	d.leaves = nothing && looker.keep(d.cfg.Interval, d.phase())
	if d.leaves {
		return d.cfg.Interval*8/5 + beat + pollLate // it says something before that
	}
	d.lookSelf()
	return delay
}

// lookSelf ends the looks of the child: there is a time now at which the daemon looks.
func (d *daemon) lookSelf() {
	d.leaves = false
	d.origins[0].looker.rest()
}

// hurry makes way for a look that somebody asks for.
func (d *daemon) hurry() {
	d.locks.hurry()
	d.lookSelf()
}

// stillPlanned is the time until the next pass after an errand that leaves it as it was: where
// the child was to look, and the errand had looks of its own, which end those of the child,
// the daemon must.
func (d *daemon) stillPlanned(delay time.Duration) time.Duration {
	if delay != asPlanned || !d.leaves || d.origins[0].looker.says() != nil {
		return delay
	}
	d.lookSelf()
	return d.delay()
}

// ask wakes a watch that looks for newer commits.
func (d *daemon) ask() {
	select {
	case d.nudge <- struct{}{}:
	default:
	}
}

// looked remembers when the pass begins that the next report is about.
func (d *daemon) looked(now time.Time) {
	d.board.change(func(s *Status) { s.Looked = now.UTC() })
}
