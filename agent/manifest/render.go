package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	syntax "text/template/parse"

	"evenkeel/agent/plan"
)

// What text/template says, taken apart. Its messages quote values, so only
// these known ones are passed on.
var (
	parseFault  = regexp.MustCompile(`(?s)^template: .*?:(\d+)(?::(\d+))?: (.*)$`)
	execFault   = regexp.MustCompile(`(?s)^template: .*?:(\d+):(\d+): executing ".*?" at <(.*?)>: (.*)$`)
	noKey       = regexp.MustCompile(`^map has no entry for key "(.*)"$`)
	noFunction  = regexp.MustCompile(`^function "(.*)" not defined$`)
	callFault   = regexp.MustCompile(`^error calling (\w+):`)
	typeFault   = regexp.MustCompile(`^(wrong type for value; expected \S+; got \S+|wrong number of args for \w+: want .*|can't give argument to non-function .*|can't evaluate field \w+ in type \S+)$`)
	fieldFault  = regexp.MustCompile(`^(?:can't evaluate field (\w+) in type|nil (?:data|pointer evaluating) )`)
	rangeFault  = regexp.MustCompile(`^range can't iterate over`)
	noValue     = []byte("<no value>")
	errTooLong  = errors.New("output is too long")
	columnShift = 1 // text/template counts columns from 0
)

// data is what a template sees.
type data struct {
	vars     map[string]any
	facts    map[string]any
	role     string
	sealed   map[string]any // the vars as they are in the repository; nil when there are no secrets
	withheld map[string]any // the vars without the secrets; nil when there are none
	standIns bool           // the secrets among the vars are none
}

func (d data) values() map[string]any {
	return map[string]any{"vars": d.vars, "facts": d.facts, "role": d.role}
}

// renderer runs the templates of one role, for one host after the other.
type renderer struct {
	role     string
	data     data           // of the host
	values   map[string]any // what the templates see of it
	fileMax  int64          // bytes of what one partial may give
	known    map[string]any // what a template may call
	own      map[string]any // what instrument puts into the trees
	meter    *meter
	partials map[string]*parsed // by name; nil for one that cannot be used
	running  []*parsed          // files that are running, the outermost first
	calls    []string           // the names of all templates that are running
	included map[string]bool    // the partials that the last template included
}

// renderer parses the partials of a role, so that a fault in one shows also when
// nothing includes it.
func (r *repo) renderer(role string) *renderer {
	return once(r, "renderer "+role, func() *renderer { return newRenderer(r, role) })
}

func newRenderer(r *repo, role string) *renderer {
	m := &meter{}
	rr := &renderer{role: role, meter: m, fileMax: r.opts.Limits.FileBytes, partials: map[string]*parsed{}}
	rr.known = map[string]any{"include": rr.include}
	maps.Copy(rr.known, plainBuiltins())
	maps.Copy(rr.known, builtins(m))
	maps.Copy(rr.known, functions(m))
	rr.own = map[string]any{atName: rr.at, outName: rr.out, enterName: rr.enter, leaveName: rr.leave}
	rr.readPartials(r)
	return rr
}

// forHost makes the renderer ready for the values of a host; work is what its
// templates may still do.
func (r *renderer) forHost(d data, work *int64) *renderer {
	r.data, r.values, r.meter.host = d, d.values(), work
	return r
}

// template parses one file of a role; nil when that cannot be done.
func (r *repo) template(file string, of *renderer) *parsed {
	text, ok := r.read(file)
	if !ok {
		return nil
	}
	t, problem := of.parse(file, text)
	if problem != nil {
		r.c.add(*problem)
	}
	return t
}

// render runs one template. What is wrong with it is a Problem without quoting
// any value: values may be secrets.
func (r *renderer) render(t *parsed, limit int64) ([]byte, *Problem) {
	r.meter.begin()
	r.running, r.calls, r.included = nil, []string{path.Base(t.file)}, map[string]bool{}
	clear(t.seen)
	for _, partial := range r.partials {
		if partial != nil {
			clear(partial.seen)
		}
	}
	out := &bounded{left: limit}
	if err := r.execute(t, out, r.values); err != nil {
		return nil, r.execProblem(t, err, r.values, limit)
	}
	if bytes.Contains(out.b.Bytes(), noValue) {
		return nil, &Problem{File: t.file, Message: "the output has <no value> in it, which templates print for a null", Hint: "it stands in the template, or in a value, as text"}
	}
	return out.b.Bytes(), nil
}

// parsed is a template that can be run.
type parsed struct {
	*template.Template
	file string
	text string

	ids    map[*syntax.ListNode]int
	cost   []int64            // by list: the work of going through it once
	seen   []bool             // by list: whether it was gone through
	prints []*syntax.PipeNode // those that print, with out at their end
}

// block finds the words that open and end a block.
var block = regexp.MustCompile(`\{\{-?\s*(if|range|with|block|define|end)\b`)

