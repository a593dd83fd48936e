// Package bus is the units.Manager of a real host: systemd over D-Bus, or over
// PID 1's private socket when the bus is down.
//
// It reports what systemd answered and never decides anything; it never keeps a
// unit's state; no call lasts longer than its context and the limits in Options.
// Start reading at Manager.ask (how a lost connection is survived) and at
// Manager.Run (how the end of a job is known).
package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"evenkeel/units"
)

// The bounds of asking again after a lost connection: five tries within about
// three seconds, which outlasts a restart of the bus.
const (
	tries      = 5
	firstPause = 200 * time.Millisecond
	dialLimit  = 5 * time.Second
)

// Options are the limits and addresses of a Manager. The zero value is right on
// a host.
type Options struct {
	CallLimit   time.Duration // of one question; 30 s
	ReloadLimit time.Duration // of a daemon-reload; 5 minutes
	JobLimit    time.Duration // of a job, when the caller's context allows more; 15 minutes
	ReturnAfter time.Duration // how long to stay on the private socket before the bus is tried again; 1 minute

	Bus     string // address of the system bus; DBUS_SYSTEM_BUS_ADDRESS or the usual one
	Private string // address of PID 1's own socket; unix:path=/run/systemd/private
}

func (o Options) withDefaults() Options {
	if o.CallLimit == 0 {
		o.CallLimit = 30 * time.Second
	}
	if o.ReloadLimit == 0 {
		o.ReloadLimit = 5 * time.Minute
	}
	if o.JobLimit == 0 {
		o.JobLimit = 15 * time.Minute
	}
	if o.ReturnAfter == 0 {
		o.ReturnAfter = time.Minute
	}
	if o.Private == "" {
		o.Private = "unix:path=/run/systemd/private"
	}
	return o
}

// Manager speaks to systemd. It connects when it is first asked and again when
// the connection is lost. All methods may be called at the same time.
type Manager struct {
	log     *slog.Logger
	options Options

	mu       sync.Mutex
	link     *link
	since    time.Time // of the connection, or of the last try to return to the bus
	lostOnce bool
	closed   bool
}

var _ units.Manager = (*Manager)(nil)

// New gives a Manager that has not connected yet.
func New(log *slog.Logger, options Options) *Manager {
	return &Manager{log: log, options: options.withDefaults()}
}

// Close ends the connection. Questions under way fail, and so do later ones.
func (m *Manager) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.link != nil {
		m.link.close()
		m.link = nil
	}
	return nil
}

// System asks for the state of the manager itself.
func (m *Manager) System(ctx context.Context) (units.System, error) {
	var state, version string
	err := m.ask(ctx, m.options.CallLimit, func(ctx context.Context, l *link) error {
		if err := l.property(ctx, managerPath, managerInterface, "SystemState", &state); err != nil {
			return err
		}
		return l.property(ctx, managerPath, managerInterface, "Version", &version)
	})
	if err != nil {
		return units.System{}, fmt.Errorf("cannot ask systemd for its state: %w", err)
	}
	return units.System{State: state, Version: majorVersion(version)}, nil
}

// DaemonReload makes systemd read its unit files again, and waits until it has.
func (m *Manager) DaemonReload(ctx context.Context) error {
	// A reload may take minutes, so a bus that hangs is found by another question.
	_, err := m.System(ctx)
	if err == nil {
		err = m.ask(ctx, m.options.ReloadLimit, func(ctx context.Context, l *link) error {
			return l.call(ctx, "Reload")
		})
	}
	if err != nil {
		return fmt.Errorf("cannot reload systemd's unit files: %w", err)
	}
	return nil
}

// ResetFailed clears the failed state and the start limit of a unit.
func (m *Manager) ResetFailed(ctx context.Context, name string) error {
	err := m.ask(ctx, m.options.CallLimit, func(ctx context.Context, l *link) error {
		return l.call(ctx, "ResetFailedUnit", name)
	})
	if err != nil && !isDBus(err, "org.freedesktop.systemd1.NoSuchUnit") {
		return fmt.Errorf("cannot reset failed state of unit %q: %w", name, err)
	}
	return nil
}

