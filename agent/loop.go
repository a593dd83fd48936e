package agent

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// loop runs one pass after the other. It feeds systemd's watchdog itself, and
// stops doing so when a pass makes no progress.
func (d *daemon) loop(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	owed := false  // somebody asked for a reload during a pass
	asked := false // the same, for a look only
	dirs := findPlaces(d.cfg)
	timer := time.NewTimer(0)
	alive := time.NewTicker(beat)
	defer alive.Stop()
	var done chan Outcome
	drifting := false // what is under way is a look for drift, not a pass
	for {
		due, tick := d.lookout.due, timer.C
		if done != nil { // one thing after the other
			due, tick = nil, nil
		}
		select {
		case <-ctx.Done():
			if done != nil && !drifting {
				d.finished(<-done)
			} else if done != nil {
				d.checked(<-done)
			}
			return d.notify.Stopping()
		case <-hup:
			if done != nil {
				owed = true
				d.ask()
				continue
			}
			d.reload()
			timer.Reset(0)
		case <-d.wake:
			if done != nil {
				asked = true
				d.ask()
				continue
			}
			d.locks.hurry()
			timer.Reset(0)
		case <-due:
			drifting, done = true, make(chan Outcome, 1)
			go func() { done <- d.checkDrift(ctx) }()
		case <-tick:
			if d.locks.putsOff(time.Now()) {
				timer.Reset(recheck)
				continue
			}
			d.looked(time.Now())
			done = make(chan Outcome, 1)
			go func() { done <- d.onePass(ctx) }()
		case outcome := <-done:
			done = nil
			if drifting {
				drifting = false
				if owed {
					d.reload()
				}
				if d.checked(outcome) || owed || asked {
					owed, asked = false, false
					timer.Reset(0)
				}
				continue
			}
			delay := d.finished(outcome)
			if owed {
				owed, delay = false, 0
				d.reload()
			}
			if asked {
				asked, delay = false, 0
				d.locks.hurry()
			}
			timer.Reset(delay)
		case <-alive.C:
			if done == nil {
				if err := dirs.lost(); err != nil {
					return err
				}
			}
			if d.isProgressing() {
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
	d.mu.Lock()
	d.status.Looked = now.UTC()
	d.mu.Unlock()
}
