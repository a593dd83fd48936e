package manifest

import (
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
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
	opts.RequireHost = false
	r := newRepo(tree, opts)
	r.lookAround()
	c := checker{tree: tree, opts: opts, f: r.readFleet(), examples: r.exampleFacts(), roles: map[string]bool{}, entries: map[int]bool{}}
	found := slices.Clone(r.c.list)
	for _, host := range r.knownHosts(c.f) {
		found = append(found, c.host(host)...)
	}
	found = append(found, c.patterns()...)
	for _, name := range r.roleNames() {
		if !c.roles[name] {
			found = append(found, c.unused(name)...)
		}
	}
	return sorted(found), errors.Join(r.failed, c.failed)
}

// checker remembers which entries and roles have been looked at.
type checker struct {
	tree     fs.FS
	opts     Options
	f        fleet
	examples Facts
	roles    map[string]bool
	entries  map[int]bool
	failed   error
}

// facts gives an example host for which an entry holds.
func (c *checker) facts(name string, m match) Facts {
	facts := c.examples
	facts.Name, facts.FQDN = name, name+".example"
	return m.pretend(facts)
}

// load gives the problems of one example host and the roles it plays.
func (c *checker) load(facts Facts) (Problems, []string) {
	for i, e := range c.f.entries {
		if e.match.holds(facts) {
			c.entries[i] = true
		}
	}
	var roles []string
	for _, role := range c.f.assign(facts).roles {
		c.roles[role.word] = true
		roles = append(roles, role.word)
	}
	_, err := Load(c.tree, facts, c.opts)
	problems := asProblems(err)
	if err != nil && problems == nil {
		c.failed = err
	}
	return problems, roles
}

// maxVariants bounds the sets of labels and facts that are tried for one host.
const maxVariants = 16

// host checks a host that the repository names, under each set of labels and
// facts.
func (c *checker) host(name string) []Problem {
	type variant struct {
		problems Problems
		roles    []string
	}
	sets := []match{{}}
	for _, e := range c.f.entries {
		m := match{labels: e.match.labels, facts: e.match.facts}
		fits := e.match.name == "" || match{name: e.match.name}.holds(Facts{Name: name})
		if fits && !m.empty() && len(sets) < maxVariants {
			sets = append(sets, m)
		}
	}
	var variants []variant
	for _, m := range sets {
		problems, roles := c.load(c.facts(name, m))
		variants = append(variants, variant{problems, roles})
	}
	everywhere := func(p Problem) bool {
		return !slices.ContainsFunc(variants, func(v variant) bool {
			if p.doubt == doubtHost {
				return !slices.ContainsFunc(v.problems, func(q Problem) bool { return q.doubt == doubtHost })
			}
			return contains(v.roles, roleOf(p.File)) && !slices.Contains(v.problems, p)
		})
	}
	var out []Problem
	for _, v := range variants {
		for _, p := range v.problems {
			if p.doubt == sure || everywhere(p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// roleOf gives the role to which a file of the repository belongs.
func roleOf(file string) string {
	parts := strings.Split(file, "/")
	if len(parts) < 2 || parts[0] != "roles" {
		return ""
	}
	return parts[1]
}

// patterns checks an example host for each entry that has fitted none so far.
func (c *checker) patterns() []Problem {
	var out []Problem
	for i, e := range c.f.entries {
		if c.entries[i] || e.match.empty() {
			continue
		}
		c.entries[i] = true
		problems, _ := c.load(c.facts(exampleName(e.match.name), e.match))
		for _, p := range problems {
			if p.doubt != doubtHost {
				out = append(out, p)
			}
		}
	}
	return out
}

// unused checks a role that nobody plays. Its values may come from entries yet
// to be written, so missing ones are no problem.
func (c *checker) unused(role string) []Problem {
	r := newRepo(c.tree, c.opts)
	facts := c.facts("example", match{})
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
func (r *repo) exampleFacts() Facts {
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
		for _, below := range []string{"files", "units"} {
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
