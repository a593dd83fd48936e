package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// Analyze is a systemd-analyze that can judge unit files away from the host
// that they are for: without root, and without anything else of that host.
type Analyze struct{ program string }

// oldestAnalyze is the version from which on the messages were read that we
// rely on.
const oldestAnalyze = 252

const analyzeBound = 30 * time.Second

var analyzeVersion = regexp.MustCompile(`^systemd ([0-9]+)`)

// FindAnalyze looks for a systemd-analyze on this machine. The error says why
// units cannot be verified here.
func FindAnalyze(ctx context.Context) (*Analyze, error) {
	program, err := lookProgram("systemd-analyze")
	if err != nil {
		return nil, errors.New("there is no systemd-analyze on this machine")
	}
	ran := runBounded(ctx, analyzeBound, maxOutput, []string{program, "--version"})
	m := analyzeVersion.FindStringSubmatch(ran.output)
	switch {
	case ran.err != nil:
		return nil, fmt.Errorf("systemd-analyze cannot be run: %v", ran.err)
	case m == nil:
		return nil, errors.New("systemd-analyze does not say its version")
	}
	if version, _ := strconv.Atoi(m[1]); version < oldestAnalyze {
		return nil, fmt.Errorf("systemd-analyze is of version %d, and %d is needed", version, oldestAnalyze)
	}
	return &Analyze{program}, nil
}

// Verify judges the units of a target, and gives all faults, sorted. What only
// the host can have, such as the programs of its packages, is no fault here.
func (a *Analyze) Verify(ctx context.Context, t *plan.Target) ([]Invalid, error) {
	o := order{Paths: slices.Sorted(maps.Keys(t.State.Paths)), Masks: masksOf(t.State)}
	own := map[string]bool{}
	for _, p := range o.Paths {
		name := unitOf(p)
		if name == "" || t.State.Paths[p].Kind != plan.File {
			continue
		}
		own[name] = own[name] || path.Base(p) == name
		if !slices.Contains(o.Units, name) {
			o.Units = append(o.Units, name)
		}
	}
	names := o.verifiable()
	if len(names) == 0 {
		return nil, nil
	}
	top, err := os.MkdirTemp("", "evenkeel-verify-")
	if err != nil {
		return nil, fmt.Errorf("cannot verify units: %w", err)
	}
	defer func() { _ = os.RemoveAll(top) }()
	if top, err = filepath.EvalSymlinks(top); err != nil { // as systemd-analyze will name it
		return nil, fmt.Errorf("cannot verify units: %w", err)
	}
	if err := writeSketch(top, t, names, own); err != nil {
		return nil, fmt.Errorf("cannot verify units: %w", err)
	}
	argv := append([]string{a.program, "verify", "--man=no", "--recursive-errors=no", "--root=" + top, "--"}, names...)
	ran := runBounded(ctx, analyzeBound, maxVerifyText, argv)
	switch {
	case ran.late:
		return nil, fmt.Errorf("cannot verify units: systemd-analyze took longer than %v", analyzeBound)
	case ran.err != nil && !ran.exited:
		return nil, fmt.Errorf("cannot verify units: %v", ran.err)
	}
	return awayFromHome(newReading(o).faults(strings.ReplaceAll(ran.output, top+"/", "/")), own), nil
}

// awayFromHome leaves out what is a fault only because this is not the host.
func awayFromHome(faults []Invalid, own map[string]bool) []Invalid {
	var kept []Invalid
	for _, f := range faults {
		// Of a drop-in for a vendor's unit only its own lines can be judged.
		if !f.Missing && (f.Line > 0 || f.Unit == "" || own[f.Unit]) {
			kept = append(kept, f)
		}
	}
	return sortedInvalid(kept)
}

func masksOf(s plan.State) []string {
	var names []string
	for p, at := range s.Paths {
		if at.Kind == plan.Link && at.Link == "/dev/null" && units.IsUnitPath(p) {
			names = append(names, path.Base(p))
		}
	}
	return names
}

// writeSketch writes what systemd-analyze looks at below top: unit files as they
// will be, of other files only that they are there and whether they can be run.
// os.Root keeps it from writing anywhere else.
func writeSketch(top string, t *plan.Target, names []string, own map[string]bool) error {
	root, err := os.OpenRoot(top)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for _, p := range slices.Sorted(maps.Keys(t.State.Paths)) {
		if err := sketch(root, strings.TrimPrefix(p, "/"), t.State.Paths[p], t); err != nil {
			return err
		}
	}
	for _, name := range names {
		if own[name] {
			continue
		}
		if err := stub(root, "etc/systemd/system/"+name); err != nil {
			return err
		}
	}
	return nil
}

// stub writes an empty unit where none is: systemd reads the drop-ins of a unit
// that is there only.
func stub(root *os.Root, name string) error {
	if _, err := root.Lstat(name); err == nil {
		return nil
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return root.WriteFile(name, []byte("[Unit]\n"), 0o644)
}

func sketch(root *os.Root, name string, at plan.Path, t *plan.Target) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch at.Kind {
	case plan.Directory:
		return root.MkdirAll(name, 0o755)
	case plan.Link:
		return root.Symlink(at.Link, name)
	}
	var content []byte
	if units.IsUnitPath("/" + name) {
		content = t.Content[at.Digest]
	}
	return root.WriteFile(name, content, fs.FileMode(0o600|at.Mode&0o111))
}
