package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// Files of sysctl.d set values of the kernel, and a value outlives its file. So a value is
// recorded before a file that sets it changes, and written back by a revert; what it was
// before evenkeel first set it is in the ledger, and is written back when no file of the
// repository sets it any more.

// Sysctl is the kernel's values, by their paths below /proc/sys.
type Sysctl interface {
	// Read gives the values of keys, which may be patterns, as far as they are there.
	Read(keys []string) map[string]string
	// Names lists what is in a directory, "." being the top.
	Names(dir string) []string
	// Write has the kernel take values; the error names those that it does not take.
	Write(ctx context.Context, values map[string]string) error
}

// procSys is where they are on a host.
const procSys = "/proc/sys"

// noteSysctl records in a new attempt what the values are that it may change. One that
// overtakes another goes by what that found, in the same boot.
func (h *Host) noteSysctl(a *Attempt, w wanted, n now) error {
	first := maps.Clone(h.Ledger.Sysctl)
	if h.Open != nil {
		first = cloned(h.Open.SysctlFirst)
		maps.Copy(first, h.Ledger.Sysctl)
	}
	a.SysctlFirst = first
	if h.Sysctl == nil || !h.changesSysctl(a) {
		return nil
	}
	is, shall, err := h.sysctlKeys(w, n)
	if err != nil {
		return err
	}
	set := h.Sysctl.Read(shall)
	a.Sysctl = h.Sysctl.Read(slices.Concat(is, shall, slices.Collect(maps.Keys(first))))
	if h.Open != nil && h.Open.Boot == a.Boot {
		maps.Copy(a.Sysctl, h.Open.Sysctl)
	}
	if a.isCorrection() {
		return nil // what it leaves alone is asked for all the same, so no value goes back
	}
	a.SysctlFirst, a.resets = map[string]string{}, map[string]string{}
	for key := range set {
		a.SysctlFirst[key] = a.Sysctl[key]
	}
	for key, value := range first {
		if _, still := set[key]; still {
			a.SysctlFirst[key] = value
		} else {
			a.resets[key] = value
		}
	}
	return nil
}

// changesSysctl reports whether an attempt changes a file of sysctl.d, or overtakes one
// that did.
func (h *Host) changesSysctl(a *Attempt) bool {
	return h.Open != nil && len(h.Open.Sysctl) > 0 ||
		slices.ContainsFunc(a.Moves, func(m apply.Move) bool { return manifest.IsSysctl(m.Path) })
}

// sysctlKeys are what our files of sysctl.d set now, and what they shall set. What a
// secret file sets is not recorded.
func (h *Host) sysctlKeys(w wanted, n now) (is, shall []string, err error) {
	ours := cloned(w.owned)
	maps.Copy(ours, h.owned())
	for p := range ours {
		if !manifest.IsSysctl(p) || h.isSecret(p, w.target) {
			continue
		}
		if n.state.Paths[p].Kind == plan.File {
			text, err := h.readOriginal(p)
			if err != nil {
				return nil, nil, fmt.Errorf("cannot read what %q sets: %w", p, err)
			}
			is = append(is, manifest.SysctlKeys(text)...)
		}
		want := w.to.Paths[p]
		if asked, left := w.leaves.Paths[p]; left {
			want = asked // that something else stands there for now takes no value back
		}
		if _, still := w.owned[p]; !still || want.Kind != plan.File {
			continue
		}
		text, err := h.textAt(p, want.Digest, w, n)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot tell what %q shall set: %w", p, err)
		}
		shall = append(shall, manifest.SysctlKeys(text)...)
	}
	return is, shall, nil
}

// textAt is what shall stand in a file.
func (h *Host) textAt(p, digest string, w wanted, n now) ([]byte, error) {
	if n.state.Paths[p].Digest == digest {
		return h.readOriginal(p)
	}
	return h.content(w.target, digest)
}

// resetSysctl writes back what no file sets any more, before systemd-sysctl sets what
// the files of others say. The commit is not to blame for what the kernel does not take.
func (h *Host) resetSysctl(ctx context.Context, a *Attempt) {
	if len(a.resets) == 0 || h.Sysctl == nil {
		return
	}
	h.Log.Info("values of the kernel go back to what they were before evenkeel set them", "values", sysctlText(a.resets))
	if err := h.Sysctl.Write(ctx, a.resets); err != nil {
		h.Log.Warn("a value of the kernel stays as it is", "err", err)
	}
}

// restoreSysctl writes the values back that were there before the attempt. In another
// boot the kernel has values of its own, from the files that are back by then.
func (h *Host) restoreSysctl(ctx context.Context, a *Attempt) error {
	if len(a.Sysctl) == 0 || h.Sysctl == nil || a.Boot != h.Boot {
		return nil
	}
	is := h.Sysctl.Read(slices.Collect(maps.Keys(a.Sysctl)))
	maps.DeleteFunc(is, func(key, value string) bool { return value == a.Sysctl[key] })
	if len(is) == 0 {
		return nil
	}
	back := map[string]string{}
	for key := range is {
		back[key] = a.Sysctl[key]
	}
	h.Log.Info("values of the kernel are written back", "values", sysctlText(back))
	// All of them: to write one may clear another.
	if err := h.Sysctl.Write(ctx, a.Sysctl); err != nil {
		return errors.Join(errors.New("the kernel's values are not as they were before"), err)
	}
	return nil
}

func sysctlText(values map[string]string) string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		words = append(words, key+"="+values[key])
	}
	return strings.Join(words, ", ")
}

// missingSysctls are warnings about values that the kernel has not got. That is no fault of
// the commit: a value may come with a module or an interface.
func missingSysctls(s Sysctl, names []manifest.SysctlName) []string {
	var lines []string
	for _, name := range names {
		if warning, missing := name.Missing(s.Names); missing {
			lines = append(lines, warning.String())
		}
	}
	return lines
}

// tellSysctls looks for such values at the end of each pass, when the modules of the commit
// are loaded, and says of each once that it is missing.
func (d *daemon) tellSysctls() {
	if d.host.Sysctl == nil {
		return
	}
	told := d.noSysctls
	d.noSysctls = missingSysctls(d.host.Sysctl, d.sysctls)
	for _, line := range d.noSysctls {
		if !slices.Contains(told, line) {
			d.log.Warn("a value of the kernel is not set", "warning", line)
		}
	}
}
