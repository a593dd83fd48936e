package manifest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

// role is role.yaml, parsed: what a path cannot say.
type role struct {
	name        string
	files       map[string]fileAttr
	directories map[string]fileAttr
	links       map[string]linkSays
	services    []service
	schema      *schema // nil when the role asks nothing of its values
	terms       terms
	drift       plan.OnDrift // of all that the role brings
}

// fileAttr is what files: or directories: says about one path; zero fields mean
// the default.
type fileAttr struct {
	mode         uint32
	hasMode      bool
	owner, group string
	validate     []string
	quiet        bool // feeds: none
	drift        plan.OnDrift
	place        plan.Place
	col          int
}

type linkSays struct {
	target string
	place  plan.Place
}

// service is one entry of services:, with the defaults filled in.
type service struct {
	name      string
	after     []said
	restartOn []string
	reloadOn  []string
	state     unitState
	plan.Service
	drift plan.OnDrift
	place plan.Place
}

// unitState is what state: says a unit shall be.
type unitState string

const (
	started   unitState = "started"
	stopped   unitState = "stopped"
	masked    unitState = "masked"
	installed unitState = "installed" // its file is there; whether it runs is nobody's affair
)

// maxDuration bounds settle and deadline.
const maxDuration = 24 * time.Hour

// readRole reads roles/NAME/role.yaml; a role needs none.
func (r *repo) readRole(name string) role {
	return once(r, roleFile(name), func() role { return r.parseRole(name) })
}

func (r *repo) parseRole(name string) role {
	out := role{name: name, files: map[string]fileAttr{}, directories: map[string]fileAttr{}, links: map[string]linkSays{}}
	d := r.document(roleFile(name))
	if d == nil || d.root == nil {
		return out
	}
	keys := d.fields(d.root, "role.yaml", roleKeys())
	out.terms, out.drift = d.terms(keys), d.drift(keys)
	if p, ok := keys["files"]; ok && !isNull(resolve(p.value)) {
		known := fileKeys()
		for _, f := range d.pairs(p.value, "files:") {
			out.files[f.name] = d.attributes(f, "an entry of files:", known)
		}
	}
	if p, ok := keys["directories"]; ok && !isNull(resolve(p.value)) {
		known := directoryKeys()
		for _, f := range d.pairs(p.value, "directories:") {
			out.directories[f.name] = d.attributes(f, "an entry of directories:", known)
		}
	}
	if p, ok := keys["links"]; ok && !isNull(resolve(p.value)) {
		for _, l := range d.pairs(p.value, "links:") {
			if target, ok := d.linkTarget(l.value); ok {
				out.links[l.name] = linkSays{target, d.place(l.key)}
			}
		}
	}
	if p, ok := keys["services"]; ok && !isNull(resolve(p.value)) {
		for _, s := range d.pairs(p.value, "services:") {
			if svc, ok := d.service(s); ok {
				out.services = append(out.services, svc)
			}
		}
	}
	if p, ok := keys["schema"]; ok && !isNull(resolve(p.value)) {
		out.schema = d.schema(p.value, name)
	}
	return out
}

// attributes reads one entry of files: or directories:. No attributes at all is
// fine: the path with its defaults.
func (d *document) attributes(p pair, what string, known []Key) fileAttr {
	a := fileAttr{place: d.place(p.key), col: p.key.Column}
	if isNull(resolve(p.value)) {
		return a
	}
	keys := d.fields(p.value, what, known)
	a.drift = d.drift(keys)
	if p, ok := keys["mode"]; ok {
		a.mode, a.hasMode = d.mode(p.value)
	}
	if p, ok := keys["owner"]; ok {
		a.owner = d.account(p.value, "owner:")
	}
	if p, ok := keys["group"]; ok {
		a.group = d.account(p.value, "group:")
	}
	if p, ok := keys["validate"]; ok {
		a.validate = d.command(p.value, "validate:")
	}
	if p, ok := keys["feeds"]; ok {
		if s, ok := d.text(p.value, "feeds:"); ok && s != "none" {
			d.problem(p.value, "write feeds: none", `feeds: can only be "none": this file feeds no service, and that is meant so`)
		} else {
			a.quiet = ok
		}
	}
	return a
}