func (r *renderer) parse(file string, text []byte) (*parsed, *Problem) {
	p := &parsed{file: file, text: string(text), ids: map[*syntax.ListNode]int{}}
	depth := 0
	for _, m := range block.FindAllStringSubmatchIndex(p.text, -1) {
		if p.text[m[2]:m[3]] == "end" {
			depth--
		} else if depth++; depth > maxBlocks {
			line := 1 + strings.Count(p.text[:m[0]], "\n")
			return nil, &Problem{File: file, Line: line, Message: fmt.Sprintf("blocks are nested more than %d deep", maxBlocks)}
		}
	}
	trees, err := syntax.Parse(mainName, p.text, "", "", r.known)
	if err != nil {
		return nil, r.parseProblem(file, err)
	}
	called := p.instrument(trees)
	// Only the functions that are called: the whole list costs more than the rest.
	callable := template.FuncMap{}
	for name := range called {
		if own, ok := r.own[name]; ok {
			callable[name] = own
		} else if known := r.known[name]; known != isBuiltin {
			callable[name] = known
		}
	}
	p.Template = template.New(mainName).Option("missingkey=error").Funcs(callable)
	for _, name := range mapKeysOf(trees) {
		if _, err := p.AddParseTree(name, trees[name]); err != nil {
			return nil, r.parseProblem(file, err)
		}
	}
	return p, nil
}

// mainName is what the text of a file is called among the templates that it
// defines.
const mainName = "t"

// execute is t.Execute for templates that may come from anybody: text/template
// turns panics of functions into errors, and this does it for its own.
func (r *renderer) execute(t *parsed, out io.Writer, dot any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the template cannot be run")
		}
	}()
	depth := len(r.running)
	r.running = append(r.running, t)
	err = t.Execute(out, dot)
	r.running = r.running[:depth]
	return err
}

// bounded collects output up to a limit.
type bounded struct {
	b    bytes.Buffer
	left int64
}

func (w *bounded) Write(p []byte) (int, error) {
	if int64(len(p)) > w.left {
		return 0, errTooLong
	}
	w.left -= int64(len(p))
	return w.b.Write(p)
}

func (r *renderer) parseProblem(file string, err error) *Problem {
	p := &Problem{File: file, Message: "not a valid template"}
	m := parseFault.FindStringSubmatch(err.Error())
	if m == nil {
		return p
	}
	p.Line = number(m[1])
	p.Message = "not a valid template: " + m[3]
	if f := noFunction.FindStringSubmatch(m[3]); f != nil {
		p.Message = fmt.Sprintf("there is no function %q", f[1])
		p.Hint = functionHint(f[1], mapKeysOf(r.known))
	} else if strings.Contains(m[3], "unexpected \".\"") || strings.Contains(m[3], "bad character") || strings.Contains(m[3], "unexpected \"{\"") {
		p.Hint = `to print {{ itself write {{ "{{" }}`
	}
	return p
}

// functionHint explains why a well-known function is not there, or guesses.
func functionHint(name string, known []string) string {
	barred := []string{
		"env", "expandenv", "now", "date", "ago", "randAlpha", "randAlphaNum", "randNumeric", "randAscii", "randInt", "randBytes",
		"uuidv4", "genPrivateKey", "genCA", "genSelfSignedCert", "genSignedCert", "htpasswd", "bcrypt", "getHostByName",
		"lookup", "file", "readFile", "tpl", "shuffle", "derivePassword", "encryptAES",
	}
	if contains(barred, name) {
		return "a render must give the same bytes each time and sees only vars and facts"
	}
	return didYouMean(name, known)
}

// execProblem says why a template failed. dot is what it was run with.
func (r *renderer) execProblem(t *parsed, err error, dot any, limit int64) *Problem {
	p := &Problem{File: t.file, Message: "the template cannot be run"}
	m := execFault.FindStringSubmatch(err.Error())
	if m != nil {
		p.Line, p.Col = number(m[1]), number(m[2])+columnShift
	}
	var inside *includeError
	if errors.As(err, &inside) {
		inside.from(plan.Place{File: t.file, Line: p.Line})
		return &inside.problem
	}
	if errors.Is(err, errTooLong) {
		p.Message = fmt.Sprintf("the output is longer than %d bytes", limit)
		return p
	}
	if m == nil {
		return p
	}
	expression, fault := m[3], m[4]
	var call *callError
	switch {
	case noKey.MatchString(fault):
		r.missingKey(p, t, expression, noKey.FindStringSubmatch(fault)[1], dot)
	case errors.As(err, &call):
		p.Message, p.Hint, p.doubt = call.say(t.text), call.hint, cmp.Or(call.doubt, doubtCall)
	case callFault.MatchString(fault):
		p.Message = fmt.Sprintf("%s cannot be used on this value", callFault.FindStringSubmatch(fault)[1])
		p.doubt = doubtCall
	case rangeFault.MatchString(fault):
		p.Message = fmt.Sprintf("range cannot go over <%s>: it is neither a list nor a mapping", expression)
	case fieldFault.MatchString(fault):
		p.Message = fmt.Sprintf("<%s> asks for a key of something that is not a mapping", expression)
		p.doubt = doubtValue
	case typeFault.MatchString(fault):
		p.Message = fmt.Sprintf("<%s>: %s", expression, fault)
	default:
		p.Message = fmt.Sprintf("<%s> cannot be evaluated", expression)
	}
	return p
}

