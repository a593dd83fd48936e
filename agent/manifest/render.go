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
	noTemplate  = regexp.MustCompile(`^template "(.*)" not defined$`)
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
	m := &meter{most: workFor(r.opts.Limits.FileBytes)}
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

// textOf is the text of a template that was just run, with that of the partials
// that it included.
func (r *renderer) textOf(t *parsed) string {
	text := t.text
	for _, name := range mapKeysOf(r.included) {
		text += "\n" + r.partials[name].text
	}
	return text
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

// startedAt is where the parser of templates says that something was opened.
var startedAt = regexp.MustCompile(`\bstarted at ` + mainName + `:(\d+)`)

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
	p.Message = "not a valid template: " + startedAt.ReplaceAllString(m[3], "started in line $1")
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
	case noTemplate.MatchString(fault):
		name := noTemplate.FindStringSubmatch(fault)[1]
		p.Message, p.Hint = fmt.Sprintf("the file defines no template %q", name), t.templateHint(name, mapKeysOf(r.partials))
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

// templateHint guesses which of the file's own templates was meant, or says that
// partials are included otherwise.
func (p *parsed) templateHint(name string, partials []string) string {
	if contains(partials, name) {
		return fmt.Sprintf("a partial is run by include %q .", name)
	}
	var own []string
	for _, t := range p.Templates() {
		if t.Name() != mainName {
			own = append(own, t.Name())
		}
	}
	return didYouMean(name, own)
}

// lineOf gives the line that an error of text/template names.
func lineOf(err error) int {
	if m := execFault.FindStringSubmatch(err.Error()); m != nil {
		return number(m[1])
	}
	return 0
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