// ask puts a question that may be put twice. When the connection is lost before
// the answer it connects anew and asks again, a bounded number of times.
func (m *Manager) ask(ctx context.Context, limit time.Duration, question func(context.Context, *link) error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := m.askOnce(ctx, limit, question)
		var lost *lostError
		if err == nil || !errors.As(err, &lost) {
			return err
		}
		if ctx.Err() != nil || try == tries {
			return lost.cause
		}
		m.log.Debug("connection to systemd lost", "try", try, "cause", lost.cause)
		if !wait(ctx, pause) {
			return ctx.Err()
		}
		pause *= 2
	}
}

// askOnce gives a *lostError when the answer is not known.
func (m *Manager) askOnce(ctx context.Context, limit time.Duration, question func(context.Context, *link) error) error {
	l, err := m.connected(ctx)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = question(limited, l)
	if err == nil || !l.isLost(err) {
		return err
	}
	if ctx.Err() == nil {
		m.drop(l)
	}
	return &lostError{cause: err}
}

// errClosed is given by a Manager after Close.
var errClosed = errors.New("connection was closed")

// connected gives the connection, making one when there is none. The bus comes
// first; right after it was lost the private socket does, because the bus is
// about to restart, or was stopped and a dial would start it again. From there
// the Manager goes back to the bus when it can: only a client on the bus can
// hold a unit.
func (m *Manager) connected(ctx context.Context) (*link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errClosed
	}
	ways := []way{{"system bus", m.options.Bus, false}, {"private socket", m.options.Private, true}}
	if m.link != nil && m.link.alive() {
		m.returnToBus(ctx, ways[0])
		return m.link, nil
	}
	if m.link != nil {
		m.forget()
	}
	if m.lostOnce {
		ways[0], ways[1] = ways[1], ways[0]
	}
	var failures []error
	for _, w := range ways {
		l, err := dial(ctx, w)
		if err == nil {
			m.use(l, w)
			return l, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", w.name, err))
	}
	return nil, &lostError{cause: fmt.Errorf("no connection: %w", oneLine(failures))}
}

func (m *Manager) use(l *link, w way) {
	m.link, m.since = l, time.Now()
	m.log.Debug("connected to systemd", "by", w.name)
}

// returnToBus takes the bus again after a while on the private socket. Whoever
// waits for an answer on the old connection asks again on the new one.
func (m *Manager) returnToBus(ctx context.Context, bus way) {
	if !m.link.direct || time.Since(m.since) < m.options.ReturnAfter {
		return
	}
	l, err := dial(ctx, bus)
	if err != nil {
		m.since = time.Now()
		return
	}
	m.link.close()
	m.use(l, bus)
}

// drop closes a connection that does not answer, unless another one has taken
// its place already.
func (m *Manager) drop(l *link) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.link == l {
		m.forget()
	}
}

func (m *Manager) forget() {
	m.link.close()
	m.link = nil
	m.lostOnce = true
}

// lostError says that systemd may or may not have heard the question.
type lostError struct{ cause error }

func (e *lostError) Error() string { return e.cause.Error() }
func (e *lostError) Unwrap() error { return e.cause }

// oneLine joins errors for a log line.
func oneLine(failures []error) error {
	err := failures[0]
	for _, next := range failures[1:] {
		err = fmt.Errorf("%w; %w", err, next)
	}
	return err
}

// isDBus reports whether the other side answered with one of the named errors.
func isDBus(err error, names ...string) bool {
	var answer dbus.Error
	if !errors.As(err, &answer) {
		return false
	}
	for _, name := range names {
		if answer.Name == name {
			return true
		}
	}
	return false
}

// wait is false when the context ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
