package manifest

import (
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
)

// Bounds of what a check may ask for.
const (
	maxCheckTimeout = 5 * time.Minute
	maxCount        = 1000
	maxPattern      = 1000 // bytes of a regular expression
	maxHeaders      = 20
	maxHeader       = 1000
	maxSocket       = 107 // the kernel's limit for the path of a socket
)

// ReadChecks reads a list of checks from another file than those of a repository,
// in the same words. file is the name that problems shall have.
func ReadChecks(file string, n *yaml.Node) ([]plan.Check, Problems) {
	c := &collector{}
	d := &document{file: file, c: c}
	var checks []plan.Check
	for _, item := range d.items(n, "checks:") {
		if check, ok := d.check(item); ok {
			checks = append(checks, check)
		}
	}
	return checks, sorted(c.list)
}

// check reads one element of checks:.
func (d *document) check(n *yaml.Node) (plan.Check, bool) {
	c := plan.Check{}.WithDefaults()
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		d.problem(n, checkHint(n.Value), "a check must say its kind: %s", strings.Join(keyNames(checkKinds()), ", "))
		return c, false
	}
	keys := d.fields(n, "a check", checkKeys())
	var kinds []string
	for _, kind := range keyNames(checkKinds()) {
		if _, ok := keys[kind]; ok {
			kinds = append(kinds, kind)
		}
	}
	switch {
	case len(kinds) == 0 && n.Kind == yaml.MappingNode:
		d.problem(n, "", "a check must have one of %s", strings.Join(keyNames(checkKinds()), ", "))
		return c, false
	case len(kinds) > 1:
		d.problem(n, "make it two checks", "a check has one kind, found %s", strings.Join(kinds, " and "))
		return c, false
	case len(kinds) == 0:
		return c, false
	}
	ok := d.probe(kinds[0], keys[kinds[0]].value, &c)
	d.timing(keys, &c)
	d.asking(kinds[0], keys, &c)
	return c, ok
}

func checkHint(value string) string {
	switch {
	case strings.HasPrefix(value, "http"):
		return "write {http: " + value + "}"
	case strings.HasPrefix(value, "/"):
		return "write {exec: [" + strings.Join(strings.Fields(value), ", ") + "]}"
	}
	return ""
}

// timing reads when and how often a check is tried.
func (d *document) timing(keys map[string]pair, c *plan.Check) {
	for _, at := range []struct {
		key string
		to  *time.Duration
	}{{"start_delay", &c.StartDelay}, {"interval", &c.Interval}, {"timeout", &c.Timeout}} {
		if p, ok := keys[at.key]; ok {
			*at.to = d.duration(p.value, at.key+":", *at.to)
		}
	}
	if p, ok := keys["timeout"]; ok && c.Timeout > maxCheckTimeout {
		d.problem(p.value, "at most 5m", "timeout: %s is too long for one try", c.Timeout)
	}
	for _, at := range []struct {
		key string
		to  *int
	}{{"successes", &c.Successes}, {"failures", &c.Failures}} {
		if p, ok := keys[at.key]; ok {
			*at.to = d.count(p.value, at.key+":", *at.to)
		}
	}
}

// fits reports a check that could never pass within the deadline of its service.
func (d *document) fits(n *yaml.Node, c plan.Check, deadline time.Duration) bool {
	least := c.StartDelay + time.Duration(c.Successes-1)*c.Interval
	if least < deadline {
		return true
	}
	d.problem(resolve(n), "make deadline: longer", "this check cannot pass within the deadline of %s: start_delay, and an interval between each two successes, take %s", deadline, least)
	return false
}

// count reads a number of tries.
func (d *document) count(n *yaml.Node, what string, otherwise int) int {
	n = resolve(n)
	var number int
	if n.ShortTag() != "!!int" || n.Decode(&number) != nil || number < 1 || number > maxCount {
		d.problem(n, "", "%s must be a number from 1 to %d", what, maxCount)
		return otherwise
	}
	return number
}

// asking reads how a check asks and what it wants to hear, which depends on its
// kind.
func (d *document) asking(kind string, keys map[string]pair, c *plan.Check) {
	misplaced := false
	for _, only := range []struct {
		kind string
		keys []Key
	}{{"http", httpKeys()}, {"exec", execKeys()}} {
		for _, key := range only.keys {
			if p, ok := keys[key.Name]; ok && only.kind != kind {
				d.problem(p.key, "", "%s: is only for a check of kind %s", key.Name, only.kind)
				misplaced = true
			}
		}
	}
	if misplaced {
		return
	}
	if p, ok := keys["user"]; ok {
		c.User = d.account(p.value, "user:")
	}
	if p, ok := keys["status"]; ok {
		c.Status = d.statuses(p.value)
	}
	if p, ok := keys["body"]; ok {
		c.Body = d.pattern(p.value)
	}
	if p, ok := keys["headers"]; ok {
		c.Headers = d.headers(p.value)
	}
	if p, ok := keys["socket"]; ok {
		c.Socket = d.socket(p.value, "socket:")
	}
	d.trust(keys, c)
}

