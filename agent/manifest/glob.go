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

// covers reports whether a pattern names the path or a directory above it.
// What cannot be matched covers nothing.
func covers(pattern, name string) bool {
	return matchParts(components(pattern), components(name), true)
}

func components(p string) []string {
	p = strings.Trim(p, "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

// matchParts compares component by component. With below, a pattern that ends
// before the name does still matches. Each "**" is tried at every place, so the
// work is bounded by the number of components to the power of the "**" in the
// pattern; maxStars keeps that small.
func matchParts(pattern, name []string, below bool) bool {
	return matchStars(pattern, name, below, maxStars)
}

// maxStars is how many "**" of a pattern are honoured; more match as one
// component each.
const maxStars = 3

func matchStars(pattern, name []string, below bool, stars int) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" && stars > 0 {
			for skip := 0; skip <= len(name); skip++ {
				if matchStars(pattern[1:], name[skip:], below, stars-1) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], name[0]); err != nil || !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return below || len(name) == 0
}
