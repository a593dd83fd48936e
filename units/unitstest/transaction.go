package unitstest

import (
	"fmt"
	"slices"

	"evenkeel/units"
)

// job is one job of a transaction.
type job struct {
	unit      string
	verb      units.Verb // start, stop or restart
	automatic bool       // systemd's own restart of what died
	result    string     // "" until it is over
}

// transaction collects the jobs that one asked-for job leads to, as systemd's
// transaction_add_job_and_dependencies does.
type transaction struct {
	s    *Systemd
	jobs []*job
}

func (t *transaction) find(name string) *job {
	for _, j := range t.jobs {
		if j.unit == name {
			return j
		}
	}
	return nil
}

// add adds a job and all that it pulls in. On an error the transaction is void.
func (t *transaction) add(verb units.Verb, name string) error {
	u := t.s.get(name)
	if verb != units.Stop {
		if err := startable(u); err != nil {
			return err
		}
	}
	if j := t.find(u.name); j != nil {
		if j.verb == verb || j.verb == units.Restart && verb == units.Start {
			return nil
		}
		if j.verb == units.Stop || verb == units.Stop {
			return fmt.Errorf("Transaction contains conflicting jobs '%s' and '%s' for %s. Probably contradicting requirement dependencies configured.", j.verb, verb, u.name) //nolint:staticcheck // systemd's own words
		}
		j.verb = verb
	} else {
		t.jobs = append(t.jobs, &job{unit: u.name, verb: verb})
	}
	if verb != units.Stop {
		if err := t.pullIn(u.name); err != nil {
			return err
		}
	}
	if verb != units.Start {
		return t.handOn(verb, u.name)
	}
	return nil
}

// pullIn adds what a start needs and wants, and stops what it conflicts with.
func (t *transaction) pullIn(name string) error {
	e := t.s.about(name)
	for _, list := range [...][]string{e.requires, e.bindsTo} {
		for _, dep := range list {
			if err := t.add(units.Start, dep); err != nil {
				return err
			}
		}
	}
	for _, dep := range e.wants {
		// What is only wanted leaves no trace when it cannot be.
		try := transaction{s: t.s, jobs: t.copy()}
		if try.add(units.Start, dep) == nil {
			t.adopt(try.jobs)
		}
	}
	for _, list := range [...][]string{e.conflicts, e.conflictedBy} {
		for _, dep := range list {
			if err := t.add(units.Stop, dep); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *transaction) copy() []*job {
	jobs := make([]*job, len(t.jobs))
	for i, j := range t.jobs {
		twin := *j
		jobs[i] = &twin
	}
	return jobs
}

// adopt takes over the jobs of a copy; those that were there stay the same ones.
func (t *transaction) adopt(jobs []*job) {
	for i, j := range t.jobs {
		j.verb = jobs[i].verb
	}
	t.jobs = append(t.jobs, jobs[len(t.jobs):]...)
}

// handOn gives a stop or a restart to the units that require this one, are bound
// to it or are part of it. Those that are down stay down.
func (t *transaction) handOn(verb units.Verb, name string) error {
	e := t.s.about(name)
	for _, list := range [...][]string{e.requiredBy, e.requisiteOf, e.boundBy, e.consistsOf} {
		for _, dep := range list {
			if verb == units.Restart && !t.s.find(dep).busy() {
				continue
			}
			if err := t.add(verb, dep); err != nil {
				return err
			}
		}
	}
	return nil
}

// startable gives systemd's refusal of a start.
func startable(u *unit) error {
	switch u.def.load {
	case "loaded":
		return nil
	case "masked":
		return fmt.Errorf("Unit %s is masked.", u.name) //nolint:staticcheck // systemd's own words
	case "not-found":
		return fmt.Errorf("Unit %s not found.", u.name) //nolint:staticcheck // systemd's own words
	}
	return fmt.Errorf("Unit %s has a bad unit file setting.", u.name) //nolint:staticcheck // systemd's own words
}

// execute does all jobs: first what stops, dependents before what they come
// after, then what starts, the other way round.
func (s *Systemd) execute(jobs []*job) {
	sorted := s.sorted(jobs)
	for _, j := range slices.Backward(sorted) {
		if j.verb != units.Start {
			s.stop(j.unit)
		}
		if j.verb == units.Stop {
			j.result = units.Done
		}
	}
	for _, j := range sorted {
		if j.result != "" {
			continue
		}
		j.result = s.start(j.unit, j.automatic)
		if j.result != units.Done {
			s.failDependents(j.unit, sorted)
		}
	}
	s.reap()
}

// failDependents ends the starts that wait for one that failed.
func (s *Systemd) failDependents(name string, jobs []*job) {
	e := s.about(name)
	for _, list := range [...][]string{e.requiredBy, e.requisiteOf, e.boundBy} {
		for _, dep := range list {
			for _, j := range jobs {
				if j.unit == dep && j.result == "" {
					j.result = "dependency"
					s.failDependents(dep, jobs)
				}
			}
		}
	}
}

// sorted gives the jobs in the order of After=; jobs without an order keep
// theirs.
func (s *Systemd) sorted(jobs []*job) []*job {
	byName := make(map[string]*job, len(jobs))
	for _, j := range jobs {
		byName[j.unit] = j
	}
	sorted := make([]*job, 0, len(jobs))
	var visit func(j *job)
	visit = func(j *job) {
		delete(byName, j.unit)
		for _, dep := range s.about(j.unit).after {
			if first := byName[dep]; first != nil {
				visit(first)
			}
		}
		sorted = append(sorted, j)
	}
	for _, j := range jobs {
		if byName[j.unit] == j {
			visit(j)
		}
	}
	return sorted
}
