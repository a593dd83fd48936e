package main

import (
	"fmt"
	"regexp"
	"strings"
)

// line is a line of the Markdown, without the indentation of what it stands in.
type line struct {
	number int
	text   string
}

func (l line) blank() bool { return strings.TrimSpace(l.text) == "" }

// fault says where a page cannot be read as it was meant.
func (l line) fault(format string, args ...any) error {
	return fmt.Errorf("line %d: cannot make a man page of this: %s", l.number, fmt.Sprintf(format, args...))
}

// volumes names the sections of the manual that we have pages in.
var volumes = map[string]string{"5": "File Formats", "8": "System Administration"}

var (
	title   = regexp.MustCompile(`^# ([^ ()]+)\((\d)\)$`)
	heading = regexp.MustCompile(`^(#+) (.+)$`)
	item    = regexp.MustCompile(`^(-|\d+\.) +`)
)

// page is the man page of a whole Markdown page, which begins with "# name(8)".
func page(markdown string) (string, error) {
	var lines []line
	for i, text := range strings.Split(markdown, "\n") {
		lines = append(lines, line{i + 1, strings.TrimRight(text, " ")})
	}
	named := title.FindStringSubmatch(lines[0].text)
	if named == nil || volumes[named[2]] == "" {
		return "", lines[0].fault("the first line must be a title such as \"# evenkeel(8)\"")
	}
	w := writer{}
	// Neither hyphens nor stretched lines: what stands here is copied into terminals.
	w.put(".TH %s %s \"\" evenkeel \"%s\"", strings.ToUpper(named[1]), named[2], volumes[named[2]])
	w.put(".nr HY 0\n.nh\n.ad l\n.ss 12 0")
	if err := w.blocks(lines[1:], ".PP"); err != nil {
		return "", err
	}
	return w.String(), nil
}

// writer collects the lines of the man page.
type writer struct {
	strings.Builder
	inName bool // in the section NAME, which whatis(1) reads
}

func (w *writer) put(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// blocks writes what stands at one level of indentation. Each paragraph begins
// with the macro; the first one does not when the macro is "".
func (w *writer) blocks(lines []line, macro string) error {
	for len(lines) > 0 {
		if lines[0].blank() {
			lines = lines[1:]
			continue
		}
		n, write := kind(lines)
		if err := write(w, lines[:n], macro); err != nil {
			return err
		}
		lines, macro = lines[n:], ".PP"
	}
	return nil
}

type write func(w *writer, lines []line, macro string) error

// kind says what the first lines are, and how many of them.
func kind(lines []line) (int, write) {
	first := lines[0].text
	switch {
	case strings.HasPrefix(first, "```"):
		return fence(lines), (*writer).code
	case strings.HasPrefix(first, "#"):
		return 1, (*writer).heading
	case strings.HasPrefix(first, "|"):
		return while(lines, func(l line) bool { return strings.HasPrefix(l.text, "|") }), (*writer).table
	case item.MatchString(first):
		return 1 + body(lines[1:], len(item.FindString(first))), (*writer).item
	case len(lines) > 1 && strings.HasPrefix(lines[1].text, ": "):
		return 2 + body(lines[2:], 2), (*writer).definition
	}
	return while(lines, func(l line) bool {
		return !l.blank() && !strings.HasPrefix(l.text, "```") && !strings.HasPrefix(l.text, "|")
	}), (*writer).paragraph
}

func while(lines []line, holds func(line) bool) int {
	for i, l := range lines {
		if !holds(l) {
			return i
		}
	}
	return len(lines)
}

// fence counts the lines of a code block, its fences included.
func fence(lines []line) int {
	for i, l := range lines[1:] {
		if l.text == "```" {
			return i + 2
		}
	}
	return len(lines)
}

// body counts the lines that are indented enough to belong to an item, with the
// blank ones between them.
func body(lines []line, indent int) int {
	n := 0
	for i, l := range lines {
		switch {
		case l.blank():
		case strings.HasPrefix(l.text, strings.Repeat(" ", indent)):
			n = i + 1
		default:
			return n
		}
	}
	return n
}

// dedented takes the indentation off the lines of an item; the first one begins
// behind the item's mark.
func dedented(lines []line, indent int) []line {
	var inner []line
	for _, l := range lines {
		inner = append(inner, line{l.number, l.text[min(indent, len(l.text)):]})
	}
	return inner
}

func (w *writer) heading(lines []line, _ string) error {
	parts := heading.FindStringSubmatch(lines[0].text)
	if parts == nil || len(parts[1]) < 2 || len(parts[1]) > 3 {
		return lines[0].fault("a heading is ## or ###")
	}
	text, err := inline(lines[:1], parts[2])
	if err != nil {
		return err
	}
	w.inName = parts[2] == "NAME"
	w.put("%s %s", map[int]string{2: ".SH", 3: ".SS"}[len(parts[1])], text)
	return nil
}

func (w *writer) paragraph(lines []line, macro string) error {
	var texts []string
	for _, l := range lines {
		texts = append(texts, strings.TrimSpace(l.text))
		if strings.HasPrefix(l.text, " ") {
			return l.fault("it is indented and belongs to nothing")
		}
		if strings.HasPrefix(l.text, ": ") {
			return l.fault("what it defines must be one line above it")
		}
	}
	text, err := inline(lines, strings.Join(texts, "\n"))
	if err != nil {
		return err
	}
	if w.inName {
		text = strings.Replace(text, " - ", ` \- `, 1)
	}
	if macro != "" {
		w.put("%s", macro)
	}
	w.put("%s", text)
	return nil
}

// widest is how long a line of a code block may be: what a terminal of 80
// columns leaves of a line that is indented once.
const widest = 73

func (w *writer) code(lines []line, _ string) error {
	if len(lines) < 3 || lines[len(lines)-1].text != "```" {
		return lines[0].fault("the block has no end")
	}
	w.put(".PP\n.EX")
	for _, l := range lines[1 : len(lines)-1] {
		if len(l.text) > widest {
			return l.fault("it has %d columns, and %d fit on a terminal", len(l.text), widest)
		}
		w.put("%s", protected(escaped(l.text, true)))
	}
	w.put(".EE")
	return nil
}

func (w *writer) item(lines []line, _ string) error {
	mark := item.FindString(lines[0].text)
	sign, indent := `\(bu`, 2
	if mark[0] != '-' {
		sign, indent = strings.TrimSpace(mark), 4
	}
	w.put(".IP %s %d", sign, indent)
	return w.inside(dedented(lines, len(mark)), indent)
}

func (w *writer) definition(lines []line, _ string) error {
	term, err := inline(lines[:1], lines[0].text)
	if err != nil {
		return err
	}
	w.put(".TP\n%s", term)
	return w.inside(dedented(lines[1:], 2), 7)
}

// inside writes what an item holds: its first paragraph goes on beside the
// mark, all else is moved to the right with it.
func (w *writer) inside(lines []line, indent int) error {
	n, write := kind(lines)
	if err := write(w, lines[:n], ""); err != nil {
		return err
	}
	if body(lines[n:], 0) == 0 {
		return nil
	}
	w.put(".RS %d", indent)
	if err := w.blocks(lines[n:], ".PP"); err != nil {
		return err
	}
	w.put(".RE")
	return nil
}
