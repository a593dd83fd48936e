package manifest

import (
	"fmt"
	"strings"
)

// Bounds on what the templates of one host may do, so that a render ends, and in
// bounded memory, without a clock: text/template itself loops for ever over a
// large number and doubles a text until the memory is full. What is counted is
// the bytes of text that functions handle, and for each action in a loop a sum
// that is about as much work.
const (
	workTimes    = 8       // so many times what one file may have is the work of one template with all that it includes; of all files, of all templates
	leastWork    = 1 << 20 // also where files must be small
	workOfAction = 64
	maxCalls     = 50 // how deep templates may call each other
	maxNested    = 100
	maxBlocks    = 200 // how deep if, range and with may stand in each other
)

// meter counts the work of templates. Its methods panic with a callError when
// it runs out, which text/template turns into the error of the call.
type meter struct {
	most int64  // for one template
	file int64  // what is left for this one
	host *int64 // what is left for all
}

// workFor is the work that goes with a limit on bytes.
func workFor(limit int64) int64 { return max(workTimes*limit, leastWork) }

// begin starts the next template.
func (m *meter) begin() { m.file = m.most }

// charge takes work from what is left.
func (m *meter) charge(work int64) {
	m.file -= work
	*m.host -= work
	switch {
	case m.file < 0:
		panic(fault("the template does too much work: a loop or a text in it grows too large"))
	case *m.host < 0:
		panic(fault("the templates of this host together do too much work"))
	}
}

// str writes a value as a template prints it. A null is empty.
func (m *meter) str(v any) string {
	if s, ok := v.(string); ok {
		m.charge(int64(len(s)))
		return s
	}
	m.weigh(v, 0)
	return str(v)
}

// weigh charges for a value and all that is in it, before it is written or
// compared: a list that holds a list twice, and so on, is small in memory and
// endless on paper.
func (m *meter) weigh(v any, depth int) {
	if depth > maxNested {
		panic(fault("a value is nested more than %d deep", maxNested))
	}
	m.charge(16)
	switch v := v.(type) {
	case string:
		m.charge(int64(len(v)))
	case []any:
		for _, item := range v {
			m.weigh(item, depth+1)
		}
	case map[string]any:
		for key, item := range v {
			m.charge(int64(len(key)))
			m.weigh(item, depth+1)
		}
	}
}

// str writes a value as a template prints it. A null is empty.
func str(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	}
	return fmt.Sprint(v)
}

// printf is fmt.Sprintf without what could grow without bound or differs each
// time: widths taken from values, values used again, addresses.
func (m *meter) printf(format string, args ...any) (string, error) {
	total := int64(len(format))
	for _, arg := range args {
		before := m.file
		m.weigh(arg, 0)
		total += 6 * (before - m.file)
	}
	for rest := format; ; {
		_, after, found := strings.Cut(rest, "%")
		if !found {
			break
		}
		flags := after[:len(after)-len(strings.TrimLeft(after, "+-# 0123456789."))]
		verb := after[len(flags):]
		if verb == "" || strings.ContainsAny(verb[:1], "*[p") {
			return "", fault("printf: %% must be followed by a verb, without * and [ ]")
		}
		for _, number := range strings.FieldsFunc(flags, func(r rune) bool { return r < '0' || r > '9' }) {
			if len(strings.TrimLeft(number, "0")) > 3 {
				return "", fault("printf: a width must be less than 1000")
			}
			total += 1000
		}
		rest = verb[1:]
	}
	m.charge(total)
	return fmt.Sprintf(format, args...), nil
}
