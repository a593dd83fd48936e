package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// Bounds of the page. GitHub takes comments of 65,536 characters; what is over
// that would be refused as a whole, so the page says itself what it leaves out.
const (
	maxPage    = 65_000
	maxHeads   = 48_000 // of that for what happens, so that it does not all go to diffs
	maxListed  = 20     // hosts named in one heading
	maxSteps   = 40     // of one group
	maxHints   = 20     // problems, warnings and the like in one list
	maxWord    = 300    // characters of one line
	spaceToEnd = 400    // for what is said at the end
)

// page is Markdown for a comment on a pull request.
type page struct {
	b    strings.Builder
	left int // characters that may still be written
}

func (p *page) write(text string) {
	p.b.WriteString(text)
	p.left -= len(text)
}

// markdown says what the changes are. Problems and new warnings come with them:
// the comment is all that a reviewer sees.
func (c *changes) markdown(problems manifest.Problems, warnings []plan.Warning) string {
	p := &page{left: maxPage - spaceToEnd}
	p.write("## What this does to the hosts\n\n" + c.summary())
	p.write(bullets(fmt.Sprintf("**%s**: hosts with one of them refuse this.", count(len(problems), "problem")), problems, p.left/4))
	p.write(bullets("**Hosts that refuse this, and stay as they are:**", c.Refused, p.left/4))
	p.write(bullets("**Hosts that the repository has nothing for any more: they refuse it, and stay as they are:**", c.Gone, p.left/4))
	p.write(bullets("**New warnings:**", warnings, p.left/4))
	shown := c.heads(maxHeads - (maxPage - spaceToEnd - p.left))
	room := p.left
	for _, head := range shown {
		room -= len(head)
	}
	for i, head := range shown {
		p.write(head)
		diffs := c.Groups[i].diffs(room)
		room -= len(diffs)
		p.write(diffs)
	}
	if cut := c.Groups[len(shown):]; len(cut) > 0 {
		hosts := 0
		for _, g := range cut {
			hosts += len(g.Hosts)
		}
		p.write(fmt.Sprintf("\n**Not shown**, because a comment may not be longer: %s in %s. `--format json` has them all.\n",
			count(hosts, "more host"), count(len(cut), "other group")))
	}
	p.write(c.unknown())
	return p.b.String()
}

func (c *changes) summary() string {
	what := fmt.Sprintf("**%d of %s change.**", len(c.changed), count(len(c.hosts), "host"))
	switch {
	case len(c.changed) == 1:
		what = fmt.Sprintf("**1 of %s changes.**", count(len(c.hosts), "host"))
	case len(c.hosts) == 0:
		what = "**nothing could be compared.**"
	case len(c.changed) == 0:
		what = "**no host changes.**"
	}
	if len(c.hosts) == 0 && len(c.Refused) > 0 {
		what = ""
	}
	switch n := len(c.Refused); n {
	case 0:
	case 1:
		what = strings.TrimLeft(what+" **1 host refuses this.**", " ")
	default:
		what = strings.TrimLeft(fmt.Sprintf("%s **%d hosts refuse this.**", what, n), " ")
	}
	if len(c.Groups) > 1 {
		what += " Hosts on which the same happens stand together."
	}
	return fmt.Sprintf("Compared with %s, %s: %s\n", code(c.Base), code(short(c.Commit)+" "+c.Subject), what)
}

// unknown says what the page cannot know, as far as it matters here.
func (c *changes) unknown() string {
	for _, g := range c.Groups {
		for _, s := range g.plan.Paths {
			if s.To.Kind == plan.Absent {
				return "\nA file that stood at a path before evenkeel came takes its place again when the path leaves the repository.\n"
			}
		}
	}
	return ""
}

// heads are the groups with their steps, as many as there is room for.
func (c *changes) heads(room int) []string {
	var out []string
	for _, g := range c.Groups {
		head := g.head()
		if room -= len(head); room < 0 {
			break
		}
		out = append(out, head)
	}
	return out
}

