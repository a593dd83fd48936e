package agent

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// packaged is what package managers say of paths that become ours, or stop
// being so.
type packaged struct {
	conffiles map[string]apply.Conffile
	left      []string // versions of a file that rpm left beside it
}

// newer is a path whose original a package has replaced by another version while
// the path was ours.
type newer struct{ path, why string }

// lookAtPackages asks only when it matters: when a path changes hands.
func (h *Host) lookAtPackages(target *plan.Target) (packaged, error) {
	var goes []string
	owned, takes := h.owned(), false
	for p := range owned {
		if _, stays := target.State.Paths[p]; !stays {
			goes = append(goes, p)
		}
	}
	for p := range target.State.Paths {
		_, ours := owned[p]
		takes = takes || !ours
	}
	if !takes && len(goes) == 0 {
		return packaged{}, nil
	}
	conffiles, err := apply.ReadConffiles(h.Disk)
	if err != nil {
		return packaged{}, err
	}
	pack := packaged{conffiles: conffiles}
	for _, file := range apply.Beside(h.Disk, goes) {
		if suffix := path.Ext(file); suffix == ".rpmnew" || suffix == ".rpmsave" {
			pack.left = append(pack.left, file)
		}
	}
	return pack, nil
}

// goesBack is what stands at a path that was ours once nothing asks for it any
// more: what stood there before us. Where a package has shipped another version
// since, the original is stale, and the path stays as it is.
func (w *wanted) goesBack(h *Host, p string, n now) plan.Path {
	owned, at := w.owned[p], h.before(p, n)
	if owned.original().Kind != plan.File && owned.original().Kind != plan.Absent {
		return owned.original()
	}
	why := n.packaged.shipsNewer(p, owned)
	if why == "" {
		return owned.original()
	}
	if shipped := n.packaged.conffiles[p].MD5; shipped == "" || shipped != h.md5(p) {
		w.newer = append(w.newer, newer{p, why})
	}
	return at
}

// isStale reports whether the original of a path is out of date, and stays away.
func (w *wanted) isStale(p string) bool {
	return slices.ContainsFunc(w.newer, func(n newer) bool { return n.path == p })
}

// shipsNewer says how a package came to have another version of a file than when
// the path became ours, "" when none has.
func (k packaged) shipsNewer(p string, owned Owned) string {
	c, known := k.conffiles[p]
	switch {
	case known && owned.Packaged == "" && owned.original().Kind == plan.Absent:
		return fmt.Sprintf("package %s, which was installed since, ships it", c.Package)
	case known && owned.Packaged != c.MD5:
		return fmt.Sprintf("package %s ships another version by now", c.Package)
	case !known && owned.Packaged != "":
		return "the package that shipped it is gone"
	}
	for _, file := range k.left {
		if strings.TrimSuffix(file, path.Ext(file)) == p {
			return fmt.Sprintf("rpm left %s beside it", file)
		}
	}
	return ""
}

// md5 is dpkg's digest of what stands at a path now, "" when that cannot be told.
func (h *Host) md5(p string) string {
	data, err := h.readOriginal(p)
	if err != nil {
		return ""
	}
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

// beside lists the versions of managed files that package managers left beside
// them, for people to look at.
func (h *Host) beside() []string {
	return apply.Beside(h.Disk, slices.Sorted(maps.Keys(h.Ledger.Owned.all())))
}
