package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
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

// parsedTemplate is a template that can be run for many hosts.
type parsedTemplate struct {
	file string
	text string
	t    *template.Template
}

// parsedTemplate parses a template; one with faults is a problem, and nil.
func (r *repo) parsedTemplate(file string, text []byte) *parsedTemplate {
	t, problem := parseTemplate(file, text)
	if problem != nil {
		r.c.add(*problem)
		return nil
	}
	return &parsedTemplate{file, string(text), t}
}

// render runs the template. What is wrong with it is a Problem without quoting
// any value: values may be secrets.
func (p *parsedTemplate) render(d data, limit int64) ([]byte, *Problem) {
	out := &bounded{left: limit}
	values := d.values()
	if err := execute(p.t, out, values); err != nil {
		return nil, execProblem(p.file, p.text, err, values, limit)
	}
	if bytes.Contains(out.b.Bytes(), noValue) {
		return nil, &Problem{File: p.file, Message: "the template printed <no value>: a value it uses is null", Hint: "give the value, or use default"}
	}
	return out.b.Bytes(), nil
}

func parseTemplate(file string, text []byte) (*template.Template, *Problem) {
	t, err := template.New("t").Option("missingkey=error").Funcs(functions()).Parse(string(text))
	if err != nil {
		return nil, parseProblem(file, err)
	}
	return t, nil
}

// execute is t.Execute for templates that may come from anybody: text/template
// turns panics of functions into errors, and this does it for its own.
func execute(t *template.Template, out *bounded, values map[string]any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the template cannot be run")
		}
	}()
	return t.Execute(out, values)
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

func parseProblem(file string, err error) *Problem {
	p := &Problem{File: file, Message: "not a valid template"}
	m := parseFault.FindStringSubmatch(err.Error())
	if m == nil {
		return p
	}
	p.Line = number(m[1])
	p.Message = "not a valid template: " + m[3]
	if f := noFunction.FindStringSubmatch(m[3]); f != nil {
		p.Message = fmt.Sprintf("there is no function %q", f[1])
		p.Hint = functionHint(f[1])
	} else if strings.Contains(m[3], "unexpected \".\"") || strings.Contains(m[3], "bad character") || strings.Contains(m[3], "unexpected \"{\"") {
		p.Hint = `to print {{ itself write {{ "{{" }}`
	}
	return p
}

// functionHint explains why a well-known function is not there, or guesses.
func functionHint(name string) string {
	barred := []string{
		"env", "expandenv", "now", "date", "ago", "randAlpha", "randAlphaNum", "randNumeric", "randAscii", "randInt", "randBytes",
		"uuidv4", "genPrivateKey", "genCA", "genSelfSignedCert", "genSignedCert", "htpasswd", "bcrypt", "getHostByName",
		"lookup", "file", "readFile", "include", "tpl", "shuffle", "derivePassword", "encryptAES",
	}
	if contains(barred, name) {
		return "a render must give the same bytes each time and sees only vars and facts"
	}
	return didYouMean(name, functionNames())
}

func execProblem(file, text string, err error, values map[string]any, limit int64) *Problem {
	p := &Problem{File: file, Message: "the template cannot be run"}
	if errors.Is(err, errTooLong) {
		p.Message = fmt.Sprintf("the output is longer than %d bytes", limit)
		return p
	}
	m := execFault.FindStringSubmatch(err.Error())
	if m == nil {
		return p
	}
	p.Line, p.Col = number(m[1]), number(m[2])+columnShift
	expression, fault := m[3], m[4]
	var call *callError
	switch {
	case noKey.MatchString(fault):
		missingKey(p, expression, noKey.FindStringSubmatch(fault)[1], values)
	case errors.As(err, &call):
		p.Message, p.doubt = call.say(text), doubtCall
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

// missingKey says which key is not there and which one may have been meant. The
// keys of values are names that people gave, no secrets.
func missingKey(p *Problem, expression, key string, values map[string]any) {
	p.doubt = doubtValue
	where, known := keysAt(expression, key, values)
	p.Message = fmt.Sprintf("there is no %s", where)
	p.Hint = didYouMean(key, known)
	if top, ok := values[key]; ok && top != nil {
		return
	}
	if vars, ok := values["vars"].(map[string]any); ok && p.Hint == "" {
		if _, ok := vars[key]; ok {
			p.Hint = fmt.Sprintf("values are below .vars: .vars.%s", key)
		}
	}
	if p.Hint == "" {
		p.Hint = fmt.Sprintf(`a value that may be missing is read with: get .vars %q | default "..."`, key)
	}
}

// keysAt follows an expression such as .vars.db.hots from the top, to the
// mapping in which the key is missing, and gives the path to it and its keys.
// Inside range and with the dot is something else; then all that is known is
// the key.
func keysAt(expression, key string, values map[string]any) (where string, known []string) {
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(expression, "$"), "."), ".")
	at := values
	for i, part := range parts {
		next, ok := at[part]
		if !ok {
			if part != key {
				break
			}
			return "." + strings.Join(parts[:i+1], "."), mapKeys(at)
		}
		m, ok := next.(map[string]any)
		if !ok {
			break
		}
		at = m
	}
	return fmt.Sprintf("key %q in <%s>", key, expression), nil
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
