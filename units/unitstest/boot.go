package unitstest

import "evenkeel/units"

// GoDown begins a shutdown: the units that are named are stopped first, and no unit is
// started any more until the host boots.
func (s *Systemd) GoDown(names ...string) error {
	for _, name := range names {
		if _, err := s.run(units.Stop, name); err != nil {
			return err
		}
	}
	s.down = true
	return nil
}

// PowerOff ends all processes. Every call fails until the host boots.
func (s *Systemd) PowerOff() {
	s.off, s.down, s.booting = true, false, false
	s.queued, s.loaded, s.edges = nil, nil, nil
}

// BootBegin turns the host on: the unit files are read from the disk as it is
// now, and the boot's jobs are queued from the links that the target has. None
// has run yet. What the early recovery unit does comes next, then BootFinish.
func (s *Systemd) BootBegin() {
	s.PowerOff()
	s.off, s.booting, s.lib = false, true, nil
	s.now()
	t := transaction{s: s}
	if t.add(units.Start, s.get(s.target).name) == nil {
		s.queued = t.jobs
	}
}

// BootFinish runs the jobs that BootBegin queued with the definitions that are
// loaded now. A daemon-reload in between changed those, but neither added a job
// nor took one away.
func (s *Systemd) BootFinish() {
	jobs := s.queued
	s.queued, s.lib = nil, nil
	for _, j := range jobs {
		s.get(j.unit) // a unit that the reload forgot is there again, as not found
	}
	s.execute(jobs)
	s.booting = false
}

// Boot is BootBegin and BootFinish.
func (s *Systemd) Boot() {
	s.BootBegin()
	s.BootFinish()
}
