package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// errGoesDown says that an attempt stays as it is until the host starts again.
var errGoesDown = errors.New("the host is going down")

// goesDown reports whether systemd is stopping everything, for a shutdown or for rescue
// mode. What is seen of units from then on says nothing about a commit, and no job of ours
// would be let in: whatever an attempt needs waits until the next start. Early in the boot
// its files go back, or are completed, and the daemon does the rest.
func (h *Host) goesDown(ctx context.Context) bool {
	system, err := h.Manager.System(ctx)
	return err == nil && slices.Contains([]string{"stopping", "maintenance"}, system.State)
}

// leave ends the work on the open attempt because the host goes down.
func (h *Host) leave(reason string) error {
	h.Log.Info("the host is going down; the attempt goes on when it starts again", "commit", h.Open.Commit, "attempt", h.Open.Number, "phase", h.Open.phase, "seen", reason)
	return fmt.Errorf("%w; attempt %d goes on when it starts again", errGoesDown, h.Open.Number)
}
