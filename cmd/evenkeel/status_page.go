package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"evenkeel/agent"
)

// Bounds of what a status shows of the long lists; --json has the rest.
const (
	shownRejected = 5
	shownHistory  = 8
	shownEvidence = 10
	shownProblems = 20
)

// renderStatus makes the page: the verdict, then what a person asks next, the
// most urgent first.
func renderStatus(s agent.Status, v verdict, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", v.sentence)
	if c := s.Config; c != nil {
		list(&b, "Problems of this host's own configuration; what it said before stays in force", c.Problems, shownProblems)
	}
	list(&b, "Problems, each in the repository", s.Refused, shownProblems)
	list(&b, "Waiting for", s.Waiting, shownProblems)
	if h := s.Held; h != nil && h.Commit != "" {
		list(&b, fmt.Sprintf("Asked about %s, %s", short(h.Commit), count(len(h.Paths)+h.More, "path")), askedAbout(h), shownProblems)
	}
	if s.Held != nil {
		list(&b, "What was seen", s.Held.Evidence, shownEvidence)
	}
	list(&b, "Checks that failed before the good commit and still did after it", s.Except, shownProblems)
	would(&b, s)
	list(&b, "Not as the good commit left it; see \"evenkeel drift\"", drifted(s), shownProblems)
	rejections(&b, s, now)
	facts(&b, s, now)
	services(&b, s, now)
	list(&b, "Alarms", s.Stale, shownProblems)
	list(&b, "Warnings", s.Warnings, shownProblems)
	list(&b, "Versions of managed files that packages left beside them", s.PackageFiles, shownProblems)
	history(&b, s)
	return trimLines(b.String())
}

// trimLines takes off the blanks that an empty last column leaves.
func trimLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

func title(b *strings.Builder, text string) { fmt.Fprintf(b, "\n%s:\n", text) }

func list(b *strings.Builder, head string, lines []string, bound int) {
	if len(lines) == 0 {
		return
	}
	title(b, head)
	for i, line := range lines {
		if i == bound {
			fmt.Fprintf(b, "  and %d more: see --json\n", len(lines)-bound)
			return
		}
		fmt.Fprintf(b, "  %s\n", indented(line))
	}
}

// askedAbout are the paths that a commit is asked about, with what becomes of each.
func askedAbout(h *agent.HeldStatus) []string {
	var lines []string
	for _, p := range h.Paths {
		if slices.Contains(h.Back, p) {
			p += ": gets back what stood there before"
		}
		lines = append(lines, p)
	}
	return lines
}

// drifted are the lines about what somebody changed by hand.
func drifted(s agent.Status) []string {
	var lines []string
	for _, x := range s.Drift {
		lines = append(lines, fmt.Sprintf("%s: %s; %s", x.Name, x.How, x.Does))
	}
	if s.DriftMore > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", s.DriftMore))
	}
	if s.DriftFault != "" {
		lines = append(lines, "it could not be dealt with: "+s.DriftFault)
	}
	return lines
}

