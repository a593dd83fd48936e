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
	for {
		select {
		case <-ctx.Done():
			if done != nil {
				d.finished(<-done)
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
		case <-timer.C:
			if d.locks.putsOff(time.Now()) {
				timer.Reset(recheck)
				continue
			}
			d.looked(time.Now())
			done = make(chan Outcome, 1)
			go func() { done <- d.onePass(ctx) }()
		case outcome := <-done:
			done = nil
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
