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
	alive := time.NewTicker(beat)
	defer alive.Stop()
	var under *errand // way
	errands := make(errands, 1)
	defer close(errands)
	go errands.run(ctx)
	for {
		due, tick := d.lookout.due, timer.C
		var done chan Outcome
		if under != nil {
			due, tick, done = nil, nil, under.done
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
			d.locks.hurry()
			timer.Reset(0)
		case <-due:
			under = errands.begin(d.checkDrift, d.checked)
		case <-tick:
			if d.locks.putsOff(time.Now()) {
				timer.Reset(recheck)
				continue
			}
			d.looked(time.Now())
			under = errands.begin(d.onePass, d.finished)
		case outcome := <-done:
			delay := under.finish(outcome)
			under = nil
			if owed {
				d.reload()
				delay = 0
			}
			if asked {
				d.locks.hurry()
				delay = 0
			}
			owed, asked = false, false
			if delay != asPlanned {
				timer.Reset(delay)
			}
		case <-alive.C:
			if under == nil {
				if err := dirs.lost(); err != nil {
					return err
				}
			}
			if d.board.isProgressing() {
				_ = d.notify.Watchdog()
			}
		}
	}
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