// indented keeps the further lines of a text under its first.
func indented(text string) string {
	return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

// rejections are the commits that failed here. Only of the newest one does it matter what a
// person says; the others are over. What is held is told of already.
func rejections(b *strings.Builder, s agent.Status, now time.Time) {
	var earlier []string
	for _, r := range s.Rejected {
		line := fmt.Sprintf("%s, %s ago: %s", commit(&agent.CommitStatus{Commit: r.Commit, Subject: r.Subject}), since(now, r.When), r.Reason)
		switch {
		case s.Held != nil && s.Attempt != nil && r.Commit == s.Attempt.Commit:
		case s.Target == nil || r.Commit != s.Target.Commit:
			earlier = append(earlier, line)
		default:
			title(b, "Rejected, not tried again unless you say \"evenkeel retry\"")
			fmt.Fprintf(b, "  %s\n", indented(line))
			for _, seen := range r.Evidence[:min(len(r.Evidence), shownEvidence)] {
				fmt.Fprintf(b, "    %s\n", indented(seen))
			}
		}
	}
	list(b, "Failed here before; a commit that asks for the same as one of these is not tried", earlier, shownRejected)
}

// would is what a commit that is kept back for now is going to do.
func would(b *strings.Builder, s agent.Status) {
	d := s.Deferred
	if d == nil {
		return
	}
	title(b, fmt.Sprintf("%s would do, but is %s", commit(s.Target), d.Reason))
	for _, step := range d.Steps {
		fmt.Fprintf(b, "  %s\n", indented(step))
	}
	if d.More > 0 {
		fmt.Fprintf(b, "  and %d more: see \"evenkeel plan\"\n", d.More)
	}
}

// facts is the table of single values.
func facts(b *strings.Builder, s agent.Status, now time.Time) {
	b.WriteString("\n")
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("host", "%s%s", s.Host, prefixed(", roles ", strings.Join(s.Roles, " ")))
	row("repository", "%s, %s", s.Repo, followed(s))
	contact := "never answered"
	if !s.Contact.IsZero() {
		contact = "answered " + since(now, s.Contact) + " ago"
	}
	if !s.NextLook.IsZero() && s.NextLook.After(now) {
		contact += ", next look in " + since(s.NextLook, now)
	}
	row("", "%s%s", contact, prefixed(": ", s.ContactError))
	for i, o := range s.Origins {
		name := ""
		if i == 0 {
			name = "origins"
		}
		answered := "never answered"
		if !o.Contact.IsZero() {
			answered = "answered " + since(now, o.Contact) + " ago"
		}
		row(name, "%s, %s%s%s", o.Repo, answered, prefixed(", offers ", short(o.Commit)), prefixed(": ", o.Error))
	}
	row("doing", "%s", cmp.Or(string(s.Stage), "nothing"))
	if p := s.Paused; p != nil {
		row("paused", "since %s%s: %s", ago(now, p.Since), prefixed(" until ", clockOrNothing(p.Until)), p.Reason)
	}
	if p := s.Frozen; p != nil {
		row("frozen", "since %s%s: %s", ago(now, p.Since), prefixed(" until ", clockOrNothing(p.Until)), p.Reason)
	}
	if l := s.Lock; l != nil {
		who := "somebody"
		if l.PID > 0 {
			who = fmt.Sprintf("process %d%s", l.PID, prefixed(" ", l.Process))
		}
		row("package lock", "%s holds %s since %s", who, l.Path, ago(now, l.Since))
	}
	row("last pass", "%s%s", cmp.Or(string(s.Result), "none yet"), prefixed(": ", s.Reason))
	for _, c := range []struct {
		name   string
		commit *agent.CommitStatus
	}{{"newest", s.Target}, {"applied", s.Applied}, {"good", s.Good}} {
		if c.commit == nil {
			row(c.name, "none yet")
			continue
		}
		row(c.name, "%s%s%s", commit(c.commit), prefixed(" since ", sinceOrNothing(now, c.commit.Since)), prefixed(", signed by ", c.commit.Signer))
	}
	row("evenkeel", "%s, process %d", s.Version, s.PID)
	table.Flush()
}

func sinceOrNothing(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	return ago(now, then)
}

func services(b *strings.Builder, s agent.Status, now time.Time) {
	if len(s.Units) == 0 {
		return
	}
	title(b, "Services")
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, unit := range s.Units {
		why := ""
		if unit.Why != "" {
			why = fmt.Sprintf("started by evenkeel %s ago: %s", since(now, unit.Restarted), unit.Why)
		}
		fmt.Fprintf(table, "  %s\t%s%s\t%s\t%s\n", unit.Name, unit.Active, prefixed(", ", unit.Problem), prefixed("for ", durationOrNothing(now, unit.Since)), why)
	}
	table.Flush()
}

func durationOrNothing(now, then time.Time) string {
	if then.IsZero() {
		return ""
	}
	return since(now, then)
}

func history(b *strings.Builder, s agent.Status) {
	if len(s.History) == 0 {
		return
	}
	title(b, "Last passes that did something, newest first")
	for i, entry := range s.History {
		if i == shownHistory {
			fmt.Fprintf(b, "  and %d more: see --json\n", len(s.History)-shownHistory)
			return
		}
		fmt.Fprintf(b, "  %s  %s  %s%s\n", entry.When.Format("2006-01-02 15:04:05"), entry.Result,
			commit(&agent.CommitStatus{Commit: entry.Commit, Subject: entry.Subject}), prefixed(": ", indented(entry.Reason)))
		for _, restart := range entry.Restarts {
			fmt.Fprintf(b, "    %s\n", indented(restart))
		}
	}
}

// followed names what of the repository is followed.
func followed(s agent.Status) string {
	switch {
	case s.Pinned != "":
		return "commit " + short(s.Pinned)
	case s.Tag != "":
		return "tag " + s.Tag
	}
	return "branch " + s.Branch
}
