package units

import (
	"path"
	"strings"
)

// maxArgument is the kernel's limit for one argument of a program.
const maxArgument = 128 << 10

// Read is a path that a unit reads when it starts.
type Read struct {
	Path string // absolute; may hold glob characters or name a directory
	Why  string // the directive that says so: "EnvironmentFile="
	Must bool   // without it the unit does not start
}

// Reads gives the absolute paths that the unit's directives name as its inputs,
// each once, grouped by directive in a fixed order. The unit's own files are not
// among them, nor are paths of /dev, /proc and /sys. A value that only the host
// could complete is left out.
func (d *Definition) Reads() []Read {
	r := reader{d: d, seen: map[string]bool{}}
	for _, section := range []string{"Service", "Socket", "Mount", "Swap"} {
		r.environmentFiles(section)
		for _, key := range []string{
			"ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost",
			"ExecReload", "ExecStopPre", "ExecStop", "ExecStopPost",
		} {
			r.commands(section, key)
		}
		r.credentials(section, "LoadCredential")
		r.credentials(section, "LoadCredentialEncrypted")
		r.configuration(section)
		r.binds(section, "BindPaths")
		r.binds(section, "BindReadOnlyPaths")
		r.plain(section, "RootDirectory")
		r.plain(section, "RootImage")
		r.standardInput(section)
	}
	return r.reads
}

type reader struct {
	d     *Definition
	reads []Read
	seen  map[string]bool
}

// must adds a path, or the one behind a "-" without which the unit starts all the same.
func (r *reader) must(value, key string) {
	p := strings.TrimLeft(value, "-+")
	r.add(p, key)
	if strings.HasPrefix(value, "-") || strings.ContainsAny(p, `*?[\`) {
		return
	}
	for i := range r.reads {
		if r.reads[i].Path == path.Clean(p) {
			r.reads[i].Must = true
		}
	}
}

// add takes a path whose specifiers are resolved.
func (r *reader) add(p, key string) {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\n\x00") {
		return
	}
	p = path.Clean(p)
	if p == "/" || r.seen[p] {
		return
	}
	for _, kernel := range []string{"/dev", "/proc", "/sys"} {
		if p == kernel || strings.HasPrefix(p, kernel+"/") {
			return
		}
	}
	r.seen[p] = true
	r.reads = append(r.reads, Read{Path: p, Why: key + "="})
}

// words gives the words of all assignments, specifiers resolved.
func (r *reader) words(section, key string) []string {
	var all []string
	for _, value := range r.d.Values(section, key) {
		words, err := Words(value)
		if err != nil {
			continue
		}
		for _, word := range words {
			if word, ok := expand(word, r.d.Name); ok {
				all = append(all, word)
			}
		}
	}
	return all
}

// plain reads a directive that is one path, unquoted.
func (r *reader) plain(section, key string) {
	if value, ok := expand(r.d.Value(section, key), r.d.Name); ok {
		r.add(strings.TrimLeft(value, "-+"), key)
	}
}

func (r *reader) environmentFiles(section string) {
	for _, value := range r.d.Values(section, "EnvironmentFile") {
		if value, ok := expand(value, r.d.Name); ok {
			r.must(value, "EnvironmentFile")
		}
	}
}

// credentials reads "ID:PATH". Without a path the credential comes from
// systemd's own.
func (r *reader) credentials(section, key string) {
	for _, value := range r.d.Values(section, key) {
		words, err := Words(value)
		if err != nil || len(words) == 0 {
			continue
		}
		if value, ok := expand(words[0], r.d.Name); ok {
			_, file, _ := strings.Cut(value, ":")
			r.must(file, key)
		}
	}
}

// configuration reads names below /etc.
func (r *reader) configuration(section string) {
	const key = "ConfigurationDirectory"
	for _, word := range r.words(section, key) {
		name, _, _ := strings.Cut(word, ":")
		r.add("/etc/"+name, key)
	}
}

// binds reads "SOURCE[:DESTINATION[:OPTIONS]]".
func (r *reader) binds(section, key string) {
	for _, word := range r.words(section, key) {
		source, _, _ := strings.Cut(word, ":")
		r.must(source, key)
	}
}

func (r *reader) standardInput(section string) {
	const key = "StandardInput"
	value, ok := expand(r.d.Value(section, key), r.d.Name)
	if file, found := strings.CutPrefix(value, "file:"); ok && found {
		r.add(file, key)
	}
}

// commands reads command lines: the program, and the paths in its arguments.
func (r *reader) commands(section, key string) {
	environment := r.environment(section)
	for _, value := range r.d.Values(section, key) {
		words, err := Words(value)
		if err != nil {
			continue // systemd ignores such a line
		}
		for _, word := range programWords(words) {
			word, ok := expand(word, r.d.Name)
			if !ok {
				continue
			}
			for _, p := range pathsIn(substitute(word, environment)) {
				r.add(p, key)
			}
		}
	}
}

// programWords takes what is not a path off a command line: the prefixes of the
// program, the separator of commands, and argv[0] where "@" gives one.
func programWords(words []string) []string {
	var kept []string
	first := true
	for i := 0; i < len(words); i++ {
		switch word := words[i]; {
		case word == ";":
			first = true
		case first:
			program := strings.TrimLeft(word, "-@:+!|")
			if strings.Contains(word[:len(word)-len(program)], "@") {
				i++ // argv[0]
			}
			kept = append(kept, program)
			first = false
		default:
			kept = append(kept, word)
		}
	}
	return kept
}

// environment gives the variables that the unit itself sets.
func (r *reader) environment(section string) map[string]string {
	variables := map[string]string{}
	for _, word := range r.words(section, "Environment") {
		if name, value, ok := strings.Cut(word, "="); ok {
			variables[name] = value
		}
	}
	return variables
}

// substitute puts the unit's own variables into an argument, once: systemd does
// not look for variables in what it put in. Others stay, and with them their "$",
// with which pathsIn takes no path.
func substitute(word string, environment map[string]string) string {
	if name, ok := strings.CutPrefix(word, "$"); ok {
		if value, ok := environment[name]; ok {
			return value
		}
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(word, "${")
		b.WriteString(before)
		if b.Len() > maxArgument {
			return "" // no program could be started with it
		}
		if !found {
			return b.String()
		}
		name, after, _ := strings.Cut(rest, "}")
		if value, ok := environment[name]; ok {
			b.WriteString(value)
		} else {
			b.WriteString("${" + name + "}")
		}
		word = after
	}
}

// pathsIn finds the absolute paths in an argument: all of it, and what begins
// after one of the characters that part a path from an option, another path or
// a shell's syntax.
func pathsIn(argument string) []string {
	var paths []string
	if strings.HasPrefix(argument, "/") && !strings.ContainsAny(argument, "$`") {
		paths = append(paths, argument)
	}
	parts := strings.FieldsFunc(argument, func(c rune) bool {
		return strings.ContainsRune("=,:; \t\n'\"`()<>|&", c)
	})
	for _, part := range parts {
		if strings.HasPrefix(part, "/") && !strings.Contains(part, "$") {
			paths = append(paths, part)
		}
	}
	return paths
}
