package manifest

import (
	"time"

	"evenkeel/agent/plan"
)

// maxProbation is what the host's own config may say, too.
const maxProbation = time.Hour

// terms are what a role, or an entry of the fleet, says about how a commit must
// fare on its hosts. Zero fields say nothing.
type terms struct {
	probation time.Duration
	onFailure plan.OnFailure
}

// terms reads the keys of a mapping that may say so.
func (d *document) terms(keys map[string]pair) terms {
	var out terms
	if p, ok := keys["probation"]; ok {
		out.probation = d.duration(p.value, "probation:", 0)
		if out.probation > maxProbation {
			d.problem(p.value, "at most 1h", "probation: %s is too long", out.probation)
		}
	}
	if p, ok := keys["on_failure"]; ok {
		s, ok := d.text(p.value, "on_failure:")
		switch answer := plan.OnFailure(s); {
		case !ok:
		case answer != plan.Revert && answer != plan.Hold:
			d.problem(p.value, "revert puts the host back, hold leaves it to a person", "on_failure: is revert or hold, not %q", s)
		default:
			out.onFailure = answer
		}
	}
	return out
}

// over is t, and the other where t says nothing.
func (t terms) over(other terms) terms {
	if t.probation == 0 {
		t.probation = other.probation
	}
	if t.onFailure == "" {
		t.onFailure = other.onFailure
	}
	return t
}

// with joins what two roles say: the more careful of both.
func (t terms) with(other terms) terms {
	t.probation = max(t.probation, other.probation)
	if t.onFailure != plan.Hold && other.onFailure != "" {
		t.onFailure = other.onFailure
	}
	return t
}

// terms takes what the roles say.
func (b *builder) terms(roles []role) {
	var all terms
	for _, ro := range roles {
		all = all.with(ro.terms)
	}
	all.win(b.t)
}

// win makes t count where it says something: what the fleet says wins over what
// its roles say.
func (t terms) win(target *plan.Target) {
	t = t.over(terms{target.Probation, target.OnFailure})
	target.Probation, target.OnFailure = t.probation, t.onFailure
}
