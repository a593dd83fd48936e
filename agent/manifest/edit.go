package manifest

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

// RoleAdditions is what a role.yaml shall say besides what it says already.
type RoleAdditions struct {
	Files       map[string]Attributes
	Directories map[string]Attributes
	Links       map[string]string // path -> what the link says
	Services    map[string]bool   // unit -> whether it is enabled
}

// Attributes are mode and owner of a path. What a file has without an entry in
// role.yaml is written down only where the entry is there and says otherwise.
type Attributes struct {
	Mode, DefaultMode uint32
	Owner, Group      string
}

// EditRole adds to the text of a role.yaml, which may be empty, by putting lines
// and words in: comments, order and blank lines of the rest stay as they are.
// Where the file says something else already that is a problem, unless force is
// set; then it is replaced. The file name is for the problems.
func EditRole(file string, text []byte, add RoleAdditions, force bool) ([]byte, error) {
	c := &collector{}
	if d := parse(file, text, c); d.root != nil {
		d.fields(d.root, "role.yaml", roleKeys())
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	e := &roleEditor{file: file, text: text, force: force, c: c}
	e.want = e.values()
	for _, p := range slices.Sorted(maps.Keys(add.Files)) {
		e.entry("files", p, add.Files[p].words())
	}
	for _, p := range slices.Sorted(maps.Keys(add.Directories)) {
		e.entry("directories", p, add.Directories[p].words())
	}
	for _, p := range slices.Sorted(maps.Keys(add.Links)) {
		e.link(p, add.Links[p])
	}
	for _, name := range slices.Sorted(maps.Keys(add.Services)) {
		enabled := strconv.FormatBool(add.Services[name])
		e.entry("services", name, []word{{key: "enabled", value: enabled, is: add.Services[name], usual: add.Services[name]}})
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	if got := e.values(); !reflect.DeepEqual(got, e.want) {
		return nil, Problems{{File: file, Message: "this file is written in a way that cannot be added to without changing something else", Hint: "write it with one key a line, as the examples are"}}
	}
	return e.text, nil
}

// word is one key of an entry with its value, as text and as YAML reads it.
type word struct {
	key, value string
	is         any
	usual      bool // it is so without being said
}

func (a Attributes) words() []word {
	mode := fmt.Sprintf("%04o", a.Mode)
	return []word{
		{"mode", strconv.Quote(mode), mode, a.Mode == a.DefaultMode},
		{"owner", scalar(a.Owner), a.Owner, a.Owner == "root"},
		{"group", scalar(a.Group), a.Group, a.Group == "root"},
	}
}

// roleEditor changes the text of a file step by step; after each it is parsed anew,
// so that every step knows where things are.
type roleEditor struct {
	file  string
	text  []byte
	want  map[string]any // what the file shall say in the end
	force bool
	c     *collector
}

// values is what the file says, without its form.
func (e *roleEditor) values() map[string]any {
	var all map[string]any
	if yaml.Unmarshal(e.text, &all) != nil || all == nil {
		all = map[string]any{}
	}
	return all
}

// root is the mapping of the whole file, nil when it is empty.
func (e *roleEditor) root() *yaml.Node {
	var doc yaml.Node
	if yaml.Unmarshal(e.text, &doc) != nil || len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil
	}
	return doc.Content[0]
}

// find gives key and value in a mapping.
func find(m *yaml.Node, key string) (k, v *yaml.Node) {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i], m.Content[i+1]
		}
	}
	return nil, nil
}

// wanted is the mapping of a section in what the file shall say.
func (e *roleEditor) wanted(section string) map[string]any {
	m, _ := e.want[section].(map[string]any)
	if m == nil {
		m = map[string]any{}
		e.want[section] = m
	}
	return m
}

