package agent

import (
	"context"
	"errors"
	"maps"
	"time"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/health"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/agent/source"
)

// The guard keeps a commit from locking the agent out: after the apply the
// repository must still answer, and whatever else the host's own config asks for,
// or the commit goes back. It is watched as the checks of a service are, under a
// name that no unit has. What failed before the commit is no evidence.

// guardName stands where a unit's name would.
const guardName = "guard"

// GuardConfig is what the host's own config says about the guard.
type GuardConfig struct {
	Deadline time.Duration // how long the repository may be silent after an apply
	Checks   []plan.Check  // besides it
}

func (g *GuardConfig) keys() []configKey {
	return []configKey{
		duration("deadline", &g.Deadline, "How long the repository may be silent after an apply. Default: 2m."),
		named("checks", "Further checks, as in role.yaml.", manifest.ChecksForm(), func(r *configReader, _ string, n *yaml.Node) {
			var problems manifest.Problems
			g.Checks, problems = manifest.ReadChecks(r.file, n)
			r.take(problems)
		}),
	}
}

// repositoryCheck asks rarely, and waits long for an answer: the network may have
// been configured anew, and a firewall that drops packets never answers.
func repositoryCheck() plan.Check {
	return plan.Check{Repository: true, Interval: 5 * time.Second, Timeout: 30 * time.Second, Failures: 3}
}

// service is the guard as the watch knows it.
func (g GuardConfig) service() plan.Service {
	return plan.Service{Deadline: g.Deadline, Checks: append([]plan.Check{repositoryCheck()}, g.Checks...)}
}

// reach asks the repository, and its mirrors, on new connections: one that was
// open before says nothing about DNS, routes and firewalls as they are now. One
// that answers is enough.
func (d *daemon) reach(ctx context.Context) error {
	answers := make(chan error, len(d.origins))
	for _, o := range d.origins {
		go func() {
			l := &looker{remote: o.remote}
			defer l.Close()
			_, err := l.Tip(ctx)
			answers <- err
		}()
	}
	var first error
	reached := false
	for range d.origins { // all of them, so that none is left behind
		err := <-answers
		reached = reached || answered(err)
		first = cmpErr(first, err)
	}
	if reached {
		return nil
	}
	return first
}

// answered reports whether the other side was reached. That it is out of order, or
// that the branch is gone, is no fault of this host.
func answered(err error) bool {
	var own *source.Error
	return err == nil || errors.As(err, &own) && (own.Answered || own.Reason == source.NoBranch)
}

// guardOf is the guard of a new attempt. One that overtakes another has the guard
// of that, because only that was looked at before the host was touched.
func (h *Host) guardOf() plan.Service {
	if h.Open != nil {
		return h.Open.Guard
	}
	return h.Guard
}

// watchedGuard is the guard among the watched; none where there is nothing to guard.
func (a *Attempt) watchedGuard() []health.Watched {
	if len(a.Guard.Checks) == 0 {
		return nil
	}
	return []health.Watched{{Name: guardName, ChecksOnly: true, Service: a.Guard}}
}

// lookBefore tells which checks pass before anything is touched: those of the
// guard and of the good commit. A check that is new is not looked at: what it asks
// for was not there, so that it fails now excuses nothing. An attempt that
// overtakes another inherits what that saw: what is red now may be its fault.
func (h *Host) lookBefore(ctx context.Context, a *Attempt) error {
	if h.Open != nil {
		a.Baseline = h.Open.Baseline
		return nil
	}
	services := map[string]plan.Service{guardName: a.Guard}
	if h.Ledger.Good != nil {
		maps.Copy(services, h.Ledger.Good.Services)
	}
	a.Baseline = h.Health.Baseline(ctx, services)
	return ctx.Err()
}
