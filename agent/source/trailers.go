package source

import (
	"regexp"
	"strings"
)

// allowPrune is the trailer by which the author of a commit says that the many
// paths which it takes away are meant.
const allowPrune = "evenkeel-allow-prune"

var trailer = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9-]*):[ \t]*(.*)$`)

// allowsPrune reports whether a commit message has the trailer
// "Evenkeel-Allow-Prune: true". Trailers are the last paragraph, when it is not
// the first one and nothing else stands in it: as git-interpret-trailers(1)
// reads them, but stricter, because a trailer that is missed only asks.
func allowsPrune(message string) bool {
	paragraphs := strings.Split(strings.TrimSpace(strings.ReplaceAll(message, "\r\n", "\n")), "\n\n")
	if len(paragraphs) < 2 {
		return false
	}
	allowed := false
	for line := range strings.Lines(strings.TrimSpace(paragraphs[len(paragraphs)-1])) {
		line = strings.TrimRight(line, " \t\n")
		word := trailer.FindStringSubmatch(line)
		switch {
		case word != nil:
			allowed = allowed || strings.EqualFold(word[1], allowPrune) && strings.EqualFold(word[2], "true")
		case strings.HasPrefix(line, " "), strings.HasPrefix(line, "\t"), strings.HasPrefix(line, "(cherry picked from commit "):
		default:
			return false
		}
	}
	return allowed
}
