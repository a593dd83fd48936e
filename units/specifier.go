package units

import (
	"cmp"
	"strings"
)

// expand replaces the specifiers of systemd.unit(5) that follow from the unit's
// name or are the same on every host. ok is false when the text has another
// one: its value is known on the host only.
func expand(text, name string) (expanded string, ok bool) {
	if !strings.Contains(text, "%") {
		return text, true
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		value, known := specifier(text[i], name)
		if !known {
			return "", false
		}
		b.WriteString(value)
	}
	return b.String(), true
}

func specifier(letter byte, name string) (value string, known bool) {
	base := name
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		base = name[:dot]
	}
	prefix, inst, _ := strings.Cut(base, "@")
	switch letter {
	case '%':
		return "%", true
	case 'n':
		return name, true
	case 'N':
		return base, true
	case 'p':
		return prefix, true
	case 'P':
		return unescapeName(prefix), true
	case 'i':
		return inst, true
	case 'I':
		return unescapeName(inst), true
	case 'j':
		return prefix[strings.LastIndexByte(prefix, '-')+1:], true
	case 'J':
		return unescapeName(prefix[strings.LastIndexByte(prefix, '-')+1:]), true
	case 'f':
		if inst != "" {
			prefix = inst
		}
		return "/" + strings.TrimPrefix(unescapeName(prefix), "/"), true
	}
	value = hostSpecifier(letter)
	return value, value != ""
}

// hostSpecifier gives those that are the same for the system manager of every
// host, "" for another letter.
func hostSpecifier(letter byte) string {
	switch letter {
	case 'h':
		return "/root"
	case 'u', 'g':
		return "root"
	case 'U', 'G':
		return "0"
	case 't':
		return "/run"
	case 'S':
		return "/var/lib"
	case 'C':
		return "/var/cache"
	case 'L':
		return "/var/log"
	case 'E':
		return "/etc"
	case 'T':
		return "/tmp"
	case 'V':
		return "/var/tmp"
	}
	return ""
}

// HostSpecifiers resolves the specifiers that are the same for the system manager of every
// host, and leaves others as they stand.
func HostSpecifiers(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+1 < len(text) {
			if value := hostSpecifier(text[i+1]); value != "" || text[i+1] == '%' {
				b.WriteString(cmp.Or(value, "%"))
				i++
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// unescapeName undoes the escaping of systemd-escape(1): "-" was "/", "\x2d"
// was "-".
func unescapeName(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '-':
			b.WriteByte('/')
		case strings.HasPrefix(s[i:], `\x`) && len(s) >= i+4 && digit(s[i+2]) < 16 && digit(s[i+3]) < 16:
			b.WriteByte(byte(digit(s[i+2])<<4 | digit(s[i+3])))
			i += 3
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
