package health

import "context"

// probeRepository passes when the agent's own repository answers.
func (p *Prober) probeRepository(ctx context.Context) error {
	if p.Reach == nil {
		return nil // nobody knows where it is, so nothing can be said against the commit
	}
	return p.Reach(ctx)
}
