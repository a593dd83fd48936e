package manifest

import (
	"path"
	"strings"
)

// validGlob reports whether a pattern can be matched. "**" stands for any
// number of whole components and may not be part of one.
func validGlob(pattern string) bool {
	for part := range strings.SplitSeq(pattern, "/") {
		if part == "**" {
			continue
		}
		if _, err := path.Match(part, ""); err != nil || strings.Contains(part, "**") {
			return false
		}
	}
	return true
}

// globHint says how a pattern that cannot be matched would be right.
func globHint(pattern string) string {
	switch {
	case strings.Count(pattern, "[") > strings.Count(pattern, "]"):
		return "a [ needs its ]: [abc] is one of three characters"
	case strings.Contains(pattern, "**"):
		return "** stands for whole components: write " + wholeComponents(pattern)
	case strings.HasSuffix(pattern, `\`):
		return `a \ takes the meaning from the character after it: write \\`
	}
	return "* ? [abc] and, as a whole component, ** may stand in it"
}

// wholeComponents writes a pattern as it was meant: /etc/**.conf is
// /etc/**/*.conf.
func wholeComponents(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, part := range parts {
		before, after, ok := strings.Cut(part, "**")
		if !ok {
			continue
		}
		parts[i] = "**"
		if before != "" {
			parts[i] = before + "*/**"
		}
		if after = strings.Trim(after, "*"); after != "" {
			parts[i] += "/*" + after
		}
	}
	return strings.Join(parts, "/")
}

// covers reports whether a pattern names the path or a directory above it.
// What cannot be matched covers nothing.
func covers(pattern, name string) bool {
	if !strings.ContainsAny(pattern, "*?[\\") { // most are plain paths, and there are many
		return pattern == "/" || name == pattern || strings.HasPrefix(name, pattern) && name[len(pattern)] == '/'
	}
	return matchBelow(components(pattern), components(name))
}

func components(p string) []string {
	p = strings.Trim(p, "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

// matchBelow compares component by component: reached[i] says that the pattern
// so far can stand for the first i components of the name. A pattern that ends
// before the name does matches, because it names a directory above.
func matchBelow(pattern, name []string) bool {
	reached := make([]bool, len(name)+1)
	reached[0] = true
	for _, part := range pattern {
		next := make([]bool, len(name)+1)
		any := false
		for i := range next {
			switch {
			case part == "**":
				next[i] = reached[i] || i > 0 && next[i-1]
			case i > 0 && reached[i-1]:
				next[i], _ = path.Match(part, name[i-1]) // what is no pattern matches nothing
			}
			any = any || next[i]
		}
		if !any {
			return false
		}
		reached = next
	}
	return true
}
