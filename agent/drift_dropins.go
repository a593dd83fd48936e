package agent

import (
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
)

// foreignDropIns lists the drop-ins of this host for services that are not evenkeel's.
// They change how a service runs as much as its own file does.
func (h *Host) foreignDropIns(services map[string]plan.Service, owned map[string]Owned) []string {
	list := []string{}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		place := path.Join("/etc/systemd/system", name+".d")
		dir, err := h.Disk.OpenDir(place)
		if err != nil {
			continue // it has none, or none that can be looked at
		}
		names, _ := dir.Names()
		_ = dir.Close()
		for _, file := range names {
			at := path.Join(place, file)
			if _, ours := owned[at]; !ours && strings.HasSuffix(file, ".conf") && !strings.HasPrefix(file, ".") {
				list = append(list, at)
			}
		}
	}
	return list
}

// knownDropIns are those of foreignDropIns that a commit takes as they are: of a service
// that it brings all that are there, else those that the good commit knew, and originals
// that come back. One that somebody added since stays drift.
func (h *Host) knownDropIns(w wanted) []string {
	list, good := h.foreignDropIns(w.target.Services, w.owned), h.Ledger.Good
	if good == nil || good.DropIns == nil {
		return list
	}
	return slices.DeleteFunc(list, func(p string) bool {
		_, old := good.Services[strings.TrimSuffix(path.Base(path.Dir(p)), ".d")]
		_, back := w.to.Paths[p]
		return old && !slices.Contains(good.DropIns, p) && !(back && h.owns(p))
	})
}

// driftOfDropIns lists the drop-ins that somebody added since the good commit. They are
// told of and stay: no commit ever owned them.
func (h *Host) driftOfDropIns(good *Good, d *drift) {
	if good.DropIns == nil {
		return
	}
	for _, p := range h.foreignDropIns(good.Services, h.Ledger.Owned.all()) {
		policy := h.onDrift(strings.TrimSuffix(path.Base(path.Dir(p)), ".d"))
		if slices.Contains(good.DropIns, p) || policy == plan.Ignore {
			continue
		}
		d.list = append(d.list, Deviation{
			Name: p, Kind: DriftFile, How: "somebody added it to a service", Policy: policy,
			Alone: "it is not evenkeel's; remove it, or bring it into the repository",
		})
	}
}
