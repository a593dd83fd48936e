//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// unitChange is something that happens to a service. It gives the edit for a service of
// one of the roles.
type unitChange func(e *editing, role, unit string) edit

// onUnit takes a service of each of the roles by turns, more often one that is corrected.
func onUnit(change unitChange) func(e *editing) edit {
	return func(e *editing) edit {
		role := []string{kept, kept, told, loose}[e.rng.IntN(4)]
		return change(e, role, e.pick(role+" unit"))
	}
}

func (e *editing) systemctl(args ...string) { e.host.Must(append([]string{"systemctl"}, args...)...) }

// pids are the processes of a unit, as its control group lists them.
func (e *editing) pids(unit string) string {
	text, _ := e.host.ReadLive("/sys/fs/cgroup/system.slice/" + unit + "/cgroup.procs")
	return strings.TrimSpace(string(text))
}

func (e *editing) runs(unit string) bool { return e.pids(unit) != "" }

// down is a service that does not run any more.
func down(e *editing, role, unit string, do func()) edit {
	x := edit{name: unit, do: do}
	switch role {
	case kept:
		x.count, x.isBack = 1, func() bool { return e.runs(unit) }
	case told:
		x.listed = []string{unit}
	}
	if role != kept {
		x.isStill = func() bool { return !e.runs(unit) }
		x.undo = func() { e.systemctl("start", unit) }
	}
	return x
}

func unitStopped(e *editing, role, unit string) edit {
	return down(e, role, unit, func() { e.systemctl("stop", unit) })
}

func unitKilled(e *editing, role, unit string) edit {
	return down(e, role, unit, func() { e.systemctl("kill", "-s", "KILL", unit) })
}

func unitDisabled(e *editing, role, unit string) edit {
	x := e.underRole(role, enablement(unit), func() { e.systemctl("disable", "--quiet", unit) })
	if role != kept {
		x.undo = func() { e.systemctl("enable", "--quiet", unit) }
	}
	return x
}

// changed is more in a file of a service, and what somebody does next. Who reads it has
// byHand in its environment.
func changed(e *editing, role, unit, p string, next func()) edit {
	x := e.underRole(role, p, func() {
		text := e.byHand(e.good[p].text)
		if p == unitFile(unit) {
			text += "[Service]\nEnvironment="
		}
		text += byHand + "=1\n"
		e.reader.allow(p, foundText(text))
		beside := e.host.Outside(path.Join(path.Dir(p), ".swp"))
		e.must(os.WriteFile(beside, []byte(text), 0o644))
		e.must(os.Rename(beside, e.host.Outside(p)))
		next()
	})
	x.name = unit + ": " + p
	if role != kept {
		x.undo = func() { e.restore(p); next() }
	}
	return x
}

const byHand = "BY_HAND"

// readByHand reports whether a process of the unit has read what somebody wrote.
func (e *editing) readByHand(unit string) bool {
	for pid := range strings.FieldsSeq(e.pids(unit)) {
		if text, _ := os.ReadFile("/proc/" + pid + "/environ"); strings.Contains(string(text), byHand) {
			return true
		}
	}
	return false
}

// held does something while the daemon does nothing.
func (e *editing) held(do func()) {
	daemon := e.host.Property("evenkeel.service", "MainPID")
	e.host.Must("kill", "-STOP", daemon)
	defer e.host.Must("kill", "-CONT", daemon)
	do()
}

func unitFileChanged(e *editing, role, unit string) edit {
	return changed(e, role, unit, unitFile(unit), func() { e.systemctl("daemon-reload") })
}

func unitFileRead(e *editing, role, unit string) edit {
	return andRead(e, role, unit, unitFile(unit))
}

func envFileRead(e *editing, role, unit string) edit {
	return andRead(e, role, unit, editedEnv(unit))
}

// andRead changes a file and has the service read it: it is restarted when the file is
// put back, and told of when the file stays. The daemon is held until the service runs: one
// that is restarted while its file is being put back is corrected as well, and counted.
func andRead(e *editing, role, unit, p string) edit {
	x := changed(e, role, unit, p, func() {
		e.systemctl("daemon-reload")
		e.systemctl("restart", unit)
	})
	do := x.do
	x.do = func() { e.held(do) }
	switch role {
	case kept:
		x.isBack = func() bool { return e.isGood(p) && e.runs(unit) && !e.readByHand(unit) }
	case told:
		x.listed = append(x.listed, unit)
	}
	return x
}

// maskInPlace masks a service whose unit file is managed: the file comes back, and the
// service runs all the time.
func maskInPlace(e *editing) edit {
	unit := e.pick("kept unit")
	p := unitFile(unit)
	return e.underRole(kept, p, func() {
		e.reader.allow(p, foundNothing, foundOther)
		e.must(os.Remove(e.host.Outside(p)))
		e.must(os.Symlink("/dev/null", e.host.Outside(p)))
		e.systemctl("daemon-reload")
	})
}

// masked is a mask of a package's service, which stays.
func masked(e *editing, now string) edit {
	unit := e.pick("vendor")
	return edit{
		name: unit, listed: []string{unit},
		do:      func() { e.systemctl(append([]string{"mask", "--quiet", unit}, strings.Fields(now)...)...) },
		isStill: func() bool { return e.isThere(unitFile(unit)) && e.runs(unit) == (now == "") },
		undo: func() { // it would be started between the two
			e.held(func() { e.systemctl("unmask", "--quiet", unit); e.systemctl("start", unit) })
		},
	}
}

func dropIn(e *editing, role, unit string) edit { return withDropIn(e, role, unit, func() {}) }

func dropInRead(e *editing, role, unit string) edit {
	return withDropIn(e, role, unit, func() { e.systemctl("daemon-reload") })
}

// withDropIn adds a drop-in to a service. It is not evenkeel's, so it stays.
func withDropIn(e *editing, role, unit string, next func()) edit {
	dir := unitFile(unit) + ".d"
	x := edit{
		name: unit,
		do: func() {
			e.must(os.Mkdir(e.host.Outside(dir), 0o755))
			e.must(os.WriteFile(e.host.Outside(dir+"/x.conf"), []byte("[Service]\nNice=1\n"), 0o644))
			next()
		},
		isStill: func() bool { return e.isThere(dir + "/x.conf") },
		undo:    func() { e.must(os.RemoveAll(e.host.Outside(dir))); next() },
	}
	if role != loose {
		x.listed = []string{dir + "/x.conf"}
	}
	return x
}

// foreignUnit is a unit of somebody else, which is nobody's business.
func foreignUnit(e *editing) edit {
	unit := fmt.Sprintf("foreign-%d.service", e.rng.Uint64())
	p := unitFile(unit)
	return edit{
		name: unit,
		do: func() {
			e.must(os.WriteFile(e.host.Outside(p), []byte("[Service]\nExecStart=/bin/sleep infinity\n"), 0o644))
			e.systemctl("daemon-reload")
			e.systemctl("start", unit)
		},
		isStill: func() bool { return e.runs(unit) },
		undo: func() {
			e.systemctl("stop", unit)
			e.must(os.Remove(e.host.Outside(p)))
			e.systemctl("daemon-reload")
		},
	}
}
