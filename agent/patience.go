package agent

import (
	"log/slog"
	"time"
)

// How long a commit waits for what others do on the host. It may be the one that
// mends what never ends.
const (
	jobPatience     = 15 * time.Minute // the start of the host, a job of one of its units
	installPatience = 2 * time.Hour    // a package manager, cloud-init
)

// patience remembers since when passes are put off, and for what. The zero value
// is that of a daemon that has not waited yet.
type patience struct{ before, now map[string]delay }

type delay struct {
	since time.Time
	told  bool
}

// begin starts another pass: what it does not wait for is forgotten.
func (p *patience) begin() { p.before, p.now = p.now, map[string]delay{} }

// isOver reports whether passes have waited for something as long as they should.
func (p *patience) isOver(what string, bound time.Duration, now time.Time, log *slog.Logger) bool {
	d, known := p.before[what]
	if !known {
		d.since = now
	}
	over := now.Sub(d.since) >= bound
	if over && !d.told {
		log.Warn("waiting no longer", "for", what, "since", d.since.UTC())
		d.told = true
	}
	if p.now == nil { // a preview, which waits for nothing
		p.now = map[string]delay{}
	}
	p.now[what] = d
	return over
}
