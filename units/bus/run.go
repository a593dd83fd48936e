package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"evenkeel/units"
)

const (
	pollEvery   = time.Second     // how often a job is asked for, besides listening
	signalGrace = time.Second     // how much later than the job's end its signal may come
	cancelLimit = 5 * time.Second // for taking back a job that nobody waits for any more
	queueTries  = 3               // how often a job is asked for when systemd may not have heard it
)

// timedOut is systemd's word for a job that took too long.
const timedOut = "timeout"

var errJobLimit = errors.New("the job took too long")

// Run queues a job, waits for its end and gives systemd's result word. A unit
// that it starts stays loaded, so that Show can tell how the run ended, until Run
// stops it or the connection ends. After Options.JobLimit it takes the job back,
// which is a "timeout" like systemd's own. At the end of the context it does so too
// and gives an error: the unit may then be in any state.
func (m *Manager) Run(ctx context.Context, verb units.Verb, name string) (result string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, m.options.JobLimit, errJobLimit)
	defer cancel()
	result, err = m.run(ctx, verb, name)
	if err != nil {
		return "", fmt.Errorf("cannot %s unit %q: %w", verb, name, err)
	}
	if verb == units.Stop {
		m.letGo(ctx, name)
	}
	return result, nil
}

// letGo stops holding a unit that was stopped: its file may go next. A failure
// only means that systemd remembers it for longer.
func (m *Manager) letGo(ctx context.Context, name string) {
	err := m.askOnce(ctx, m.options.CallLimit, func(ctx context.Context, l *link) error {
		return l.release(ctx, name)
	})
	if err != nil {
		m.log.Debug("cannot let go of unit", "unit", name, "cause", err)
	}
}

func (m *Manager) run(ctx context.Context, verb units.Verb, name string) (string, error) {
	before, err := m.glance(ctx, name)
	if err != nil {
		return "", err
	}
	for try := 1; ; try++ {
		j, err := m.queue(ctx, verb, name)
		if err == nil {
			return m.await(ctx, verb, name, before, j)
		}
		var lost *lostError
		if !errors.As(err, &lost) {
			return "", err // systemd refused it
		}
		if ctx.Err() != nil || try == queueTries {
			return "", lost.cause
		}
		// systemd may have heard it: let that job end before another is queued.
		after, err := m.afterJobs(ctx, name)
		if err != nil {
			return "", err
		}
		if word, seen := outcome(verb, before, after); seen {
			return word, nil
		}
	}
}

// job is one that systemd has queued for us.
type job struct {
	id   uint32
	done chan string // of one: go-systemd must never block on it
}

// queue asks for the job, once.
func (m *Manager) queue(ctx context.Context, verb units.Verb, name string) (job, error) {
	j := job{done: make(chan string, 1)}
	err := m.askOnce(ctx, m.options.CallLimit, func(ctx context.Context, l *link) error {
		start := l.conn.StartUnitContext
		switch verb {
		case units.Start:
		case units.Stop:
			start = l.conn.StopUnitContext
		case units.Restart:
			start = l.conn.RestartUnitContext
		case units.Reload:
			start = l.conn.ReloadUnitContext
		default:
			return fmt.Errorf("systemd has no job of that kind")
		}
		if err := l.hold(ctx, name); err != nil {
			return err
		}
		id, err := start(ctx, name, "replace", j.done)
		j.id = uint32(id)
		return err
	})
	return j, err
}

// await listens for the job's signal and also asks for the job: after a lost
// connection no signal comes.
func (m *Manager) await(ctx context.Context, verb units.Verb, name string, before glance, j job) (string, error) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case word := <-j.done:
			return word, nil
		case <-ctx.Done():
			return m.takeBack(ctx, j)
		case <-poll.C:
		}
		over, err := m.isOver(ctx, j)
		if ctx.Err() != nil {
			return m.takeBack(ctx, j)
		}
		if err != nil {
			return "", err
		}
		if over {
			return m.read(ctx, verb, name, before, j)
		}
	}
}

// isOver reports whether systemd has forgotten the job, which it does at its end.
func (m *Manager) isOver(ctx context.Context, j job) (bool, error) {
	err := m.ask(ctx, m.options.CallLimit, func(ctx context.Context, l *link) error {
		return l.call(ctx, "GetJob", j.id)
	})
	if isDBus(err, "org.freedesktop.systemd1.NoSuchJob") {
		return true, nil
	}
	return false, err
}

// read finds the result of a job that is over: from its signal, which may be a
// little late, else from the unit's state.
func (m *Manager) read(ctx context.Context, verb units.Verb, name string, before glance, j job) (string, error) {
	late, cancel := context.WithTimeout(ctx, signalGrace)
	defer cancel()
	select {
	case word := <-j.done:
		return word, nil
	case <-late.Done():
	}
	after, err := m.glance(ctx, name)
	if err != nil {
		return "", err
	}
	word, _ := outcome(verb, before, after)
	m.log.Debug("missed the end of a job, read it from the unit", "unit", name, "job", string(verb), "result", word)
	return word, nil
}

// takeBack cancels a job and gives the error of the context that ended. A job that
// used up its own time is no mystery: its unit hangs.
func (m *Manager) takeBack(ctx context.Context, j job) (string, error) {
	brief, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelLimit)
	defer cancel()
	err := m.ask(brief, cancelLimit, func(ctx context.Context, l *link) error {
		return l.call(ctx, "CancelJob", j.id)
	})
	if err != nil && !isDBus(err, "org.freedesktop.systemd1.NoSuchJob") {
		return "", fmt.Errorf("%w, and the job cannot be cancelled: %v", ctx.Err(), err)
	}
	if context.Cause(ctx) == errJobLimit {
		return timedOut, nil
	}
	return "", fmt.Errorf("the job was cancelled: %w", ctx.Err())
}

// afterJobs looks at the unit as soon as no job is queued for it.
func (m *Manager) afterJobs(ctx context.Context, name string) (glance, error) {
	for {
		g, err := m.glance(ctx, name)
		if err != nil || g.Job == "" {
			return g, err
		}
		if !wait(ctx, pollEvery) {
			return glance{}, ctx.Err()
		}
	}
}

func (m *Manager) glance(ctx context.Context, name string) (glance, error) {
	detail, reloadResult, err := m.show(ctx, name)
	return glance{Detail: detail, reloadResult: reloadResult}, err
}