// lineOf gives the line that an error of text/template names.
func lineOf(err error) int {
	if m := execFault.FindStringSubmatch(err.Error()); m != nil {
		return number(m[1])
	}
	return 0
}

// missingKey says which key is not there and which one may have been meant. The
// keys of values are names that people gave, no secrets.
func (r *renderer) missingKey(p *Problem, t *parsed, expression, key string, dot any) {
	p.doubt = doubtValue
	from, keys, known := r.askedOf(t, p.Line, p.Col, expression)
	at := slices.Index(keys, key)
	p.Col += columnOf(expression, keys, at, t.text, p.Line, p.Col)
	above := append(slices.Clip(from), keys[:max(at, 0)]...)
	siblings := keysAt(dot, above)
	switch {
	case !known:
		p.Message = fmt.Sprintf("there is no %q in <%s>", key, expression)
	case slices.Contains(above, element):
		p.Message = fmt.Sprintf("an element of .%s has no %q", strings.Join(above[:slices.Index(above, element)], "."), key)
	case len(from) > 0:
		p.Message = fmt.Sprintf("there is no %q in .%s", key, strings.Join(above, "."))
	default:
		p.Message = "there is no ." + strings.Join(append(above, key), ".")
	}
	p.Hint = didYouMean(key, siblings)
	if vars, ok := r.values["vars"].(map[string]any); ok && len(above) == 0 && vars[key] != nil {
		p.Hint = fmt.Sprintf("values are below .vars: .vars.%s", key)
	}
	if p.Hint != "" {
		return
	}
	if known && len(above) == 0 && slices.Equal(siblings, mapKeys(r.values)) {
		p.Hint = "a template sees .vars, .facts and .role"
		return
	}
	holder := "." + strings.Join(above, ".")
	if !known || slices.Contains(above, element) || len(above) == 0 {
		holder = "MAPPING"
	}
	p.Hint = fmt.Sprintf(`a value that may be missing is read with: get %s %q | default "..."`, holder, key)
}

// askedOf finds the node that failed, and gives the keys that lead to the value
// of which it asks for keys. Positions are those that text/template names.
func (r *renderer) askedOf(t *parsed, line, col int, expression string) (from, keys []string, known bool) {
	tr := newTracer(r.partials)
	tr.all = true
	tr.field = func(n syntax.Node, at ref) {
		if known || n.String() != expression || lineColumn(t.text, n.Position()) != [2]int{line, col} {
			return
		}
		from, known = at.path, at.known
	}
	tr.template(t, t.Name(), ref{known: true})
	for _, defined := range t.Templates() {
		tr.template(t, defined.Name(), ref{})
	}
	chain := expression[strings.LastIndexByte(expression, ')')+1:] // (get .vars "a").b.c
	return from, strings.Split(chain, ".")[1:], known
}

// lineColumn turns an offset into line and column, from 1.
func lineColumn(text string, at syntax.Pos) [2]int {
	before := text[:min(int(at), len(text))]
	return [2]int{1 + strings.Count(before, "\n"), len(before) - strings.LastIndexByte(before, '\n') - 1 + columnShift}
}

// columnOf says how far from the column that text/template names one of the keys
// of a chain stands: that is the column of the second key of .a.b.c, and of the
// first of $x.a.b and (f x).a.b.
func columnOf(expression string, keys []string, i int, t string, line, col int) int {
	lines := strings.SplitN(t, "\n", line+1)
	if i < 0 || line > len(lines) {
		return 0
	}
	first := 0
	if len(keys) > 1 && strings.HasPrefix(expression, ".") {
		first = 1
	}
	shift := 0
	for _, key := range keys[min(i, first):max(i, first)] {
		shift += len("." + key)
	}
	if i < first {
		shift = -shift
	}
	at := col - 1 + shift
	if at < 0 || at > len(lines[line-1]) || !strings.HasPrefix(lines[line-1][at:], "."+keys[i]) {
		return 0 // written in some other way
	}
	return shift
}

// keysAt gives the keys of the mapping to which a path leads, of all of them
// when it leads through a list.
func keysAt(at any, path []string) []string {
	values := []any{at}
	for _, key := range path {
		var next []any
		for _, v := range values {
			switch v := v.(type) {
			case map[string]any:
				if key == element {
					for _, name := range mapKeys(v) {
						next = append(next, v[name])
					}
				} else if below, ok := v[key]; ok {
					next = append(next, below)
				}
			case []any:
				if key == element {
					next = append(next, v...)
				}
			}
		}
		values = next
	}
	var keys []string
	for _, v := range values {
		if m, ok := v.(map[string]any); ok {
			keys = append(keys, mapKeys(m)...)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func mapKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func number(s string) int {
	n, _ := strconv.Atoi(s) // an expression has checked it
	return n
}
