package units

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxLine is the longest line that systemd reads, continuations included.
const maxLine = 1 << 20

// File is one unit file or drop-in as systemd.syntax(7) reads it. Values are
// raw: quotes, escapes and specifiers still stand in them.
type File struct {
	Path        string
	Assignments []Assignment
	sections    map[string]bool
}

// Assignment is one "Key=Value" and the line on which it begins.
type Assignment struct {
	Section, Key, Value string
	Line                int
}

// Has reports whether the file opens the section, be it empty or not.
func (f *File) Has(section string) bool { return f.sections[section] }

// SyntaxError is a line that systemd would ignore with a warning, or for which
// it would refuse the file.
type SyntaxError struct {
	Path    string
	Line    int
	Message string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("cannot read unit file %q: line %d: %s", e.Path, e.Line, e.Message)
}

// ParseFile reads a unit file. It is stricter than systemd, which skips a
// faulty line with a warning in a log that nobody reads: the first such line is
// returned as a *SyntaxError. The File beside the error still holds all that
// systemd would use, for callers that only look at somebody else's unit.
func ParseFile(path string, text []byte) (*File, error) {
	p := parser{file: &File{Path: path, sections: map[string]bool{}}}
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	var joined strings.Builder // a logical line that still goes on
	begins := 0                // its first line, 0 when there is none
	for i, line := range lines(text) {
		number := i + 1
		line = strings.TrimLeft(line, " \t\n\r")
		if line != "" && (line[0] == '#' || line[0] == ';') {
			continue // also between a line and its continuation
		}
		if begins == 0 {
			begins = number
		}
		body, more := cutContinuation(line)
		if joined.Len()+len(body) > maxLine {
			p.fault(begins, "line is longer than 1 MiB")
			return p.file, p.err()
		}
		joined.WriteString(body)
		if more {
			continue
		}
		if !p.line(begins, joined.String()) {
			return p.file, p.err()
		}
		joined.Reset()
		begins = 0
	}
	if begins != 0 {
		p.line(begins, joined.String())
	}
	return p.file, p.err()
}

// lines splits at the line ends that systemd knows: "\n", "\r\n" and "\r".
func lines(text []byte) []string {
	s := strings.ReplaceAll(string(text), "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(s, "\r", "\n"), "\n")
}

// cutContinuation replaces the backslash at the end of a line that goes on by a
// space. A backslash that is itself escaped does not count.
func cutContinuation(line string) (body string, more bool) {
	slashes := len(line) - len(strings.TrimRight(line, `\`))
	if slashes%2 == 0 {
		return line, false
	}
	return line[:len(line)-1] + " ", true
}

type parser struct {
	file    *File
	section string
	first   *SyntaxError
}

func (p *parser) fault(line int, message string) {
	if p.first == nil {
		p.first = &SyntaxError{Path: p.file.Path, Line: line, Message: message}
	}
}

// err avoids the non-nil error interface that holds a nil pointer.
func (p *parser) err() error {
	if p.first == nil {
		return nil
	}
	return p.first
}

// line reads one logical line. It is false when systemd would refuse the file.
func (p *parser) line(number int, text string) bool {
	text = strings.Trim(text, " \t\n\r")
	if text == "" {
		return true
	}
	if strings.ContainsRune(text, 0) {
		p.fault(number, "NUL byte")
		return true
	}
	if !utf8.ValidString(text) {
		p.fault(number, "invalid UTF-8")
		return true
	}
	if text[0] == '[' {
		return p.header(number, text)
	}
	key, value, found := strings.Cut(text, "=")
	key = strings.TrimRight(key, " \t")
	switch {
	case !found:
		p.fault(number, fmt.Sprintf("expected \"Key=Value\" or \"[Section]\", found %q", shorten(text)))
	case key == "":
		p.fault(number, "no key before \"=\"")
	case p.section == "":
		p.fault(number, fmt.Sprintf("%q stands before the first section", key+"="))
	default:
		p.file.Assignments = append(p.file.Assignments, Assignment{
			Section: p.section, Key: key, Value: strings.TrimLeft(value, " \t"), Line: number,
		})
	}
	return true
}

func (p *parser) header(number int, text string) bool {
	name := strings.TrimSuffix(text[1:], "]")
	if len(name) != len(text)-2 || name == "" || strings.ContainsAny(name, "\"'\\[]") || hasControl(name) {
		p.fault(number, fmt.Sprintf("bad section header %q", shorten(text)))
		return false
	}
	p.section = name
	p.file.sections[name] = true
	return true
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// shorten keeps an error readable when the line is not.
func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
