package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"evenkeel/agent/plan"
)

// Hosts gives the names of the hosts that the repository knows, sorted: those
// with a file in hosts/ and those that an entry of fleet.yaml names without a
// pattern. The error is as Load's; the names found stand beside it.
func Hosts(tree fs.FS) ([]string, error) {
	r := newRepo(tree, Options{})
	names := r.knownHosts(r.readFleet())
	return names, r.err()
}

func (r *repo) knownHosts(f fleet) []string {
	names := append(f.hosts(), r.hostFiles()...)
	slices.Sort(names)
	return slices.Compact(names)
}

// Check looks at the whole repository, away from any host: every host that it
// names, an example for every entry that fits none of them, and every role that
// nobody plays. Problems are sorted, each once. The error is of reading the tree.
//
// The labels and facts of a host are known on it only, so Check tries each host with
// those that fleet.yaml asks for, see Case. A value that is missing under one of these
// sets of labels is a problem: a real host may have them. Facts that fleet.yaml asks for
// are lenient, since what a host is made of is not made up by leaving it out: a value is
// missing only when no such fact gives it. Addresses that a template names have example
// values.
func Check(tree fs.FS, opts Options) (Problems, error) {
	return Open(tree, opts).Check(func(Case, *plan.Target) {})
}

// Check is Check of a repository that more is asked about: each says what a host
// gets that has no problems, wired as far as the repository goes.
func (r *Repository) Check(each func(Case, *plan.Target)) (Problems, error) {
	r.opts.RequireHost = false
	in := r.reader()
	in.lookAround()
	f := in.readFleet()
	c := checker{repository: r, f: f, each: each, roles: map[string]int{}, found: map[Problem]*finding{}}
	found := slices.Clone(in.c.list)
	for _, variants := range in.cases(f) {
		c.host(variants)
	}
	found = append(found, c.named()...)
	for _, name := range in.roleNames() {
		if c.roles[name] == 0 {
			found = append(found, c.unused(name)...)
		}
	}
	return sorted(found), errors.Join(in.failed, c.failed)
}

// named gives an example host of that name.
func (f Facts) named(name string) Facts {
	f.Name, f.FQDN = name, name+".example"
	return f
}

// Example gives a host of which only the name and the labels are known. All other
// facts are examples, addresses of the interfaces that templates name included.
func (r *Repository) Example(name string, labels map[string]string) Facts {
	facts := r.reader().exampleFacts().named(name)
	facts.Labels = maps.Clone(labels)
	return facts
}

// checker remembers which roles have been looked at, and who has which problem.
type checker struct {
	repository *Repository
	f          fleet
	each       func(Case, *plan.Target)
	roles      map[string]int       // role -> how many hosts play it
	found      map[Problem]*finding // by the problem without its hint, which may differ from host to host
	failed     error
}

// finding is a problem with who has it.
type finding struct {
	Problem
	hosts   int      // that have it
	where   []string // these, and how each has to be for it: "web-1 without labels"
	partly  bool     // some host has it only with some labels
	noLabel bool     // some host has it only without labels
}

// load gives the problems of one case and the roles that it plays.
func (c *checker) load(of Case) (Problems, []string) {
	var roles []string
	for _, role := range c.f.assign(of.Facts).roles {
		roles = append(roles, role.word)
	}
	t, err := c.repository.Load(of.Facts)
	if err == nil {
		err = Wire(t, nil)
	}
	if err == nil {
		c.each(of, t)
	}
	problems := asProblems(err)
	if err != nil && problems == nil {
		c.failed = err
	}
	return problems, roles
}

// variant is a case with what was found.
type variant struct {
	Case
	problems Problems
	roles    []string
}

func (v variant) has(p Problem) bool {
	return slices.ContainsFunc(v.problems, p.Same)
}

// host checks one host under each set of labels and facts.
func (c *checker) host(cases []Case) {
	var variants []variant
	played := map[string]bool{}
	for _, of := range cases {
		problems, roles := c.load(of)
		variants = append(variants, variant{of, problems, roles})
		for _, role := range roles {
			played[role] = true
		}
	}
	for role := range played {
		c.roles[role]++
	}
	noted := map[Problem]bool{}
	for _, v := range variants {
		for _, p := range v.problems {
			if !noted[p.bare()] && counts(p, v, variants) {
				noted[p.bare()] = true
				c.note(p, variants)
			}
		}
	}
}

// counts reports whether a problem of one variant is one that a real host may have.
func counts(p Problem, of variant, all []variant) bool {
	switch p.doubt {
	case sure:
		return true
	case doubtHost:
		return of.Match == "" && !slices.ContainsFunc(all, func(v variant) bool {
			return !slices.ContainsFunc(v.problems, func(q Problem) bool { return q.doubt == doubtHost })
		})
	}
	return !slices.ContainsFunc(all, func(v variant) bool {
		near := maps.Equal(v.Facts.Labels, of.Facts.Labels) || maps.Equal(v.Facts.Labels, all[0].Facts.Labels)
		return v.imagined && near && contains(v.roles, p.ofRole()) && !v.has(p)
	})
}