var octal = regexp.MustCompile(`^0?[0-7]{3}$`)

// mode reads "0640". A bare number is refused although YAML could read it: 640
// and 0640 are different numbers there, and both are taken for the same.
func (d *document) mode(n *yaml.Node) (mode uint32, ok bool) {
	n = resolve(n)
	s, ok := d.text(n, "mode:")
	if !ok {
		return 0, false
	}
	if n.ShortTag() != "!!str" {
		d.problem(n, fmt.Sprintf("write mode: %q", fourDigits(s)), "a mode must be quoted, or YAML reads it as a number")
		return 0, false
	}
	if special := strings.TrimPrefix(s, "0"); len(special) == 4 && strings.Trim(special, "01234567") == "" {
		d.problem(n, fmt.Sprintf("write mode: %q", "0"+special[1:]), "setuid, setgid and sticky bits are not allowed")
		return 0, false
	}
	if !octal.MatchString(s) {
		d.problem(n, `four digits from 0 to 7, such as "0640"`, "%q is not a mode in octal digits", s)
		return 0, false
	}
	m, _ := strconv.ParseUint(s, 8, 32) // the expression has checked it
	return uint32(m), true
}

// fourDigits writes a mode as it should have been written.
func fourDigits(s string) string {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "0o"), "0")
	if len(s) > 3 || strings.Trim(s, "01234567") != "" {
		return "0644"
	}
	return fmt.Sprintf("%04s", s)
}

// accountName is a user or group name as useradd(8) takes it, or a number.
var accountName = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_.-]{0,31}\$?|[0-9]{1,10})$`)

func (d *document) account(n *yaml.Node, what string) string {
	s, ok := d.text(n, what)
	if !ok {
		return ""
	}
	if !accountName.MatchString(s) {
		d.problem(n, "such as www-data, or 33", "%s %q is neither a name nor a number of an account", what, s)
		return ""
	}
	return s
}

// command reads a list of words.
func (d *document) command(n *yaml.Node, what string) []string {
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		d.problem(n, "write ["+strings.Join(strings.Fields(n.Value), ", ")+"]", "%s must be a list of words: no shell reads it", what)
		return nil
	}
	words := d.texts(n, what)
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		d.problem(n, "", "%s has no words", what)
	} else if len(words) > 0 && words[0] == "" {
		d.problem(n, "", "%s has an empty program", what)
	}
	return words
}

func (d *document) linkTarget(n *yaml.Node) (string, bool) {
	s, ok := d.text(n, "the target of a link")
	if !ok {
		return "", false
	}
	if s == "" || len(s) >= 4096 {
		d.problem(n, "", "the target of a link must have 1 to 4095 bytes")
		return "", false
	}
	return s, true
}

// duration reads "10s" or "1m30s".
func (d *document) duration(n *yaml.Node, what string, otherwise time.Duration) time.Duration {
	s, ok := d.text(n, what)
	if !ok {
		return otherwise
	}
	if strings.Trim(s, "0123456789") == "" && s != "" {
		d.problem(n, fmt.Sprintf("write %s %ss for seconds", what, s), "%s %s has no unit", what, s)
		return otherwise
	}
	t, err := time.ParseDuration(s)
	switch {
	case err != nil:
		d.problem(n, "such as 500ms, 10s, 1m30s", "%s %q is not a duration", what, s)
	case t < 0 || t == 0 && what != "settle:" && what != "start_delay:":
		d.problem(n, "such as 10s", "%s must be more than zero", what)
	case t > maxDuration:
		d.problem(n, "at most 24h", "%s %s is too long", what, s)
	default:
		return t
	}
	return otherwise
}