// trust reads whose certificates an https check takes.
func (d *document) trust(keys map[string]pair, c *plan.Check) {
	for _, key := range []string{"ca_file", "insecure"} {
		if p, ok := keys[key]; ok && !strings.HasPrefix(c.HTTP, "https:") {
			d.problem(p.key, "", "%s: is only for https", key)
			return
		}
	}
	if p, ok := keys["ca_file"]; ok {
		c.CAFile = d.absolute(p.value, "ca_file:")
	}
	if p, ok := keys["insecure"]; ok {
		c.Insecure, _ = d.truth(p.value, "insecure:")
		if c.Insecure && c.CAFile != "" {
			d.problem(p.key, "keep ca_file", "a check that takes any certificate has no use for ca_file:")
		}
	}
}

func (d *document) absolute(n *yaml.Node, what string) string {
	s, ok := d.text(n, what)
	if ok && (!path.IsAbs(s) || path.Clean(s) != s) {
		d.problem(n, "", "%s %q must be an absolute, clean path", what, s)
		return ""
	}
	return s
}

func (d *document) socket(n *yaml.Node, what string) string {
	s := d.absolute(n, what)
	if len(s) > maxSocket {
		d.problem(n, "", "%s the path of a socket has at most %d bytes", what, maxSocket)
		return ""
	}
	return s
}

var statusWord = regexp.MustCompile(`^([1-5][0-9][0-9]|[1-5]xx)$`)

// statuses reads 200, 2xx, or a list of such.
func (d *document) statuses(n *yaml.Node) []string {
	items := []*yaml.Node{n}
	if resolve(n).Kind == yaml.SequenceNode {
		items = resolve(n).Content
	}
	var out []string
	for _, item := range items {
		if s, ok := d.text(item, "status:"); ok && !statusWord.MatchString(s) {
			d.problem(item, "such as 200, 2xx or [200, 301]", "status: %q is no HTTP status", s)
		} else if ok {
			out = append(out, s)
		}
	}
	if len(items) == 0 {
		d.problem(n, "leave it away for 2xx", "status: is empty")
	}
	return out
}

func (d *document) pattern(n *yaml.Node) string {
	s, ok := d.text(n, "body:")
	if !ok {
		return ""
	}
	if s == "" || len(s) > maxPattern {
		d.problem(n, "", "body: must have 1 to %d bytes", maxPattern)
		return ""
	}
	if _, err := regexp.Compile(s); err != nil {
		d.problem(n, "Go's syntax, RE2", "body: is not a regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		return ""
	}
	return s
}

// headerName is what RFC 9110 calls a token.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func (d *document) headers(n *yaml.Node) map[string]string {
	out := map[string]string{}
	for _, p := range d.pairs(n, "headers:") {
		value, ok := d.text(p.value, "a header")
		switch {
		case !ok:
		case !headerName.MatchString(p.name):
			d.problem(p.key, "", "%q is not the name of a header", p.name)
		case len(value) > maxHeader || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
			d.problem(p.value, "", "the value of header %s is too long or holds a control character", p.name)
		case len(out) == maxHeaders:
			d.problem(p.key, "", "a check has at most %d headers", maxHeaders)
		case slices.ContainsFunc(slices.Collect(maps.Keys(out)), func(other string) bool { return strings.EqualFold(other, p.name) }):
			d.problem(p.key, "", "header %s is there twice", p.name)
		default:
			out[p.name] = value
		}
	}
	return out
}

// probe fills in the one kind that a check has.
func (d *document) probe(kind string, n *yaml.Node, c *plan.Check) bool {
	if kind == "exec" {
		words := d.command(n, "exec:")
		if len(words) == 0 {
			return false
		}
		if !path.IsAbs(words[0]) {
			d.problem(resolve(n), "such as /usr/bin/"+path.Base(words[0]), "exec: must begin with an absolute path, found %q", words[0])
			return false
		}
		c.Exec = words
		return true
	}
	s, ok := d.text(n, kind+":")
	if !ok {
		return false
	}
	switch kind {
	case "http":
		c.HTTP = s
		return d.webAddress(n, s)
	case "tcp":
		c.TCP = s
		return d.tcpAddress(n, s)
	case "unix":
		c.Unix = d.socket(n, "unix:")
		return c.Unix != ""
	}
	c.Unit = s
	return d.unitOnly(n, s)
}

func (d *document) webAddress(n *yaml.Node, s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		d.problem(n, "such as http://127.0.0.1:8080/healthz", "http: is not a URL of http or https")
		return false
	}
	if u.User != nil {
		d.problem(n, "", "http: must not hold a password: checks are shown in status and metrics")
		return false
	}
	return true
}

func (d *document) tcpAddress(n *yaml.Node, s string) bool {
	if strings.Trim(s, "0123456789") == "" {
		d.problem(n, "write tcp: 127.0.0.1:"+s, "tcp: needs a host and a port")
		return false
	}
	// The parser of URLs splits host and port, IPv6 brackets included, without
	// the network package that a pure one has no use for.
	u, err := url.Parse("tcp://" + s)
	if err != nil || u.Host != s || !isAddress(u) {
		d.problem(n, "such as 127.0.0.1:5432 or [::1]:5432", "tcp: %q is not host:port", s)
		return false
	}
	return true
}

// isAddress reports whether the URL's host part is a host and a port, with an
// IPv6 address in brackets.
func isAddress(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	bare := strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[")
	return err == nil && port != 0 && u.Hostname() != "" && !bare
}
