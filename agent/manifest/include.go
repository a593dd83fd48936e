package manifest

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"evenkeel/agent/plan"
)

// partialsDir holds the partials of a role: templates/NAME.tmpl is NAME.
func partialsDir(role string) string { return path.Join(roleDir(role), "templates") }

func (r *renderer) partialFile(name string) string {
	return path.Join(partialsDir(r.role), name) + templateSuffix
}

// readPartials parses the role's partials.
func (r *renderer) readPartials(from *repo) {
	dir := partialsDir(r.role)
	for _, s := range from.walk(dir) {
		name, ok := strings.CutSuffix(strings.TrimPrefix(s.file, dir+"/"), templateSuffix)
		if !ok {
			from.c.add(Problem{
				File: s.file, Message: "nothing reads this: partials are named NAME" + templateSuffix,
				Hint: fmt.Sprintf("rename it to %s%s, and include it as %q", path.Base(s.file), templateSuffix, name),
			})
			continue
		}
		r.partials[name] = from.template(s.file, r)
	}
}

// includeError is a fault inside a partial.
type includeError struct {
	problem Problem
	by      int // how many of those that include it the hint names
}

// maxBy is how many are named. Of those that include each other in turn, the
// message itself names all.
const maxBy = 3

func (e *includeError) Error() string { return e.problem.String() }

// from adds the place that includes the partial.
func (e *includeError) from(place plan.Place) {
	if e.by++; e.by > maxBy {
		return
	}
	by := "included by " + spot(place)
	if e.problem.Hint != "" {
		by = e.problem.Hint + "; " + by
	}
	e.problem.Hint = by
}

// include gives the output of a partial of the role, run with the dot that is
// handed over, as text that further functions may take. A file ends with a new
// line; the place that includes it has its own.
func (r *renderer) include(name string, dot any) (string, error) {
	t, known := r.partials[name]
	switch {
	case !known:
		return "", &callError{fault: fmt.Sprintf("there is no partial %q", name), hint: r.partialHint(name)}
	case t == nil:
		return "", fault("the partial %q cannot be used: see %s", name, r.partialFile(name))
	case len(r.calls) > maxCalls:
		return "", tooDeep(append(r.calls, name))
	}
	r.included[name] = true
	r.calls = append(r.calls, name)
	out := &bounded{left: r.fileMax}
	if err := r.execute(t, out, dot); err != nil {
		var inside *includeError
		if errors.As(err, &inside) {
			inside.from(plan.Place{File: t.file, Line: lineOf(err)})
			return "", inside
		}
		return "", &includeError{problem: *r.execProblem(t, err, dot, r.fileMax), by: namesAll(err)}
	}
	r.calls = r.calls[:len(r.calls)-1]
	r.meter.charge(int64(out.b.Len()))
	return strings.TrimSuffix(out.b.String(), "\n"), nil
}

// namesAll is maxBy for a fault that names the whole chain itself.
func namesAll(err error) int {
	var call *callError
	if errors.As(err, &call) && call.deep {
		return maxBy
	}
	return 0
}

func (r *renderer) partialHint(name string) string {
	known := mapKeysOf(r.partials)
	if plain, ok := strings.CutSuffix(name, templateSuffix); ok && contains(known, plain) {
		return fmt.Sprintf("leave the %s away: include %q", templateSuffix, plain)
	}
	if hint := didYouMean(name, known); hint != "" {
		return hint
	}
	return "it would stand in " + r.partialFile(name)
}
