package manifest

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"evenkeel/agent/plan"
)

// maxBasename leaves room for the names of the siblings in which a file is
// staged and the old one kept.
const maxBasename = 240

// denied is what a repository may not manage, each with the reason. Patterns are
// those of restart_on: and cover what is below. The host's own config can add to
// the list, and name paths on it that a repository may manage after all; what is
// forever cannot be taken off.
func denied() []denial {
	return []denial{
		{"it belongs to the kernel or to the running system", forever, runtimePaths()},
		{"accounts are made with sysusers.d", unlessAllowed, []string{
			"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid",
			"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-",
		}},
		{"it says who may become root", unlessAllowed, []string{
			"/etc/sudoers*", "/etc/pam.d", "/etc/pam.conf", "/etc/polkit-1", "/etc/doas.conf", "/usr/local/share/polkit-1",
		}},
		{"it says who may log in", unlessAllowed, []string{"/etc/ssh/ssh_host_*", "/**/authorized_keys*"}},
		{"it says which machine this is", unlessAllowed, []string{"/etc/machine-id"}},
		{"every program would load it", unlessAllowed, []string{"/etc/ld.so.preload"}},
		{"it says which packages are trusted", unlessAllowed, []string{"/etc/apt", "/etc/yum.repos.d", "/etc/pki/rpm-gpg"}},
		{"it runs inside systemd's own start", unlessAllowed, []string{"/**/systemd/*-generators"}},
		{"it is evenkeel's own: no commit changes it", forever, []string{
			"/etc/evenkeel", "/var/lib/evenkeel", "/usr/bin/evenkeel", "/usr/local/bin/evenkeel",
			"/etc/systemd/system/evenkeel*", "/**/systemd/system*/evenkeel*", "/**/systemd/system*/*/evenkeel*", "/etc/containers/systemd/evenkeel*",
		}},
		{"it would change every service, evenkeel's own included", forever, []string{"/**/systemd/system*/service.d"}},
	}
}

// runtimePaths are those of the kernel and the running system.
func runtimePaths() []string { return []string{"/proc", "/sys", "/dev", "/run"} }

type denial struct {
	why      string
	holds    hold
	patterns []string
}

// hold says whether the host's own config can take a path off the list.
type hold bool

const (
	forever       hold = true
	unlessAllowed hold = false
)

// ownUnit reports whether a unit is evenkeel's own.
func ownUnit(name string) bool { return strings.HasPrefix(name, "evenkeel") }

// topDirectories are never managed themselves, only what is in them.
func topDirectories() []string { return DefaultRoots() }

// policy says which paths may be managed.
type policy struct {
	Options
	denied []denial
}

// Check is what is wrong with the options as a host's config gives them, nil when
// nothing is. A pattern that matches nothing would deny nothing, or allow it.
func (o Options) Check() error {
	for _, pattern := range o.Deny {
		if !isPattern(pattern) {
			return fmt.Errorf("cannot deny %q: not a clean, absolute pattern", pattern)
		}
	}
	for _, pattern := range o.AllowDenied {
		if !isPattern(pattern) {
			return fmt.Errorf("cannot allow %q: not a clean, absolute pattern", pattern)
		}
		for _, d := range denied() {
			if d.holds == forever && slices.ContainsFunc(d.patterns, func(p string) bool { return covers(p, pattern) }) {
				return fmt.Errorf("cannot allow %q: %s", pattern, d.why)
			}
		}
	}
	for _, root := range o.AllowRoots {
		if !path.IsAbs(root) {
			return fmt.Errorf("cannot allow %q: not an absolute path", root)
		}
	}
	return nil
}

func isPattern(s string) bool { return path.IsAbs(s) && validGlob(s) && path.Clean(s) == s }

// guard says why a path may not be managed, "" when it may.
func (p policy) guard(name string, kind plan.Kind) (fault, hint string) {
	if fault := badPath(name); fault != "" {
		if !path.IsAbs(name) {
			hint = "write " + path.Clean("/"+name)
		}
		return fault, hint
	}
	if fault, hint := p.deniedHere(name, kind); fault != "" {
		return fault, hint
	}
	if !p.allowed(name) {
		return fmt.Sprintf("%q is outside the allowed roots", name), "allowed here: " + strings.Join(p.AllowRoots, ", ")
	}
	if contains(topDirectories(), name) || strings.Count(name, "/") == 1 {
		return fmt.Sprintf("%q itself may not be managed, only what is in it", name), ""
	}
	return "", ""
}

// deniedHere looks a path up in the list, and in what the host's config says
// about it. What the config denies, nothing allows.
func (p policy) deniedHere(name string, kind plan.Kind) (fault, hint string) {
	isAllowed := slices.ContainsFunc(p.AllowDenied, func(pattern string) bool { return covers(pattern, name) })
	for _, d := range p.denied {
		if isAllowed && d.holds == unlessAllowed {
			continue
		}
		for _, pattern := range d.patterns {
			if covers(pattern, name) {
				if d.holds == unlessAllowed {
					hint = fmt.Sprintf("unless the host's own config has allow_denied: [%s]", name)
				}
				return fmt.Sprintf("%q may not be managed: %s", name, d.why), hint
			}
			if kind != plan.Directory && above(name, pattern) {
				return fmt.Sprintf("%q may not be managed: %s below it may not be", name, pattern), ""
			}
		}
	}
	for _, own := range p.Own {
		if own != "" && (name == own || strings.HasPrefix(name, own+"/") || kind != plan.Directory && strings.HasPrefix(own, name+"/")) {
			return fmt.Sprintf("%q may not be managed: %s is evenkeel's own on this host", name, own), ""
		}
	}
	for _, pattern := range p.Deny {
		if covers(pattern, name) {
			return fmt.Sprintf("%q may not be managed: the host's own config denies %s", name, pattern), ""
		}
	}
	return "", ""
}

// allowed reports whether the path is one of the roots or below one.
func (p policy) allowed(name string) bool {
	for _, root := range p.AllowRoots {
		if root = path.Clean(root); name == root || root == "/" || strings.HasPrefix(name, root+"/") {
			return true
		}
	}
	return false
}

// above reports whether a path is a directory on the way to what a pattern
// names, as far as the pattern has no glob in it.
func above(name, pattern string) bool {
	fixed, _, _ := strings.Cut(pattern, "*")
	return strings.HasPrefix(fixed, name+"/")
}

// badPath says what is wrong with a path as a path.
func badPath(name string) string {
	switch {
	case !utf8.ValidString(name):
		return "a path must be UTF-8"
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Sprintf("%q has a control character in it", name)
	case !path.IsAbs(name):
		return fmt.Sprintf("%q is not an absolute path", name)
	case path.Clean(name) != name:
		return fmt.Sprintf("%q is not a clean path: it is %q", name, path.Clean(name))
	case len(name) > 4000:
		return fmt.Sprintf("a path is longer than 4000 bytes: %.60q...", name)
	}
	for _, part := range components(name) {
		if len(part) > maxBasename {
			return fmt.Sprintf("the name %.60q... has %d bytes, more than the %d that leave room to stage it", part, len(part), maxBasename)
		}
		if strings.HasSuffix(part, ".evenkeel+") || strings.HasSuffix(part, ".evenkeel~") || strings.HasSuffix(part, ".evenkeel!") {
			return fmt.Sprintf("%q: names that end in .evenkeel+, .evenkeel~ or .evenkeel! are evenkeel's own", name)
		}
	}
	return ""
}