// entry adds an entry of a section, or to one.
func (e *roleEditor) entry(section, name string, words []word) {
	_, s := find(e.root(), section)
	k, v := find(s, name)
	if k != nil && !isNull(v) {
		for _, w := range words {
			e.word(section, name, w)
		}
		return
	}
	said := map[string]any{}
	var parts []string
	for _, w := range words {
		if !w.usual {
			parts = append(parts, w.key+": "+w.value)
			said[w.key] = w.is
		}
	}
	switch {
	case k != nil && len(parts) == 0: // "/etc/motd:" says all that is to be said
	case k != nil:
		e.fill(k, v, "{"+strings.Join(parts, ", ")+"}")
		e.wanted(section)[name] = said
	case len(parts) > 0 || section != "files":
		e.pair(section, name, "{"+strings.Join(parts, ", ")+"}")
		e.wanted(section)[name] = said
	}
}

// word adds one key to an entry that is there, or finds out that it says the
// same already.
func (e *roleEditor) word(section, name string, w word) {
	_, s := find(e.root(), section)
	entryKey, entry := find(s, name)
	if entryKey == nil {
		return // the word before it broke the file; the check at the end will say so
	}
	k, v := find(entry, w.key)
	said, _ := e.wanted(section)[name].(map[string]any)
	switch {
	case entry.Kind != yaml.MappingNode || said == nil:
		e.c.at(plan.Place{File: e.file, Line: entryKey.Line}, "write it as a mapping", "%q cannot be added to", name)
	case k == nil && w.usual:
	case k == nil:
		e.insert(entry, w.key, w.value)
		said[w.key] = w.is
	case same(v.Value, w):
	case !e.force:
		e.c.at(plan.Place{File: e.file, Line: k.Line}, "", "it says %s: %s for %q, and on this host it is %v", w.key, v.Value, name, w.is)
	default:
		e.replace(v, w.value)
		said[w.key] = w.is
	}
}

func same(value string, w word) bool {
	if w.key == "mode" {
		return strings.TrimPrefix(value, "0") == strings.TrimPrefix(fmt.Sprint(w.is), "0")
	}
	return value == fmt.Sprint(w.is)
}

// link adds an entry of links:.
func (e *roleEditor) link(p, says string) {
	_, s := find(e.root(), "links")
	k, v := find(s, p)
	switch {
	case k == nil:
		e.pair("links", p, scalar(says))
	case v.Value == says:
		return
	case !e.force:
		e.c.at(plan.Place{File: e.file, Line: k.Line}, "", "it says that the link %q leads to %q, and on this host it leads to %q", p, v.Value, says)
		return
	default:
		e.replace(v, scalar(says))
	}
	e.wanted("links")[p] = says
}

// pair adds an entry to a section, which may have to be made.
func (e *roleEditor) pair(section, name, value string) {
	root := e.root()
	k, v := find(root, section)
	switch {
	case root == nil:
		e.splice(len(e.text), newline(e.text)+section+":\n  "+scalar(name)+": "+value+"\n")
	case k == nil && root.Style&yaml.FlowStyle != 0:
		e.insert(root, section, "{"+scalar(name)+": "+value+"}")
	case k == nil:
		e.insert(root, section, "\n"+strings.Repeat(" ", root.Column+1)+scalar(name)+": "+value)
	case isNull(v):
		if v.Value == "" {
			e.lineAfter(e.commentsBelow(k), k.Column+1, scalar(name)+": "+value)
			return
		}
		e.fill(k, v, "{"+scalar(name)+": "+value+"}")
	default:
		e.insert(v, name, value)
	}
}

// insert adds a key to a mapping.
func (e *roleEditor) insert(m *yaml.Node, key, value string) {
	if m.Style&yaml.FlowStyle != 0 {
		text := scalar(key) + ": " + value
		if len(m.Content) > 0 {
			text += ", "
		}
		e.splice(e.offset(m.Line, m.Column)+1, text)
		return
	}
	e.lineAfter(e.lastLine(m), m.Column-1, scalar(key)+":"+blank(value)+value)
}

// fill gives a key without a value one.
func (e *roleEditor) fill(k, v *yaml.Node, value string) {
	if v.Value != "" { // "null" or "~"
		e.replace(v, value)
		return
	}
	at := e.offset(k.Line, k.Column)
	colon := bytes.IndexByte(e.text[at:], ':')
	if colon < 0 || bytes.Contains(e.text[at:at+colon], []byte("\n")) {
		return // the check at the end will say so
	}
	e.splice(at+colon+1, " "+value)
}

