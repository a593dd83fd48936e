package health

import (
	"context"
	"fmt"
)

// probeUnit passes when a unit counts as up.
func (p *Prober) probeUnit(ctx context.Context, name string) error {
	status, err := p.Manager.List(ctx, []string{name})
	if err != nil {
		return err
	}
	if len(status) != 1 {
		return fmt.Errorf("systemd answered about %d units, not one", len(status))
	}
	if !status[0].IsActive() {
		return fmt.Errorf("unit is %s (%s, %s)", status[0].Active, status[0].Sub, status[0].Load)
	}
	return nil
}
