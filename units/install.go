package units

import (
	"path"
	"slices"
	"strings"
)

// systemDir is where an administrator's units and links stand.
const systemDir = "/etc/systemd/system"

// InstallLink is one symbolic link that enables a unit or gives it another name.
type InstallLink struct {
	Path string // where the link stands
	Says string // what it says: the unit's fragment
}

// Install gives the links that "systemctl enable" would make for the unit,
// sorted by path. Says is always fragmentPath; systemctl of some versions writes
// the same as a relative path. A template is enabled as its DefaultInstance=,
// and without one only below other templates. Also= is not followed.
func (d *Definition) Install(fragmentPath string) []InstallLink {
	var links []InstallLink
	add := func(below string) {
		link := InstallLink{Path: path.Join(systemDir, below), Says: fragmentPath}
		if link.Path != fragmentPath && !slices.Contains(links, link) {
			links = append(links, link)
		}
	}
	for _, alias := range d.installWords("Alias") {
		if below, ok := d.aliasPath(alias); ok {
			add(below)
		}
	}
	for _, by := range []struct{ key, directory string }{
		{"WantedBy", ".wants"}, {"RequiredBy", ".requires"}, {"UpheldBy", ".upholds"},
	} {
		name, onlyTemplates := d.installName()
		for _, other := range d.installWords(by.key) {
			if Valid(other) != nil || onlyTemplates && formOf(other) != template {
				continue
			}
			add(other + by.directory + "/" + name)
		}
	}
	slices.SortFunc(links, func(a, b InstallLink) int { return strings.Compare(a.Path, b.Path) })
	return links
}

// Also gives the units that "systemctl enable" would enable along with this one.
func (d *Definition) Also() []string {
	var names []string
	for _, value := range d.all("Install", "Also") {
		words, err := Words(value)
		if err != nil {
			continue
		}
		for _, word := range words {
			if name, ok := expand(word, d.Name); ok && Valid(name) == nil {
				names = union(names, []string{name})
			}
		}
	}
	return without(names, d.Name)
}

// NoUnit is a word of [Install] that stands where a unit's name should.
type NoUnit struct {
	Line           int
	Key, Word, Why string
}

// NoUnits gives the words of [Install] for which systemctl would refuse to enable the
// unit. Install leaves them out.
func (d *Definition) NoUnits() []NoUnit {
	var found []NoUnit
	for _, f := range d.Files {
		for _, a := range f.Assignments {
			if a.Section != "Install" || !slices.Contains([]string{"Alias", "Also", "RequiredBy", "UpheldBy", "WantedBy"}, a.Key) {
				continue
			}
			words, _ := Words(a.Value)
			for _, word := range words {
				name, ok := expand(word, d.Name)
				if err := Valid(name); ok && err != nil && (a.Key != "Alias" || !strings.Contains(name, "/")) {
					found = append(found, NoUnit{a.Line, a.Key, name, err.Error()})
				}
			}
		}
	}
	return found
}

// installName is the name that goes into .wants directories: a template stands
// there as its default instance.
func (d *Definition) installName() (name string, onlyTemplates bool) {
	if formOf(d.Name) != template {
		return d.Name, false
	}
	inst, ok := expand(d.Value("Install", "DefaultInstance"), d.Name)
	if !ok || inst == "" {
		return d.Name, true
	}
	return instantiate(d.Name, inst), false
}

// installWords gives the words of a key in section Install, specifiers resolved.
func (d *Definition) installWords(key string) []string {
	var all []string
	for _, value := range d.Values("Install", key) {
		words, err := Words(value)
		if err != nil {
			continue
		}
		for _, word := range words {
			if word, ok := expand(word, d.Name); ok {
				all = append(all, word)
			}
		}
	}
	return all
}

// aliasPath checks an alias as systemctl does and gives its place below the
// directory of units. The old form "X.wants/NAME" is a dependency, not a name.
func (d *Definition) aliasPath(alias string) (below string, ok bool) {
	directory, name, nested := strings.Cut(alias, "/")
	if nested {
		unit, found := strings.CutSuffix(directory, ".wants")
		if !found {
			unit, found = strings.CutSuffix(directory, ".requires")
		}
		return alias, found && Valid(unit) == nil && d.compatible(name)
	}
	if Valid(alias) != nil || alias == d.Name || TypeOf(alias) != TypeOf(d.Name) || !mayAlias(TypeOf(d.Name)) {
		return "", false
	}
	_, inst, _ := Template(d.Name)
	if formOf(alias) == template && formOf(d.Name) == instance {
		alias = instantiate(alias, inst)
	}
	_, aliasInst, _ := Template(alias)
	switch formOf(alias) {
	case plain:
		return alias, formOf(d.Name) == plain
	case template:
		return alias, formOf(d.Name) == template
	default:
		return alias, formOf(d.Name) == template || formOf(d.Name) == instance && inst == aliasInst
	}
}

// compatible reports whether a link of that name may stand for the unit in a
// .wants directory: the unit itself, or an instance of the template.
func (d *Definition) compatible(name string) bool {
	if name == d.Name {
		return true
	}
	of, _, ok := Template(name)
	return ok && Valid(name) == nil && of == d.Name
}

// mayAlias names the types that can have more than one name.
func mayAlias(unitType string) bool {
	return slices.Contains([]string{"service", "socket", "target", "device", "timer", "path"}, unitType)
}
