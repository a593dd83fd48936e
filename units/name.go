package units

import (
	"fmt"
	"strings"
)

// maxName is the longest unit name, as in systemd.unit(5).
const maxName = 255

// knownTypes are the unit types of systemd.unit(5), which are the suffixes of
// unit names.
const knownTypes = " automount device mount path scope service slice socket swap target timer "

// Valid gives nil for a name that systemd takes as a unit name, a template's
// "app@.service" included.
func Valid(name string) error {
	dot := strings.LastIndexByte(name, '.')
	switch {
	case len(name) > maxName:
		return fmt.Errorf("unit name %q is longer than %d bytes", shorten(name), maxName)
	case dot < 0 || !isType(name[dot+1:]):
		return fmt.Errorf("unit name %q does not end in a unit type such as .service", name)
	case dot == 0:
		return fmt.Errorf("unit name %q has nothing before the type", name)
	case name[0] == '@':
		return fmt.Errorf("unit name %q has nothing before the @", name)
	}
	for i := 0; i < dot; i++ {
		if !nameByte(name[i]) {
			return fmt.Errorf("unit name %q: %q is not allowed in it", name, name[i])
		}
	}
	return nil
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte(`:-_.\@`, c) >= 0
}

func isType(suffix string) bool {
	return suffix != "" && !strings.Contains(suffix, " ") && strings.Contains(knownTypes, " "+suffix+" ")
}

// TypeOf gives the type of a unit from its name: "service" for "app.service",
// "" when the name has no known type.
func TypeOf(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || !isType(name[dot+1:]) {
		return ""
	}
	return name[dot+1:]
}

// Template takes "app@1.service" apart into the template "app@.service" and the
// instance "1". For the template's own name the instance is ""; for a plain
// name ok is false.
func Template(name string) (template, instance string, ok bool) {
	at := strings.IndexByte(name, '@')
	dot := strings.LastIndexByte(name, '.')
	if at < 0 || dot < at {
		return "", "", false
	}
	return name[:at+1] + name[dot:], name[at+1 : dot], true
}

// instantiate puts an instance into a template's name.
func instantiate(template, instance string) string {
	dot := strings.LastIndexByte(template, '.')
	return template[:strings.IndexByte(template, '@')+1] + instance + template[dot:]
}

// form says which of the three shapes of systemd.unit(5) a valid name has.
type form int

const (
	plain form = iota
	template
	instance
)

func formOf(name string) form {
	_, inst, ok := Template(name)
	switch {
	case !ok:
		return plain
	case inst == "":
		return template
	}
	return instance
}
