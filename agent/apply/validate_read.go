package apply

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"evenkeel/units"
)

// reading picks from systemd's messages those that concern the commit. A host
// is never without warnings about vendor units, and no commit can mend them.
//
// Seen on systemd 252 and 257:
//
//	/etc/systemd/system/app.service:3: Unknown key 'ExecStrat' in section [Service], ignoring.
//	app.service: Command /usr/bin/app is not executable: No such file or directory
//	Unit app.service has a bad unit file setting.
//	Configuration file /etc/systemd/system/app.service is marked executable. [...] Proceeding anyway.
type reading struct {
	paths []string          // staged, sorted
	files map[string]string // unit -> its staged file, else its first staged drop-in
	units []string          // the commit's
}

var (
	atLine    = regexp.MustCompile(`^(/.+?):([0-9]+): (.+)$`)
	aboutUnit = regexp.MustCompile(`^([^ /]+): (.+)$`)
	ofUnit    = regexp.MustCompile(`^(?:Unit|Failed to prepare filename) ([^ ]+?):? (.+)$`)
)

// vague are the ends of messages which only say that another one is fatal.
var vague = regexp.MustCompile(`^(has a bad unit file setting\.|failed to load properly, please adjust/correct.*|Unit configuration has fatal error, unit will not be started\.)$`)

// absent are messages about what a package, or the operator, may still bring.
var absent = regexp.MustCompile(`is not executable: No such file or directory$|not loaded, socket cannot be started\.$`)

func newReading(o order) reading {
	r := reading{paths: slices.Clone(o.Paths), files: map[string]string{}, units: slices.Clone(o.Units)}
	for _, p := range o.Paths {
		if name := unitOf(p); name != "" && (r.files[name] == "" || path.Base(p) == name) {
			r.files[name] = p
		}
	}
	for name, source := range o.generated.source {
		r.files[name], r.units, r.paths = source, append(r.units, name), append(r.paths, path.Join(o.generated.dir, name))
	}
	slices.Sort(r.paths)
	return r
}

// unitOf gives the unit that a path is the file or a drop-in of, "" for others:
// the links of an enabled unit are in NAME.wants and the like.
func unitOf(p string) string {
	name, dir := path.Base(p), path.Base(path.Dir(p))
	switch path.Ext(dir) {
	case ".d":
		name = strings.TrimSuffix(dir, ".d")
	case ".wants", ".requires", ".upholds":
		return ""
	}
	if !units.IsUnitPath(p) || units.Valid(name) != nil {
		return ""
	}
	return name
}

// faults reads the whole of what systemd-analyze said.
func (r reading) faults(said string) []Invalid {
	var faults, unexplained []Invalid
	for line := range strings.Lines(said) {
		fault, ok := r.fault(strings.TrimRight(line, "\n"))
		switch {
		case !ok:
		case vague.MatchString(fault.Message):
			unexplained = append(unexplained, fault)
		default:
			faults = append(faults, fault)
		}
	}
	for _, fault := range unexplained {
		if !slices.ContainsFunc(faults, func(f Invalid) bool { return f.Unit == fault.Unit }) {
			faults = append(faults, fault)
		}
	}
	for i := range faults {
		faults[i].Message = printable(faults[i].Message)
		faults[i].Missing = absent.MatchString(faults[i].Message)
	}
	return faults
}

// fault reads one line; ok is false when it is not about the commit.
func (r reading) fault(line string) (fault Invalid, ok bool) {
	if strings.HasSuffix(line, "Proceeding anyway.") {
		return fault, false // about the mode of a file; systemd does what the file says
	}
	if m := atLine.FindStringSubmatch(line); m != nil {
		_, staged := slices.BinarySearch(r.paths, m[1])
		number, _ := strconv.Atoi(m[2]) // digits only; absurdly many give 0
		return Invalid{Path: m[1], Line: number, Unit: unitOf(m[1]), Message: m[3]}, staged
	}
	for _, shape := range []*regexp.Regexp{aboutUnit, ofUnit} {
		if m := shape.FindStringSubmatch(line); m != nil {
			if name, ours := r.ours(m[1]); ours {
				fault = Invalid{Path: r.files[name], Unit: name, Message: m[2]}
				return fault, !r.isElsewhere(fault)
			}
		}
	}
	if p, _ := firstPlace(line, r.paths); p != "" {
		return Invalid{Path: p, Unit: unitOf(p), Message: line}, true
	}
	return fault, false
}

// ours gives the commit's name for a unit: a template for the instance that
// systemd-analyze makes up to look at it.
func (r reading) ours(name string) (string, bool) {
	if slices.Contains(r.units, name) {
		return name, true
	}
	template, _, ok := units.Template(name)
	return template, ok && slices.Contains(r.units, template)
}

// isElsewhere is so for a drop-in whose unit this host does not have, or has
// masked: systemd takes no offence at such a drop-in.
func (r reading) isElsewhere(fault Invalid) bool {
	gone := fault.Message == "not found." || fault.Message == "is masked."
	return gone && path.Base(fault.Path) != fault.Unit
}

// firstPlace finds the first of the paths that a text names, with the first line
// number behind that path if there is one: programs say what they read before they say
// what is wrong with it.
func firstPlace(text string, paths []string) (found string, line int) {
	first := len(text)
	for _, p := range paths {
		at := strings.Index(text, p)
		if at < 0 || at > first || continues(text[at+len(p):]) {
			continue
		}
		found, first = p, at
	}
	if found == "" {
		return "", 0
	}
	for _, behind := range strings.Split(text, found)[1:] {
		if m := lineNumber.FindStringSubmatch(behind); m != nil {
			line, _ = strconv.Atoi(m[1])
			break
		}
	}
	return found, line
}

var lineNumber = regexp.MustCompile(`^(?::| line )([0-9]+)`)

// continues reports whether a path goes on where a shorter one ended.
func continues(rest string) bool {
	if rest == "" {
		return false
	}
	c := rune(rest[0])
	return c == '/' || c == '-' || c == '_' || c == '~' || c > unicode.MaxASCII || unicode.IsLetter(c) || unicode.IsDigit(c) ||
		c == '.' && len(rest) > 1 && rest[1] > ' '
}

// printable makes a program's output fit for a log and a terminal: no control
// characters, no empty lines, not too long.
func printable(text string) string {
	var lines []string
	for line := range strings.Lines(strings.ToValidUTF8(text, "\uFFFD")) {
		line = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) && r != ' ' {
				return -1
			}
			return r
		}, strings.ReplaceAll(line, "\t", " "))
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	text = strings.Join(lines, "\n")
	if len(text) > maxFindingText {
		text = strings.ToValidUTF8(text[:maxFindingText], "") + "..."
	}
	return text
}
