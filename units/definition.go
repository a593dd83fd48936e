package units

import "slices"

// Definition is a unit as its files say it: the fragment first, then the
// drop-ins in the order in which systemd reads them.
type Definition struct {
	Name  string
	Files []*File
}

// Values gives all that is assigned to a key, raw, in order. An empty
// assignment forgets what came before it.
func (d *Definition) Values(section, key string) []string {
	var values []string
	for _, f := range d.Files {
		for _, a := range f.Assignments {
			if a.Section != section || a.Key != key {
				continue
			}
			if a.Value == "" {
				values = nil
				continue
			}
			values = append(values, a.Value)
		}
	}
	return values
}

// Value gives the last assignment to a key, or "".
func (d *Definition) Value(section, key string) string {
	values := d.Values(section, key)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// last gives the last assignment to a key, be it empty, and whether there is one.
func (d *Definition) last(section, key string) (value string, ok bool) {
	for _, f := range d.Files {
		for _, a := range f.Assignments {
			if a.Section == section && a.Key == key {
				value, ok = a.Value, true
			}
		}
	}
	return value, ok
}

// Has reports whether any of the files opens the section.
func (d *Definition) Has(section string) bool {
	return slices.ContainsFunc(d.Files, func(f *File) bool { return f.Has(section) })
}

// UnitNames gives the unit names that the keys list, specifiers resolved, each
// once, in order. Names that are not valid are left out, as systemd does. An
// empty assignment resets a key, except in section Unit, where systemd knows no
// way to take a dependency back.
func (d *Definition) UnitNames(section string, keys ...string) []string {
	var names []string
	seen := map[string]bool{}
	for _, key := range keys {
		values := d.Values(section, key)
		if section == "Unit" {
			values = d.all(section, key)
		}
		for _, value := range values {
			words, err := Words(value)
			if err != nil {
				continue
			}
			for _, word := range words {
				name, ok := expand(word, d.Name)
				if ok && Valid(name) == nil && !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// all gives the non-empty assignments to a key, without the reset rule.
func (d *Definition) all(section, key string) []string {
	var values []string
	for _, f := range d.Files {
		for _, a := range f.Assignments {
			if a.Section == section && a.Key == key && a.Value != "" {
				values = append(values, a.Value)
			}
		}
	}
	return values
}

// yes reads a boolean as systemd does.
func (d *Definition) yes(section, key string, otherwise bool) bool {
	switch d.Value(section, key) {
	case "1", "yes", "y", "true", "t", "on":
		return true
	case "0", "no", "n", "false", "f", "off":
		return false
	}
	return otherwise
}
