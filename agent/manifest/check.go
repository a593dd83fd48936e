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
// The labels and facts of a host are known on it only, so Check tries those that
// fleet.yaml asks for: a missing value is reported only when it is missing under
// all of them. Labels and addresses that a template names have example values.
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
	c := checker{repository: r, f: f, each: each, roles: map[string]int{}, hosts: map[Problem][]string{}}
	found := slices.Clone(in.c.list)
	for _, variants := range in.cases(f) {
		found = append(found, c.host(variants)...)
	}
	found = c.named(found)
	for _, name := range in.roleNames() {
		if c.roles[name] == 0 {
			found = append(found, c.unused(name)...)
		}
	}
	return sorted(found), errors.Join(in.failed, c.failed)
}

// Case is a host as it might be: one that the repository names, with the labels
// and facts that an entry of fleet.yaml asks for, or an example for an entry that
// fits none of those.
type Case struct {
	Facts   Facts
	Tried   string // what was made up for an entry, such as "labels env=prod"; "" for the host as it is named
	Example bool   // no host of that name is known
}

// Cases gives what Check looks at: hosts in the order of their names, each at
// first as it is named, and then the examples. It may be short when fleet.yaml
// has problems.
func (r *Repository) Cases() []Case {
	in := r.reader()
	return slices.Concat(in.cases(in.readFleet())...)
}

// maxVariants bounds the sets of labels and facts that are tried for one host.
const maxVariants = 16

// cases gives the cases of each host together.
func (r *repo) cases(f fleet) [][]Case {
	examples := r.exampleFacts()
	var out [][]Case
	fitted := map[int]bool{}
	for _, host := range r.knownHosts(f) {
		variants := []Case{{Facts: examples.named(host)}}
		for i, e := range f.entries {
			fitted[i] = fitted[i] || e.match.holds(variants[0].Facts)
			m := match{labels: e.match.labels, facts: e.match.facts}
			fits := e.match.name == "" || match{name: e.match.name}.holds(Facts{Name: host})
			if fits && !m.empty() && len(variants) <= maxVariants {
				variants = append(variants, Case{Facts: m.pretend(variants[0].Facts), Tried: m.String()})
				fitted[i] = true
			}
		}
		out = append(out, variants)
	}
	for i, e := range f.entries {
		if fitted[i] || e.match.empty() {
			continue
		}
		example := Case{Facts: e.match.pretend(examples.named(exampleName(e.match.name))), Tried: e.match.String(), Example: true}
		for j, other := range f.entries {
			fitted[j] = fitted[j] || other.match.holds(example.Facts)
		}
		out = append(out, []Case{example})
	}
	return out
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
	hosts      map[Problem][]string // what hangs on a host's values -> the hosts that have it
	failed     error
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

// host checks one host under each set of labels and facts.
func (c *checker) host(cases []Case) []Problem {
	type variant struct {
		problems Problems
		roles    []string
	}
	var variants []variant
	played := map[string]bool{}
	for _, of := range cases {
		problems, roles := c.load(of)
		variants = append(variants, variant{problems, roles})
		for _, role := range roles {
			played[role] = true
		}
	}
	for role := range played {
		c.roles[role]++
	}
	everywhere := func(p Problem) bool {
		return !slices.ContainsFunc(variants, func(v variant) bool {
			if p.doubt == doubtHost {
				return !slices.ContainsFunc(v.problems, func(q Problem) bool { return q.doubt == doubtHost })
			}
			return contains(v.roles, p.ofRole()) && !slices.Contains(v.problems, p)
		})
	}
	var out []Problem
	for _, v := range variants {
		for _, p := range v.problems {
			if p.doubt == sure || !cases[0].Example && everywhere(p) || cases[0].Example && p.doubt != doubtHost {
				out = append(out, p)
				if host := cases[0].Facts.Name; p.doubt != sure && !contains(c.hosts[p], host) {
					c.hosts[p] = append(c.hosts[p], host)
				}
			}
		}
	}
	return out
}

// named says with a problem which hosts have it, when others play the role
// without having it.
func (c *checker) named(problems []Problem) []Problem {
	const most = 3
	for i, p := range problems {
		hosts := c.hosts[p]
		if role := p.ofRole(); role == "" || len(hosts) == 0 || len(hosts) == c.roles[role] {
			continue
		}
		on := "so it is on " + strings.Join(hosts[:min(len(hosts), most)], ", ")
		if len(hosts) > most {
			on += fmt.Sprintf(" and %d more", len(hosts)-most)
		}
		if p.Hint != "" {
			on = p.Hint + "; " + on
		}
		problems[i].Hint = on
	}
	return problems
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
