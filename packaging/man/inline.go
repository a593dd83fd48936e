package main

import (
	"regexp"
	"strings"
)

// link is what Markdown shows as text that leads elsewhere. On paper it leads
// nowhere, so a page names what it means.
var link = regexp.MustCompile(`^!?\[[^\]]*\](\(|\[)`)

// inline is a text with its marks as fonts: **strong** and `code` are bold,
// *names* to replace are italic.
func inline(at []line, text string) (string, error) {
	var out strings.Builder
	bold, italic := false, false
	font := func() {
		out.WriteString(map[[2]bool]string{{true, false}: `\fB`, {false, true}: `\fI`, {true, true}: `\f(BI`, {false, false}: `\fR`}[[2]bool{bold, italic}])
	}
	start := text
	for text != "" {
		switch {
		case text[0] == '\\' && len(text) > 1:
			out.WriteString(escaped(text[1:2], bold))
			text = text[2:]
		case text[0] == '`':
			end := strings.IndexByte(text[1:], '`')
			if end < 0 {
				return "", at[0].fault("a ` has no other one after it")
			}
			out.WriteString(`\fB` + escaped(text[1:end+1], true))
			font()
			text = text[end+2:]
		case strings.HasPrefix(text, "**"):
			bold = !bold
			font()
			text = text[2:]
		case text[0] == '*':
			italic = !italic
			font()
			text = text[1:]
		case link.MatchString(text):
			return "", at[0].fault("it has a link, %q", link.FindString(text))
		default:
			n := strings.IndexAny(text[1:], "\\`*![") + 1
			if n == 0 {
				n = len(text)
			}
			out.WriteString(escaped(text[:n], bold || italic))
			text = text[n:]
		}
	}
	if bold || italic {
		return "", at[0].fault("a * has no other one after it in %q", start)
	}
	return protected(out.String()), nil
}

// Characters that troff would take for its own or make typography of. A - stays
// a hyphen in prose only: who copies an option must get the ASCII one.
var (
	prose   = strings.NewReplacer(`\`, `\e`, `^`, `\(ha`, `~`, `\(ti`)
	literal = strings.NewReplacer(`\`, `\e`, `^`, `\(ha`, `~`, `\(ti`, `-`, `\-`, `'`, `\(aq`, "`", `\(ga`)
)

func escaped(text string, exact bool) string {
	if exact {
		return literal.Replace(text)
	}
	return prose.Replace(text)
}

// protected keeps lines that begin with a dot or a quote from being macros.
func protected(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
