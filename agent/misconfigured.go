package agent

import (
	"strings"
	"time"
)

// misconfigured is a configuration file of this host that cannot be used. The daemon goes
// on with what it read before.
type misconfigured struct {
	since    time.Time // zero: nothing is wrong
	problems []string
}

// ConfigStatus says what is wrong with the host's own configuration file, while the
// daemon goes on with what that said before.
type ConfigStatus struct {
	Since    time.Time `json:"since,omitzero"` // the first reload that failed
	Problems []string  `json:"problems"`       // "file:line: what"
}

// note remembers how a reload went; nil is well.
func (m *misconfigured) note(err error, now time.Time) {
	if err == nil {
		*m = misconfigured{}
		return
	}
	if m.since.IsZero() {
		m.since = now
	}
	m.problems = strings.Split(err.Error(), "\n")
}

func (m *misconfigured) status() *ConfigStatus {
	if m.since.IsZero() {
		return nil
	}
	return &ConfigStatus{Since: m.since.UTC(), Problems: m.problems}
}

// configRead tells people how a reload went. Status is written with the pass that follows.
func (d *daemon) configRead(err error) {
	d.misconfigured.note(err, time.Now())
	d.metrics.ConfigRead(err == nil)
	d.reported = time.Time{}
	if err != nil {
		d.log.Error("the old configuration stays in force", "err", err)
	}
}