// replace puts another scalar in the place of one.
func (e *roleEditor) replace(v *yaml.Node, value string) {
	at := e.offset(v.Line, v.Column)
	e.text = slices.Concat(e.text[:at], []byte(value), e.text[at+scalarLength(e.text[at:], v):])
}

// scalarLength is how long a scalar is as it is written.
func scalarLength(text []byte, v *yaml.Node) int {
	var quote byte
	switch {
	case v.Style&yaml.DoubleQuotedStyle != 0:
		quote = '"'
	case v.Style&yaml.SingleQuotedStyle != 0:
		quote = '\''
	default:
		return len(v.Value)
	}
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] == quote && quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		case text[i] == quote:
			return i + 1
		}
	}
	return len(text)
}

// lastLine is the last line of a block mapping: that before the next node, without
// the comments and blank lines that belong to what follows.
func (e *roleEditor) lastLine(m *yaml.Node) int {
	lines := bytes.Split(e.text, []byte("\n"))
	last := len(lines)
	if next := nextLine(e.root(), m); next > 0 {
		last = next - 1
	}
	for ; last > m.Line; last-- {
		line := lines[last-1]
		indent := len(line) - len(bytes.TrimLeft(line, " "))
		word := bytes.TrimSpace(line)
		if len(word) > 0 && string(word) != "..." && (word[0] != '#' || indent >= m.Column-1 && indent > 0) {
			break
		}
	}
	return last
}

// commentsBelow is the last line of the comments in a section that holds nothing
// else.
func (e *roleEditor) commentsBelow(k *yaml.Node) int {
	last := k.Line
	lines := bytes.Split(e.text, []byte("\n"))
	for i := k.Line; i < len(lines); i++ {
		word := bytes.TrimSpace(lines[i])
		indent := len(lines[i]) - len(bytes.TrimLeft(lines[i], " "))
		if len(word) > 0 && (word[0] != '#' || indent < k.Column) {
			break
		}
		if len(word) > 0 {
			last = i + 1
		}
	}
	return last
}

// nextLine is the line of the first node after a mapping and all that is in it, 0
// when none comes.
func nextLine(root, m *yaml.Node) int {
	line, done := 0, false
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if done && line == 0 {
			line = n.Line
		}
		for _, child := range n.Content {
			walk(child)
		}
		done = done || n.Kind == m.Kind && n.Line == m.Line && n.Column == m.Column
	}
	walk(root)
	return line
}

// lineAfter puts in a line of its own.
func (e *roleEditor) lineAfter(line, indent int, text string) {
	at := e.offset(line+1, 1)
	before := ""
	if at > 0 && e.text[at-1] != '\n' {
		before = "\n"
	}
	e.splice(at, before+strings.Repeat(" ", indent)+text+"\n")
}

func (e *roleEditor) splice(at int, text string) {
	e.text = slices.Concat(e.text[:at], []byte(text), e.text[at:])
}

// offset is where a line and column of the parser are in the text; the parser
// counts characters.
func (e *roleEditor) offset(line, column int) int {
	at := 0
	for ; line > 1; line-- {
		end := bytes.IndexByte(e.text[at:], '\n')
		if end < 0 {
			return len(e.text)
		}
		at += end + 1
	}
	for ; column > 1 && at < len(e.text); column-- {
		_, size := utf8.DecodeRune(e.text[at:])
		at += size
	}
	return at
}

// blank stands between a colon and a value that does not begin a line.
func blank(value string) string {
	if strings.HasPrefix(value, "\n") {
		return ""
	}
	return " "
}

func newline(text []byte) string {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return "\n"
	}
	return ""
}

// plainScalar is what YAML 1.1 and 1.2 both read as the same text without quotes,
// also inside of {}.
var plainScalar = regexp.MustCompile(`^(/|\.\.?/)?[A-Za-z_][A-Za-z0-9_./@+-]*$`)

// scalar writes a text for YAML.
func scalar(text string) string {
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return strconv.Quote(text)
	}
	if plainScalar.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}
