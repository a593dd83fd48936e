package manifest

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// match says for which hosts an entry of fleet.yaml is. All that it names must
// hold; one that names nothing is for no host.
type match struct {
	name   string // glob
	labels map[string]string
	facts  []factSays
}

// factSays asks that a fact is as one of the globs.
type factSays struct {
	path  string // such as os.id
	globs []string
}

// match reads "web-*" or {name: web-*, labels: {env: prod}, facts: {os.id: debian}}.
func (d *document) match(n *yaml.Node) match {
	var m match
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		d.glob(n)
		m.name = n.Value
		return m
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, `match: "*" matches every host`, "match: must be a pattern for host names, or {name: ..., labels: ..., facts: ...}, found %s", kindOf(n))
		return m
	}
	keys := d.fields(n, "match:", matchKeys())
	if len(n.Content) == 0 {
		d.problem(n, `match: "*" matches every host`, "match: is empty")
	}
	if p, ok := keys["name"]; ok {
		if s, ok := d.text(p.value, "name:"); ok {
			d.glob(p.value)
			m.name = s
		}
	}
	if p, ok := keys["labels"]; ok {
		m.labels = map[string]string{}
		for _, l := range d.pairs(p.value, "labels:") {
			if s, ok := d.text(l.value, "a label"); ok {
				m.labels[l.name] = s
			}
		}
	}
	if p, ok := keys["facts"]; ok {
		m.facts = d.matchFacts(p.value)
	}
	return m
}

// glob checks a pattern for host names.
func (d *document) glob(n *yaml.Node) {
	n = resolve(n)
	if n.Value == "" {
		d.problem(n, `match: "*" matches every host`, "a host name cannot be empty")
	} else if _, err := path.Match(n.Value, ""); err != nil || strings.Contains(n.Value, "/") {
		d.problem(n, hostGlobHint(n.Value), "%q is not a pattern for host names", n.Value)
	}
}

func hostGlobHint(pattern string) string {
	if strings.Contains(pattern, "/") {
		return "a host name has no slash; * ? and [abc] may stand in a pattern"
	}
	return globHint(pattern)
}

// matchFacts reads {os.id: debian, arch: [amd64, arm64]}.
func (d *document) matchFacts(n *yaml.Node) []factSays {
	var out []factSays
	pairs := d.pairs(n, "facts:")
	if n = resolve(n); n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.problem(n, "such as {os.id: debian}", "facts: is empty")
	}
	for _, p := range pairs {
		value := resolve(p.value)
		if value.Kind == yaml.MappingNode {
			d.problem(value, fmt.Sprintf("write the path with dots, such as %s.id: debian", p.name), "the fact %q must be a pattern or a list of patterns, found a mapping", p.name)
			continue
		}
		if fault, hint := badFact(p.name); fault != "" {
			d.problem(p.key, hint, "%s", fault)
			continue
		}
		says := factSays{path: p.name}
		nodes := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			nodes = value.Content
		}
		if len(nodes) == 0 {
			d.problem(value, "such as [debian, ubuntu]", "the fact %q has no patterns", p.name)
		}
		for _, item := range nodes {
			glob, ok := d.text(item, "a pattern for the fact "+strconv.Quote(p.name))
			if !ok {
				continue
			}
			if _, err := path.Match(glob, ""); err != nil {
				d.problem(item, globHint(glob), "%q is not a pattern for a fact", glob)
				continue
			}
			says.globs = append(says.globs, glob)
		}
		out = append(out, says)
	}
	return out
}

// osField is a field of os-release(5) as facts name it.
var osField = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// osFields are those that most distributions have. Others have more of their
// own, so that only what looks like a slip of one of these is a fault.
func osFields() []string {
	return []string{
		"id", "id_like", "name", "pretty_name", "version", "version_id", "version_codename", "variant", "variant_id",
		"build_id", "image_id", "image_version", "platform_id", "cpe_name",
	}
}

