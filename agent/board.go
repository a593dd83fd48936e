package agent

import (
	"sync"
	"time"
)

// board is what the daemon shows of itself. The errand under way writes on it, and the
// loop reads it meanwhile. What its status refers to is replaced, never written to, so
// that a copy stays as it is.
type board struct {
	mu       sync.Mutex
	status   Status
	progress time.Time // the last sign that an errand goes on
	began    time.Time // of the stage
}

// read is the status as it is now.
func (b *board) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

// change writes on the status.
func (b *board) change(write func(s *Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	write(&b.status)
}

// enter begins a stage, and gives the one before with the time that it took.
func (b *board) enter(stage Stage, now time.Time) (was Stage, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was, took = b.status.Stage, now.Sub(b.began)
	b.status.Stage, b.progress, b.began = stage, now, now
	return was, took
}

// progressed is the sign that a long watch goes on.
func (b *board) progressed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress = time.Now()
}

// isProgressing is whether systemd may believe that the daemon does its work.
func (b *board) isProgressing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status.Stage == StageIdle || time.Since(b.progress) < stuck
}
