package agent

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"
)

// The address of the metrics was taken: the daemon ended at each start, and the
// attempt that was open stayed so.
func TestTakenMetricsAddressIsAWarning(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{log: slog.New(slog.DiscardHandler)}
	got := make(chan net.Listener)
	go func() { got <- d.listen(t.Context(), "metrics", taken.Addr().String(), time.Millisecond) }()
	for len(d.unserved.list()) == 0 {
		select {
		case <-got:
			t.Fatal("one address was given to two")
		case <-time.After(time.Millisecond):
		}
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	listener := <-got
	if warnings := d.unserved.list(); listener == nil || len(warnings) > 0 {
		t.Errorf("once it is free there are warnings: %q", warnings)
	}
	_ = listener.Close()

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if l := d.listen(ended, "metrics", "nowhere", time.Hour); l != nil {
		t.Error("it listens after its end")
	}
}
