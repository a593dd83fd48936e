package agent

import (
	"context"
	"time"

	"evenkeel/agent/health"
	"evenkeel/agent/plan"
)

// watching is the prober of the daemon: while it watches a commit, it looks for
// a newer one, which ends the wait.
type watching struct {
	*health.Prober
	d *daemon
}

// Watch is the probation; see health.Prober. A newer commit that could be
// applied interrupts it.
func (w *watching) Watch(ctx context.Context, watched []health.Watched, probation time.Duration, baseline map[string]bool) health.Report {
	d := w.d
	if !d.host.isWatching() {
		return w.Prober.Watch(ctx, watched, probation, baseline)
	}
	inner, interrupt := context.WithCancel(ctx)
	defer interrupt()
	report := make(chan health.Report, 1)
	go func() { report <- w.Prober.Watch(inner, watched, probation, baseline) }()
	timer := time.NewTimer(jitter(d.cfg.Interval))
	defer timer.Stop()
	for {
		select {
		case r := <-report:
			return r
		case <-timer.C:
		case <-d.nudge:
			d.writeStatus() // somebody may have paused
		}
		d.board.progressed()
		if c := d.newer(inner); c != nil {
			d.candidate = c
			interrupt()
			return <-report
		}
		timer.Reset(jitter(d.cfg.Interval))
	}
}

// Baseline is that of health.Prober. It may take as long as the slowest check, and
// shows meanwhile that it goes on.
func (w *watching) Baseline(ctx context.Context, services map[string]plan.Service) map[string]bool {
	done := make(chan map[string]bool, 1)
	go func() { done <- w.Prober.Baseline(ctx, services) }()
	alive := time.NewTicker(beat)
	defer alive.Stop()
	for {
		select {
		case green := <-done:
			return green
		case <-alive.C:
			w.d.board.progressed()
		}
	}
}

// newer finds a commit that overtakes the one that is watched.
func (d *daemon) newer(ctx context.Context) *candidate {
	open := d.host.Open
	if err := d.heedPin(); err != nil {
		d.log.Warn("a request is not heeded yet", "err", err)
	}
	d.tellPause()
	newest, err := d.follow(ctx)
	if err != nil || newest.tip.Commit == open.Commit {
		return nil
	}
	commit := newest.tip.Commit
	c, outcome := d.look(ctx)
	d.host.tell(StageWatching, open.Commit)
	if c == nil || c.digest == open.Digest || c.key == d.passedOver {
		if outcome.Reason != "" {
			d.log.Info("a newer commit does not end the watch", "commit", commit, "reason", outcome.Reason)
		}
		return nil
	}
	if !d.overtakes(c) {
		return nil
	}
	d.log.Info("a newer commit ends the watch", "commit", commit)
	return c
}