func (g *change) head() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s%s\n\n", named(g.Hosts), map[bool]string{true: ": new"}[g.New])
	for i, step := range g.Steps {
		if i == maxSteps {
			fmt.Fprintf(&b, "\nand %s.\n", count(len(g.Steps)-maxSteps, "more step"))
			break
		}
		fmt.Fprintf(&b, "%d. %s\n", i+1, code(step))
	}
	if g.differs {
		fmt.Fprintf(&b, "\nFiles differ from host to host; the diffs are those of %s.\n", code(g.first))
	}
	b.WriteString(bullets("Watched otherwise from now on:", g.Health, maxHeads/4))
	b.WriteString(bullets("To know:", g.Notes, maxHeads/4))
	return b.String()
}

// named lists hosts in a heading: those as they are named first, then those
// under labels and facts that were tried, hosts with the same ones together.
func named(hosts []string) string {
	tried := map[string][]string{} // host -> what was tried
	for _, name := range hosts {
		host, what, _ := strings.Cut(strings.TrimSuffix(name, ")"), triedMark)
		tried[host] = append(tried[host], what)
	}
	together := map[string][]string{}
	for _, host := range slices.Sorted(maps.Keys(tried)) {
		what := strings.Join(tried[host], "; or ")
		together[what] = append(together[what], host)
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(together)) {
		part := listed(together[what])
		if what != "" {
			part += " if " + code(what)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

func listed(hosts []string) string {
	words := make([]string, 0, min(len(hosts), maxListed))
	for _, h := range hosts[:min(len(hosts), maxListed)] {
		words = append(words, code(h))
	}
	if more := len(hosts) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(words, ", "), more)
	}
	return strings.Join(words, ", ")
}

// bullets is a list with a sentence in front, "" when it is empty.
func bullets[T any](sentence string, items []T, room int) string {
	if len(items) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	if sentence != "" {
		b.WriteString(sentence + "\n\n")
	}
	for i, item := range items {
		line := fmt.Sprintf("- %s\n", code(fmt.Sprint(item)))
		if i == maxHints || b.Len()+len(line) > room {
			fmt.Fprintf(&b, "- and %d more\n", len(items)-i)
			break
		}
		b.WriteString(line)
	}
	return b.String()
}

func (h hostProblem) String() string {
	if h.told {
		return h.Host
	}
	return h.Host + ": " + h.Problem
}

// diffs shows the files of a group, folded, as far as there is room. Those that
// are left out are named.
func (g *change) diffs(room int) string {
	const open, end = "\n<details><summary>%s</summary>\n", "\n</details>\n"
	var body strings.Builder
	shown, left := 0, 0
	room -= len(open) + len(end) + 100 // and what names the ones left out
	for _, f := range g.Files {
		if f.Diff == "" {
			continue
		}
		text := "\n" + fenced(strings.TrimRight(f.Diff, "\n")) + "\n"
		if f.Origin != "" {
			text = "\n" + code(f.Origin) + "\n" + text
		}
		if body.Len()+len(text) > room {
			left++
			continue
		}
		shown++
		body.WriteString(text)
	}
	switch {
	case shown+left == 0 || room < 0:
		return ""
	case left > 0:
		fmt.Fprintf(&body, "\n**Not shown**, because a comment may not be longer: %s.\n", count(left, "diff"))
	}
	return fmt.Sprintf(open, count(shown+left, "changed file")) + body.String() + end
}

// fenced is a diff in a code block. The fence is longer than any in the text, so
// that nothing in a file can end it.
func fenced(text string) string {
	longest, run := 0, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", max(3, longest+1))
	return fence + "diff\n" + printableText(text) + "\n" + fence
}

// code is a text in a line of Markdown, as it is.
func code(text string) string {
	return "`" + strings.ReplaceAll(cutText(strings.ReplaceAll(printableText(text), "\n", " "), maxWord), "`", "'") + "`"
}

func cutText(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}

// printableText leaves out what a terminal or a browser would act on: control
// characters, and those that turn the direction of text around.
func printableText(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return '\uFFFD'
		}
		return r
	}, text)
}