// badFact says why a path names no fact, "" when it does.
func badFact(name string) (fault, hint string) {
	first, rest, nested := strings.Cut(name, ".")
	switch {
	case first == "name" && !nested:
		return "the host's name is not matched under facts:", "write name: beside facts:"
	case first == "labels":
		return "labels are not matched under facts:", "write labels: beside facts:"
	case first == "addresses" && rest != "":
		return "", ""
	case first == "os" && osField.MatchString(rest):
		if near := nearest(rest, osFields()); near != "" && !contains(osFields(), rest) {
			return fmt.Sprintf("there is no fact %q", name), fmt.Sprintf("did you mean %q?", "os."+near)
		}
		return "", ""
	case first == "os" && nested:
		return fmt.Sprintf("there is no fact %q", name), "the fields of os-release are in lower case, such as os.version_id"
	case !nested && contains(plainFacts(), name):
		return "", ""
	}
	known := append(plainFacts(), "os.id", "os.version_id", "os.version_codename", "addresses.eth0")
	hint = didYouMean(name, known)
	if hint == "" {
		hint = "known here: " + strings.Join(known, ", ")
	}
	return fmt.Sprintf("there is no fact %q", name), hint
}

// plainFacts are those that have one value.
func plainFacts() []string {
	return []string{"arch", "cpus", "fqdn", "kernel", "machine_id", "memory_bytes", "systemd_version", "virtualization"}
}

// texts gives a fact as text; a list gives all its elements.
func (f Facts) texts(name string) []string {
	at := any(f.Values())
	for _, part := range strings.SplitN(name, ".", 2) {
		m, _ := at.(map[string]any)
		at = m[part]
	}
	if items, ok := at.([]any); ok {
		var out []string
		for _, item := range items {
			out = append(out, str(item))
		}
		return out
	}
	if at == nil {
		return nil
	}
	return []string{str(at)}
}

// holds reports whether the fact is as one of the globs says. A slash is a
// character like any other in it.
func (s factSays) holds(facts Facts) bool {
	for _, text := range facts.texts(s.path) {
		for _, glob := range s.globs {
			if ok, _ := path.Match(withoutSlash(glob), withoutSlash(text)); ok {
				return true
			}
		}
	}
	return false
}

func withoutSlash(s string) string { return strings.ReplaceAll(s, "/", "\x00") }

// empty reports whether nothing is asked for, as when it could not be read.
func (m match) empty() bool { return m.name == "" && len(m.labels) == 0 && len(m.facts) == 0 }

// holds reports whether a host is meant.
func (m match) holds(facts Facts) bool {
	if m.empty() {
		return false
	}
	if m.name != "" {
		if ok, _ := path.Match(m.name, facts.Name); !ok { // a bad pattern is a problem already
			return false
		}
	}
	for k, v := range m.labels {
		if got, ok := facts.Labels[k]; !ok || got != v {
			return false
		}
	}
	return !slices.ContainsFunc(m.facts, func(s factSays) bool { return !s.holds(facts) })
}

// String is the match for people: "web-*, labels env=prod, facts os.id=debian".
func (m match) String() string {
	var words []string
	if m.name != "" {
		words = append(words, m.name)
	}
	if len(m.labels) > 0 {
		words = append(words, withLabels(m.labels))
	}
	for _, s := range m.facts {
		words = append(words, "fact "+s.path+"="+strings.Join(s.globs, "|"))
	}
	return strings.Join(words, ", ")
}

// pretend gives facts that hold, where they can be made up simply.
func (m match) pretend(facts Facts) Facts {
	if m.name != "" && m.name != facts.Name {
		facts.Name = exampleName(m.name)
	}
	facts.Labels = maps.Clone(facts.Labels)
	facts.OS = maps.Clone(facts.OS)
	facts.Addresses = maps.Clone(facts.Addresses)
	maps.Copy(facts.Labels, m.labels)
	for _, s := range m.facts {
		if len(s.globs) > 0 && !s.holds(facts) {
			facts.set(s.path, exampleName(s.globs[0]))
		}
	}
	return facts
}

// set changes one fact of an example. A number that is none stays as it was.
func (f *Facts) set(name, text string) {
	first, rest, _ := strings.Cut(name, ".")
	n, err := strconv.Atoi(text)
	switch {
	case first == "os":
		f.OS[strings.ToUpper(rest)] = text
	case first == "addresses":
		f.Addresses[rest] = []string{text}
	case first == "cpus" && err == nil:
		f.CPUs = n
	case first == "memory_bytes" && err == nil:
		f.MemoryBytes = uint64(max(n, 0))
	case first == "systemd_version" && err == nil:
		f.SystemdVersion = n
	}
	for at, field := range map[string]*string{
		"arch": &f.Arch, "fqdn": &f.FQDN, "kernel": &f.Kernel, "machine_id": &f.MachineID, "virtualization": &f.Virtualization,
	} {
		if first == at {
			*field = text
		}
	}
}
