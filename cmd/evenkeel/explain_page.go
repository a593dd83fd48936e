package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"evenkeel/agent/manifest"
)

// page is the explanation for people: what it is, where it comes from, and what
// follows from it.
func (a answer) page() string {
	p := &explanation{answer: a}
	switch {
	case a.Path != nil:
		p.path(*a.Path)
	case a.Unit != nil:
		p.unit(*a.Unit)
	default:
		p.title("values")
		p.values("", a.Vars)
		p.users(a.Vars)
	}
	if len(a.Also) > 0 {
		fmt.Fprintf(&p.b, "\nalso on %s\n", bounded(a.Also, maxListed))
	}
	return trimLines(p.b.String())
}

// explanation is a page that is written from the top.
type explanation struct {
	answer
	b strings.Builder
}

func (p *explanation) title(what string) {
	on := p.Host
	if p.Tried != "" {
		on += ", if it has " + p.Tried
	}
	fmt.Fprintf(&p.b, "%s on %s\n", what, on)
}

// section writes a table under a heading, nothing when it has no rows. A row
// whose last cell is empty has no such row.
func (p *explanation) section(head string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	if head != "" {
		head += ":"
	}
	fmt.Fprintf(&p.b, "\n%s", strings.TrimLeft(head+"\n", "\n"))
	table := tabwriter.NewWriter(&p.b, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(table, "  %s\n", strings.Join(row, "\t"))
	}
	table.Flush()
}

// said leaves out the rows that have nothing to say.
func said(rows ...[]string) [][]string {
	return slices.DeleteFunc(rows, func(row []string) bool { return row[len(row)-1] == "" })
}

func (p *explanation) path(r manifest.PathReason) {
	p.title(r.Path + ", " + r.What + ",")
	attributes := ""
	if r.Attributes != nil {
		attributes = r.Attributes.String()
	}
	p.section("", said(
		[]string{"from", r.Place.String() + p.ofRole(r.Role)},
		[]string{"attributes", attributes},
		[]string{"includes", strings.Join(r.Partials, ", ")},
		[]string{"facts", strings.Join(r.Facts, ", ")},
		[]string{"validated by", strings.Join(r.Validate, " ")},
	))
	p.values("values", r.Vars)
	var rows [][]string
	for _, reader := range r.Readers {
		rows = append(rows, []string{reader.Unit, strings.Join(reader.Edges, ", "), reads(reader)})
	}
	p.section("read by", rows)
	p.effects("a change of it", r.OnChange, r.Reload)
	for _, note := range r.Notes {
		fmt.Fprintf(&p.b, "\n%s\n", note)
	}
}

func reads(r manifest.Reader) string {
	switch {
	case r.Later:
		return "at its next start"
	case r.Soft:
		return "a reload is enough"
	}
	return ""
}

func (p *explanation) unit(r manifest.UnitReason) {
	state := "only installed"
	switch {
	case r.Masked:
		state = "masked"
	case r.Stopped:
		state = "shall not run"
	case r.Listed:
		state = "shall run"
	}
	if r.Enabled {
		state += ", enabled"
	}
	p.title(r.Unit + ", " + state + ",")
	listed := ""
	if r.Place != nil {
		listed = r.Place.String() + p.ofRole(r.Role)
	}
	rows := said(
		[]string{"listed", listed},
		[]string{"after", strings.Join(r.After, ", ")},
		[]string{"restarts with", strings.Join(r.Binds, ", ")},
		[]string{"starts", strings.Join(r.Triggers, ", ")},
		[]string{"checks", strings.Join(r.Checks, ", ")},
		[]string{"enabled by", strings.Join(r.Links, ", ")},
	)
	p.section("", rows)
	var files [][]string
	for _, f := range r.Files {
		files = append(files, []string{f.Name, f.Place.String()})
	}
	p.section("files", files)
	if len(files) == 0 {
		fmt.Fprintf(&p.b, "\nIts unit file is not in the repository: what a package's unit reads is known on the host only.\n")
	}
	p.reads(r.Reads)
	p.effects("a change of its own files", r.OnChange, r.Reload)
}

// reads lists what a unit reads, the files of the repository behind each.
func (p *explanation) reads(all []manifest.ReadReason) {
	var rows [][]string
	for _, r := range all {
		how := r.Edge
		if r.Soft {
			how += ", a reload is enough"
		}
		var origins []string
		for _, path := range r.Managed {
			if at := p.origin(path); !slices.Contains(origins, at) {
				origins = append(origins, at)
			}
		}
		rows = append(rows, []string{r.Path, how, strings.Join(origins[:min(1, len(origins))], "")})
		for i := 1; i < len(origins); i++ { // a directory: one file a line
			rows = append(rows, []string{"", "", origins[i]})
		}
	}
	p.section("reads", rows)
}

// values lists what sets each value, the line that counts first.
func (p *explanation) values(head string, all []manifest.VarReason) {
	var rows [][]string
	for _, v := range all {
		for i, s := range slices.Backward(v.Settings) {
			name, word := v.Name, "set in"
			if i < len(v.Settings)-1 {
				name, word = "", "over"
			}
			rows = append(rows, []string{name, s.Text, word, s.Place.String(), "(" + s.Layer + ")"})
		}
	}
	p.section(head, rows)
}

// users lists the files into which values went.
func (p *explanation) users(all []manifest.VarReason) {
	var rows [][]string
	for _, v := range all {
		for _, path := range v.UsedBy {
			rows = append(rows, []string{v.Name, path, p.origin(path)})
		}
	}
	p.section("used by", rows)
}

func (p *explanation) effects(what string, effects []manifest.Effect, reload string) {
	var rows [][]string
	if reload != "" {
		rows = append(rows, []string{"daemon-reload"})
	}
	for _, e := range effects {
		rows = append(rows, []string{fmt.Sprintf("%s %s", e.Verb, e.Unit), strings.Join(e.Why, "; ")})
	}
	if len(rows) == 0 {
		fmt.Fprintf(&p.b, "\n%s restarts nothing\n", what)
	}
	p.section(what+" would", rows)
}

// ofRole names a role with the line that gives it to the host.
func (p *explanation) ofRole(role string) string {
	for _, r := range p.Roles {
		if r.Name == role {
			return fmt.Sprintf(" (role %s, from %s)", role, r.Place)
		}
	}
	return ""
}

// origin is where the repository has a path of the host.
func (p *explanation) origin(path string) string {
	if p.Target == nil {
		return ""
	}
	at, ok := p.Target.Origin[path]
	if !ok {
		return ""
	}
	return at.String()
}

// bounded joins words, and counts those that are too many.
func bounded(words []string, most int) string {
	if more := len(words) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), more)
	}
	return strings.Join(words, ", ")
}
