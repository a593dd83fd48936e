package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// take gathers one path or unit. The error is of the host; what is wrong with the
// name is a problem.
func (a *adopter) take(name string) error {
	switch {
	case path.IsAbs(name):
		a.path(path.Clean(name), true)
		return nil
	case strings.Contains(name, "/"):
		a.problem("", "%q is neither an absolute path nor the name of a unit", name)
		return nil
	case units.Valid(name) != nil:
		hint := ""
		if units.TypeOf(name) == "" && units.Valid(name+".service") == nil {
			hint = fmt.Sprintf("did you mean %q?", name+".service")
		}
		a.problem(hint, "%v", units.Valid(name))
		return nil
	}
	return a.unit(name)
}

// path gathers what stands at a path; named says that a person named it.
func (a *adopter) path(p string, named bool) {
	if _, done := a.paths[p]; done {
		return
	}
	if len(a.paths) >= maxAdopted {
		if len(a.paths) == maxAdopted {
			a.problem("name what is meant in it, piece by piece", "there are more than %d paths", maxAdopted)
		}
		return
	}
	if isEnablement(p) {
		a.problem("name the unit", "%q is a link that enables a unit", p)
		return
	}
	index := apply.Index{}
	seen, err := index.Look(a.disk, a.accounts, []string{p})
	var unfit *apply.Unfit
	switch at, there := seen.Paths[p]; {
	case errors.As(err, &unfit) && errors.Is(err, apply.ErrLinkInPath):
		a.problem("name the path that it leads to", "%q leads through a symbolic link, and evenkeel follows none", p)
	case err != nil:
		a.problem("", "%v", err)
	case !there:
		a.problem("", "nothing stands at %q", p)
	case at.Kind == plan.Directory:
		a.directory(p, at, named)
	case at.Kind == plan.Other:
		a.problem("", "%q is a device, socket or pipe", p)
	case at.Kind == plan.File:
		if a.content[p], err = a.read(p); err != nil {
			a.problem("", "%v", err)
		}
		fallthrough
	default:
		a.paths[p] = at
	}
}

func (a *adopter) read(p string) ([]byte, error) {
	dir, err := a.disk.OpenDir(path.Dir(p))
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	return dir.Read(path.Base(p), apply.MaxFile)
}

// directory gathers all that is in a directory, and the directory itself where
// the repository would make it another one than it is.
func (a *adopter) directory(p string, at plan.Path, named bool) {
	dir, err := a.disk.OpenDir(p)
	if err != nil {
		a.problem("", "%v", err)
		return
	}
	names, err := dir.Names()
	_ = dir.Close()
	if err != nil {
		a.problem("", "%v", err)
		return
	}
	if len(names) == 0 || at != parentDirectory {
		a.paths[p] = at
	}
	for _, name := range names {
		if named && isEnablement(path.Join(p, name)) {
			continue // "/etc/systemd/system" was named, not a link in it
		}
		a.path(path.Join(p, name), named)
	}
}

// unit gathers what the administrator of this host made of a unit: its file, if
// it is no package's, the drop-ins, and whether it runs and is enabled.
func (a *adopter) unit(name string) error {
	if template, instance, is := units.Template(name); is && instance == "" {
		a.problem("name an instance, or the path of "+template, "%q is a template and cannot run", name)
		return nil
	}
	if fault, hint := manifest.MayManage("/etc/systemd/system/"+name, plan.File, a.options); fault != "" {
		a.problem(hint, "%s", fault)
		return nil
	}
	d, err := a.manager.Show(a.ctx, name)
	switch {
	case err != nil:
		return fmt.Errorf("cannot ask systemd for %q: %w", name, err)
	case d.Load == "not-found":
		a.problem("", "systemd knows no unit %q", name)
		return nil
	case d.Load == "masked":
		a.problem("a link to /dev/null, declared under links:, masks a unit", "%q is masked", name)
		return nil
	case d.Load != "loaded":
		a.problem("", "systemd could not load %q: it is %s", name, d.Load)
		return nil
	}
	a.fragment(name, d)
	for _, file := range d.DropIns {
		a.dropIn(name, file)
	}
	a.service(name, d)
	return nil
}

// fragment gathers a unit's own file.
func (a *adopter) fragment(name string, d units.Detail) {
	switch {
	case d.Fragment == "" || strings.HasPrefix(d.Fragment, "/run/"):
		a.problem("adopt the file that it is made from", "%q is made by a generator or a program, and has no file of its own", name)
	case isVendorUnit(d.Fragment):
		a.vendor = append(a.vendor, d.Fragment)
		a.note("%s: its file %s is a package's and stays so", name, d.Fragment)
	default:
		a.path(d.Fragment, false)
	}
}

func isVendorUnit(file string) bool {
	return strings.HasPrefix(file, "/usr/lib/") || strings.HasPrefix(file, "/lib/") || strings.HasPrefix(file, "/usr/share/")
}

func (a *adopter) dropIn(name, file string) {
	switch dir := path.Base(path.Dir(file)); {
	case isVendorUnit(file):
	case strings.HasPrefix(file, "/run/"):
		a.note("%s: the drop-in %s is gone with the next boot, and is left out", name, file)
	case dir == units.TypeOf(name)+".d":
		a.note("%s: the drop-in %s is one for every %s, and is left out", name, file, units.TypeOf(name))
	default:
		a.path(file, false)
	}
}

// service lists the unit among those that shall run, if it does.
func (a *adopter) service(name string, d units.Detail) {
	if !isUp(d, false) {
		state := d.Active
		if d.UnitFileState == "enabled" {
			state += ", although it is enabled"
		}
		a.note("%s does not run (%s), so it is not listed under services: and only its files are adopted", name, state)
		return
	}
	switch d.UnitFileState {
	case "enabled", "static", "alias", "":
		a.services[name] = true
	default: // disabled, indirect, linked, enabled-runtime
		a.services[name] = false
	}
	for _, other := range d.Triggers {
		if t, err := a.manager.Show(a.ctx, other); err == nil && t.Fragment != "" && !isVendorUnit(t.Fragment) && !slices.Contains(a.asked, other) {
			a.note("%s starts %s, which is a unit of this host too", name, other)
		}
	}
}

// missing reports whether an error is about something that is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
