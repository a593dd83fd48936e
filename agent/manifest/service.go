package manifest

import (
	"net/url"
	"path"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// service reads one entry of services:.
func (d *document) service(p pair) (service, bool) {
	s := service{name: p.name, place: d.place(p.key)}
	s.Settle, s.Deadline, s.Enabled = DefaultSettle, DefaultDeadline, true
	if !d.unitName(p.key, p.name) {
		return s, false
	}
	if isNull(resolve(p.value)) {
		return s, true
	}
	keys := d.fields(p.value, "service "+strconv.Quote(p.name), serviceKeys())
	if p, ok := keys["after"]; ok {
		for _, n := range d.items(p.value, "after:") {
			if name, ok := d.text(n, "a unit in after:"); ok && d.unitOnly(n, name) {
				s.after = append(s.after, said{name, d.place(n)})
			}
		}
	}
	if p, ok := keys["restart_on"]; ok {
		s.restartOn = d.globs(p.value, "restart_on:")
	}
	if p, ok := keys["reload_on"]; ok {
		s.reloadOn = d.globs(p.value, "reload_on:")
	}
	if p, ok := keys["enabled"]; ok {
		if b, ok := d.truth(p.value, "enabled:"); ok {
			s.Enabled = b
		}
	}
	if p, ok := keys["settle"]; ok {
		s.Settle = d.duration(p.value, "settle:", DefaultSettle)
	}
	if p, ok := keys["deadline"]; ok {
		s.Deadline = d.duration(p.value, "deadline:", DefaultDeadline)
	}
	if p, ok := keys["checks"]; ok {
		for _, n := range d.items(p.value, "checks:") {
			if c, ok := d.check(n); ok {
				s.Checks = append(s.Checks, c)
			}
		}
	}
	return s, true
}

// unitName checks the name of a unit that shall run.
func (d *document) unitName(n *yaml.Node, name string) bool {
	if !d.unitOnly(n, name) {
		return false
	}
	if _, instance, ok := units.Template(name); ok && instance == "" {
		d.problem(n, "name an instance, such as "+strings.Replace(name, "@.", "@1.", 1), "%q is a template and cannot run", name)
		return false
	}
	switch units.TypeOf(name) {
	case "device", "scope", "slice":
		d.problem(n, "", "a %s cannot be listed as a service", units.TypeOf(name))
		return false
	}
	if ownUnit(name) {
		d.problem(n, "", "%q is evenkeel's own: no commit changes it", name)
		return false
	}
	return true
}

// unitOnly checks that a word is the name of a unit.
func (d *document) unitOnly(n *yaml.Node, name string) bool {
	err := units.Valid(name)
	if err == nil {
		return true
	}
	hint := ""
	if units.Valid(name+".service") == nil && units.TypeOf(name) == "" {
		hint = "did you mean " + strconv.Quote(name+".service") + "?"
	}
	d.problem(n, hint, "%v", err)
	return false
}

// globs reads the patterns of restart_on: and reload_on:.
func (d *document) globs(n *yaml.Node, what string) []string {
	var out []string
	for _, item := range d.items(n, what) {
		s, ok := d.text(item, "a pattern of "+what)
		if !ok {
			continue
		}
		if !strings.HasPrefix(s, "/") || path.Clean(s) != s && path.Clean(s)+"/" != s {
			d.problem(item, "write "+path.Clean("/"+s), "%s %q must be an absolute, clean path", what, s)
			continue
		}
		if !validGlob(s) {
			d.problem(item, globHint(s), "%s %q is not a pattern", what, s)
			continue
		}
		out = append(out, path.Clean(s))
	}
	return out
}

// check reads one element of checks:.
func (d *document) check(n *yaml.Node) (plan.Check, bool) {
	c := plan.Check{Timeout: DefaultCheckTimeout}
	n = resolve(n)
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		d.problem(n, checkHint(n.Value), "a check must say its kind: %s", strings.Join(keyNames(checkKinds()), ", "))
		return c, false
	}
	keys := d.fields(n, "a check", checkKeys())
	if p, ok := keys["timeout"]; ok {
		c.Timeout = d.duration(p.value, "timeout:", DefaultCheckTimeout)
	}
	var kinds []string
	for _, kind := range keyNames(checkKinds()) {
		if _, ok := keys[kind]; ok {
			kinds = append(kinds, kind)
		}
	}
	switch {
	case len(kinds) == 0 && n.Kind == yaml.MappingNode:
		d.problem(n, "", "a check must have one of %s", strings.Join(keyNames(checkKinds()), ", "))
	case len(kinds) > 1:
		d.problem(n, "make it two checks", "a check has one kind, found %s", strings.Join(kinds, " and "))
	case len(kinds) == 1:
		return c, d.probe(kinds[0], keys[kinds[0]].value, &c)
	}
	return c, false
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
