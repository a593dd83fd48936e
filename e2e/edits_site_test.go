//go:build e2e

package e2e

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// How much of everything the repository of the random edits has. Of what is corrected
// there is so much that no path comes near its five corrections an hour.
const (
	editedFiles    = 60
	editedNests    = 12 // directories with two files in each
	editedLinks    = 12
	editedDirs     = 10
	editedServices = 14
	fewEdited      = 6 // of what is only told of, ignored, or a package's
)

// Policies of drift, each by the role that has it.
const (
	kept  = "kept"  // correct
	told  = "told"  // report
	loose = "loose" // ignore
)

// newEditedSite is a host with three roles: one whose drift is corrected, one of which
// it is told of, and one where nobody minds.
func newEditedSite(t *testing.T, h *lab.Host) *site {
	t.Helper()
	s := &site{t: t, host: h, config: config{probation: time.Second}}
	t.Cleanup(s.tellIfFailed)
	s.repo = theLab.Repo(t, "config")
	s.repo.Write("fleet.yaml", "hosts:\n  - match: \"*\"\n    roles: [kept, told, loose]\n")
	for _, role := range []struct{ name, says string }{{kept, "correct"}, {told, "report"}, {loose, "ignore"}} {
		s.writeEditedRole(role.name, role.says)
	}
	s.server = theLab.Serve(t, s.repo, "", "")
	for i := range fewEdited {
		h.WriteFile("/usr/lib/systemd/system/"+packagedUnit(i), "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	}
	h.Install(packageFile(t, "EVENKEEL_DEB"))
	s.configure()
	return s
}

func editedFile(role string, i int) string { return fmt.Sprintf("/etc/%s/%d.conf", role, i) }
func editedUnit(role string, i int) string { return fmt.Sprintf("%s-%d.service", role, i) }
func editedEnv(unit string) string         { return "/etc/env/" + unit }
func unitFile(unit string) string          { return "/etc/systemd/system/" + unit }
func packagedUnit(i int) string            { return fmt.Sprintf("vendor-%d.service", i) }
func editedLink(i int) string              { return fmt.Sprintf("/etc/links/%d", i) }
func editedDir(i int) string               { return fmt.Sprintf("/srv/dir-%d", i) }
func editedNest(i int) string              { return fmt.Sprintf("/etc/nest/%d", i) }

// inNest are the files of a nest.
func inNest(nest string) []string { return []string{nest + "/a.conf", nest + "/b.conf"} }

// enablement is the link that enables a unit.
func enablement(unit string) string { return "/etc/systemd/system/multi-user.target.wants/" + unit }

// longText is a file that takes several pages, each line another one: a half of it, or a
// mixture of two, is not to be taken for a whole.
func longText(p string) string {
	var b strings.Builder
	for i := range 400 {
		fmt.Fprintf(&b, "%s %d: this line and the others belong together\n", p, i)
	}
	return b.String() + "the end\n"
}

func (s *site) writeEditedRole(role, drift string) {
	s.t.Helper()
	var files, more, units strings.Builder
	add := func(p, text, attributes string) {
		s.repo.Write("roles/"+role+"/files"+p, text)
		fmt.Fprintf(&files, "  %s: {feeds: none%s}\n", p, attributes)
	}
	few := func(many int) int {
		if role == kept {
			return many
		}
		return fewEdited
	}
	for i := range few(editedFiles) {
		attributes := ""
		if i%3 == 1 {
			attributes = `, mode: "0640", owner: daemon, group: daemon`
		}
		add(editedFile(role, i), longText(editedFile(role, i)), attributes)
	}
	for i := range few(editedServices) {
		unit := editedUnit(role, i)
		s.repo.Write("roles/"+role+"/files"+editedEnv(unit), "WHO="+unit+"\n")
		s.repo.Write("roles/"+role+"/units/"+unit, "[Service]\nExecStart=/bin/sleep infinity\nEnvironmentFile="+editedEnv(unit)+"\n[Install]\nWantedBy=multi-user.target\n")
		fmt.Fprintf(&units, "  %s: {settle: 100ms, drift: %s}\n", unit, drift)
	}
	if role == kept {
		for i := range editedNests {
			for _, p := range inNest(editedNest(i)) {
				add(p, longText(p), "")
			}
		}
		more.WriteString("links:\n")
		for i := range editedLinks {
			fmt.Fprintf(&more, "  %s: ../%s\n", editedLink(i), path.Join(kept, path.Base(editedFile(kept, i))))
		}
		more.WriteString("directories:\n")
		for i := range editedDirs {
			fmt.Fprintf(&more, "  %s: {mode: \"0750\", owner: daemon}\n", editedDir(i))
		}
		for i := range fewEdited {
			fmt.Fprintf(&units, "  %s: {settle: 100ms}\n", packagedUnit(i))
		}
	}
	s.repo.Write("roles/"+role+"/role.yaml", fmt.Sprintf("drift: %s\nfiles:\n%s%sservices:\n%s", drift, files.String(), more.String(), units.String()))
}