// note keeps a problem of one host, with the variants that have it.
func (c *checker) note(p Problem, variants []variant) {
	f := c.found[p.bare()]
	if f == nil {
		f = &finding{Problem: p}
		c.found[p.bare()] = f
	} else if strings.HasPrefix(p.Hint, "did you mean") {
		f.Hint = p.Hint
	}
	var where []string
	everywhere := true
	for _, v := range variants {
		if v.has(p) {
			where = append(where, v.Facts.Name+" "+v.how())
			f.noLabel = f.noLabel || len(v.Facts.Labels) == 0
		} else if role := p.ofRole(); role == "" || contains(v.roles, role) {
			everywhere = false
		}
	}
	if everywhere {
		where = []string{variants[0].Facts.Name}
	}
	f.hosts++
	f.where = append(f.where, where...)
	f.partly = f.partly || !everywhere
}

// named gives what was found, and says with a problem which hosts have it, and under
// which labels, when others play the role without having it.
func (c *checker) named() []Problem {
	const most = 3
	var out []Problem
	for _, f := range c.found {
		role := f.ofRole()
		if partly := f.partly && f.doubt != doubtHost; partly || role != "" && f.doubt != sure && f.hosts != c.roles[role] {
			between := ", "
			if partly { // labels have commas, too
				between = ", and on "
			}
			on := "so it is on " + strings.Join(f.where[:min(len(f.where), most)], between)
			if more := len(f.where) - most; more > 0 {
				on += fmt.Sprintf(" and %d more", more)
			}
			if partly && f.noLabel && !strings.Contains(f.Hint, saysLabel) {
				on += "; labels: in fleet.yaml says which labels every host has"
			}
			if f.Hint != "" {
				on = f.Hint + "; " + on
			}
			f.Hint = on
		}
		out = append(out, f.Problem)
	}
	return out
}

// Same reports whether two problems are one, whatever is said about how to mend it.
func (p Problem) Same(q Problem) bool { return p.bare() == q.bare() }

// bare is a problem by which it is told from others: the same one may have another hint
// on another host, where other values are near.
func (p Problem) bare() Problem {
	p.Hint = ""
	return p
}

// ofRole is the role whose values a problem hangs on.
func (p Problem) ofRole() string { return cmp.Or(p.role, roleOf(p.File)) }

// roleOf gives the role to which a file of the repository belongs.
func roleOf(file string) string {
	parts := strings.Split(file, "/")
	if len(parts) < 2 || parts[0] != "roles" {
		return ""
	}
	return parts[1]
}

// unused checks a role that nobody plays. Its values may come from entries yet
// to be written, so missing ones are no problem.
func (c *checker) unused(role string) []Problem {
	r := c.repository.reader()
	facts := r.exampleFacts().named("example")
	r.build([]string{role}, facts, r.layers([]string{role}, nil, facts.Name))
	if r.failed != nil {
		c.failed = r.failed
	}
	return slices.DeleteFunc(r.c.list, func(p Problem) bool { return p.doubt == doubtValue })
}

// bracket is a set of characters in a pattern, with one that it allows.
var bracket = regexp.MustCompile(`\[\^?(.)[^\]]*\]`)

// exampleName gives a host name that a pattern matches, where one can be made up
// simply.
func exampleName(pattern string) string {
	if pattern == "" {
		return "example"
	}
	name := bracket.ReplaceAllString(pattern, "$1")
	name = strings.NewReplacer("*", "1", "?", "1", `\`, "").Replace(name)
	if ok, _ := path.Match(pattern, name); !ok { // [^...] and the like
		name = strings.NewReplacer("*", "1", "?", "1").Replace(bracket.ReplaceAllString(pattern, "~"))
	}
	return name
}

// named finds the labels and network interfaces that templates name.
var named = regexp.MustCompile(`\.facts\.(labels|addresses)\.(\w+)`)

// exampleFacts is a host as Check imagines it.
func (r *repo) exampleFacts() Facts { return once(r, "example", r.imagine) }

func (r *repo) imagine() Facts {
	facts := Facts{
		MachineID: "00112233445566778899aabbccddeeff",
		Labels:    map[string]string{},
		OS: map[string]string{
			"ID": "debian", "VERSION_ID": "13", "VERSION_CODENAME": "trixie", "NAME": "Debian GNU/Linux",
			"PRETTY_NAME": "Debian GNU/Linux 13 (trixie)", "VERSION": "13 (trixie)", "ID_LIKE": "debian",
		},
		Kernel: "6.12.0", Arch: "amd64", CPUs: 2, MemoryBytes: 4 << 30, Virtualization: "kvm",
		Addresses:      map[string][]string{"eth0": {"192.0.2.10", "2001:db8::10"}},
		SystemdVersion: 257,
	}
	for _, role := range r.roleNames() {
		for _, below := range []string{"files", "units", "templates"} {
			r.exampleNames(path.Join(roleDir(role), below), &facts)
		}
	}
	return facts
}

// exampleNames adds the facts that templates below a directory name. Faults of
// reading show when the files are loaded.
func (r *repo) exampleNames(dir string, facts *Facts) {
	_ = fs.WalkDir(r.tree, dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, templateSuffix) {
			return nil
		}
		text, _ := fs.ReadFile(r.tree, name)
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			switch kind, key := m[1], m[2]; kind {
			case "labels":
				facts.Labels[key] = "example"
			case "addresses":
				facts.Addresses[key] = []string{"192.0.2.10"}
			}
		}
		return nil
	})
}
