package main

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// formats are how check can answer.
func formats() []string { return []string{"text", "json", "github"} }

// report is the answer of check.
type report struct {
	Hosts    []string          `json:"hosts"`          // without problems, examples for patterns included
	Problems manifest.Problems `json:"problems"`       //
	Warnings []plan.Warning    `json:"warnings"`       //
	Units    bool              `json:"units_verified"` // by systemd-analyze
	Note     string            `json:"note,omitempty"` // why not all units were verified
	Sealed   []plan.Place      `json:"sealed"`         // secrets that could not be opened here

	Changes *changes `json:"changes,omitempty"` // with --diff

	one   *plan.Target // what the last one gets
	taken int
}

// take notes what a host without problems gets.
func (r *report) take(host string, t *plan.Target) {
	r.one, r.taken = t, r.taken+1
	if !slices.Contains(r.Hosts, host) {
		r.Hosts = append(r.Hosts, host)
	}
	r.Warnings = append(r.Warnings, t.Warnings...)
	r.Sealed = append(r.Sealed, t.Sealed...)
}

// sort puts everything in order, each once, also when it holds for many hosts.
func (r *report) sort() {
	if r.Problems == nil {
		r.Problems = manifest.Problems{} // a script reads [], not null
	}
	slices.Sort(r.Hosts)
	slices.SortFunc(r.Warnings, func(a, b plan.Warning) int { return strings.Compare(a.String(), b.String()) })
	r.Warnings = slices.Compact(r.Warnings)
	slices.SortFunc(r.Sealed, func(a, b plan.Place) int { return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	r.Sealed = slices.Compact(r.Sealed)
}

// tell prints the report. Its error carries the exit code only.
func (r *report) tell(u ui, format, dir string) error {
	switch format {
	case "json":
		if err := u.json(r); err != nil {
			return failed(err, "")
		}
	case "github":
		r.annotate(u, dir)
		r.plain(u)
	default:
		if r.Changes != nil {
			u.text(r.Changes.markdown(r.Problems, r.newWarnings()))
			break
		}
		r.plain(u)
	}
	if len(r.Problems) > 0 || r.Changes != nil && len(r.Changes.Refused) > 0 {
		return &exit{code: exitFound}
	}
	return nil
}

// newWarnings are those that the commit it is compared with does not have.
func (r *report) newWarnings() []plan.Warning {
	return slices.DeleteFunc(slices.Clone(r.Warnings), func(w plan.Warning) bool { return r.Changes.warned[w.Message] })
}

// notes say what was not looked at, and why that is no problem.
func (r *report) notes() []string {
	return slices.DeleteFunc([]string{r.Note, sealedNote(r.Sealed)}, func(note string) bool { return note == "" })
}

func (r *report) plain(u ui) {
	for _, p := range r.Problems {
		u.say("%s", p)
	}
	for _, w := range r.Warnings {
		u.warn("%s", w)
	}
	for _, note := range r.notes() {
		u.note("%s", note)
	}
	switch {
	case len(r.Problems) > 0:
	case r.taken == 1:
		u.say("no problems: %s gets %s and %s from %s", r.Hosts[0], count(len(r.one.State.Paths), "path"),
			count(len(r.one.Services), "service"), count(len(r.one.Roles), "role"))
	default:
		u.say("no problems in %s", count(len(r.Hosts), "host"))
	}
}

// annotate prints the commands by which GitHub puts each problem beside its
// line of a pull request. It shows ten of them, so the plain lines follow.
func (r *report) annotate(u ui, dir string) {
	at := inWorkspace(dir)
	for _, p := range r.Problems {
		text := p.Message
		if p.Hint != "" {
			text += "\n" + p.Hint
		}
		u.say("%s", annotation("error", path.Join(at, p.File), p.File == "", p.Line, p.Col, text))
	}
	for _, w := range r.Warnings {
		u.say("%s", annotation("warning", path.Join(at, w.File), w.File == "", w.Line, 0, w.Message))
	}
	for _, note := range r.notes() {
		u.say("%s", annotation("notice", "", true, 0, 0, note))
	}
}

func annotation(kind, file string, nowhere bool, line, col int, text string) string {
	properties := []string{"title=evenkeel"}
	if !nowhere {
		properties = append(properties, "file="+escapeProperty(file))
	}
	if line > 0 {
		properties = append(properties, fmt.Sprintf("line=%d", line))
	}
	if col > 0 {
		properties = append(properties, fmt.Sprintf("col=%d", col))
	}
	return fmt.Sprintf("::%s %s::%s", kind, strings.Join(properties, ","), escapeData(text))
}

// escapeData and escapeProperty write what a workflow command must not hold.
func escapeData(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func escapeProperty(text string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(escapeData(text))
}

// inWorkspace is the directory of the repository as seen from the top of what
// was checked out, which is where the files of an annotation begin.
func inWorkspace(dir string) string {
	top := os.Getenv("GITHUB_WORKSPACE")
	if top == "" {
		top = "."
	}
	from, err := filepath.Abs(top)
	to, errTo := filepath.Abs(dir)
	if err != nil || errTo != nil {
		return dir
	}
	rel, err := filepath.Rel(from, to)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return dir
	}
	return rel
}
