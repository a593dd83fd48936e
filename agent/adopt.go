package agent

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// AdoptRequest says what of this host shall come into a repository.
type AdoptRequest struct {
	Names []string // absolute paths, and names of units
	Role  string
	Repo  string // a checkout: the directory that holds fleet.yaml
	Force bool   // replace what the checkout has already and that says otherwise
}

// Adoption is what came into the checkout.
type Adoption struct {
	Wrote  []Written
	Notes  []string // what a person should know about it
	Edited []apply.Edit
	Paths  []string // on the host, sorted
	Units  []string // sorted
}

// Written is one file of the checkout.
type Written struct {
	File string // in the repository
	How  string // "new", "replaced", "added to", or "as it is"
}

// AdoptProblems is everything for which nothing was adopted, sorted.
type AdoptProblems []string

// Error gives one problem a line.
func (ps AdoptProblems) Error() string { return strings.Join(ps, "\n") }

// maxAdopted bounds how many paths one call takes over.
const maxAdopted = 2000

// roleName is what a directory below roles/ is called.
var roleName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// Adopt copies live files, links and units of this host into a checkout, with what
// role.yaml must say of them. The host is only read. The error is AdoptProblems
// when something stands against it; then nothing was written.
func Adopt(ctx context.Context, cfg Config, manager units.Manager, request AdoptRequest) (Adoption, error) {
	d, closeAll, err := previewer(cfg, manager)
	if err != nil {
		return Adoption{}, err
	}
	defer closeAll()
	return d.adoptInto(ctx, request)
}

func (d *daemon) adoptInto(ctx context.Context, request AdoptRequest) (Adoption, error) {
	a, err := d.newAdopter(ctx, request)
	if err != nil {
		return Adoption{}, err
	}
	for _, name := range request.Names {
		if err := a.take(name); err != nil {
			return Adoption{}, err
		}
	}
	files, result, err := a.agree(request)
	if err != nil {
		return Adoption{}, err
	}
	if result.Edited, err = apply.Edited(ctx, a.disk, append(slices.Clone(result.Paths), a.vendor...)); err != nil {
		result.Notes = append(result.Notes, fmt.Sprintf("local edits of what packages ship are not known: %v", err))
	}
	result.Wrote, err = files.write()
	return result, err
}

// newAdopter has taken nothing yet.
func (d *daemon) newAdopter(ctx context.Context, request AdoptRequest) (*adopter, error) {
	accounts, err := apply.ReadAccounts(d.host.Disk)
	if err != nil {
		return nil, err
	}
	if !roleName.MatchString(request.Role) {
		return nil, AdoptProblems{fmt.Sprintf("%q does not do as the name of a role: letters, digits, dots, dashes", request.Role)}
	}
	return &adopter{
		ctx: ctx, disk: d.host.Disk, manager: d.host.Manager, accounts: accounts, options: d.cfg.policy(),
		role: request.Role, asked: request.Names,
		paths: map[string]plan.Path{}, content: map[string][]byte{}, services: map[string]bool{},
	}, nil
}

// agree works out what is to be written for all that was taken, if nothing stands
// against it.
func (a *adopter) agree(request AdoptRequest) (checkout, Adoption, error) {
	a.judge()
	files, err := a.prepare(request)
	if err != nil {
		return checkout{}, Adoption{}, err
	}
	if len(a.problems) > 0 {
		slices.Sort(a.problems)
		return checkout{}, Adoption{}, AdoptProblems(slices.Compact(a.problems))
	}
	return files, Adoption{Notes: a.notes, Paths: slices.Sorted(maps.Keys(a.paths)), Units: slices.Sorted(maps.Keys(a.services))}, nil
}

// EditedHere lists the configuration files on this host that differ from what
// their packages ship: what somebody may want to adopt.
func EditedHere(ctx context.Context) ([]apply.Edit, error) {
	disk, err := apply.NewDisk("/")
	if err != nil {
		return nil, err
	}
	defer func() { _ = disk.Close() }()
	return apply.Edited(ctx, disk, nil)
}

// adopter gathers what is adopted, and what stands against it.
type adopter struct {
	ctx      context.Context
	disk     apply.FS
	manager  units.Manager
	accounts apply.Accounts
	options  manifest.Options
	role     string
	asked    []string

	paths    map[string]plan.Path
	content  map[string][]byte // of the files
	services map[string]bool   // units that run -> whether they are enabled
	vendor   []string          // unit files that stay those of their packages
	notes    []string
	problems []string
}

func (a *adopter) problem(hint, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if hint != "" {
		text += " (" + hint + ")"
	}
	a.problems = append(a.problems, text)
}

func (a *adopter) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

// secretSigns are how the private half of a key begins.
var secretSigns = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|AGE-SECRET-KEY-1|PuTTY-User-Key-File-`)

// judge looks at all that was gathered: what may not be managed, and what does not
// belong into Git in clear.
func (a *adopter) judge() {
	for _, p := range slices.Sorted(maps.Keys(a.paths)) {
		at := a.paths[p]
		if fault, hint := manifest.MayManage(p, at.Kind, a.options); fault != "" {
			a.problem(hint, "%s", fault)
			continue
		}
		if at.Mode&^0o777 != 0 {
			a.problem("", "%q has mode %04o: setuid, setgid and sticky bits are not allowed", p, at.Mode)
		}
		if at.Kind != plan.File {
			continue
		}
		file, fault := manifest.FileFor(a.role, p)
		switch {
		case fault != "":
			a.problem("", "%s", fault)
		case secretSigns.Match(a.content[p]):
			a.problem(fmt.Sprintf("encrypt it: evenkeel secret encrypt %s > %s.age", p, file), "%q holds a private key, which does not belong into a repository in clear", p)
		case at.Mode&0o007 == 0:
			a.note("%s cannot be read by everybody here (mode %04o): see that it holds no secret before you commit it", p, at.Mode)
		}
	}
}
