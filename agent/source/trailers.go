package source

import (
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// Trailer is a line of a commit's message that is meant for evenkeel, such as
// "Evenkeel-On-Failure: hold".
type Trailer struct {
	Commit string `json:"commit"`
	Key    string `json:"key"` // in lower case
	Value  string `json:"value"`
	// Loose says that it stands in the text and not in a last paragraph of nothing but
	// trailers: a forge that squashes commits leaves it so, and it may be a quotation.
	Loose bool `json:"loose,omitempty"`
}

const (
	maxTrailers = 100
	maxMessages = 1000 // that are read
)

// ourTrailer is bounded, like everything else that comes from a message.
var ourTrailer = regexp.MustCompile(`^((?i)evenkeel-[a-z-]{1,40}):[ \t]*([ -~]{0,100})$`)

var anyTrailer = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9-]*:[ \t]|\(cherry picked from commit |[ \t])`)

// Trailers gives the trailers of the commits that new has and old has not, those
// of new itself first. Without an old one it gives those of new alone.
// Errors are of type *Error.
func (r *Repo) Trailers(old, new string) ([]Trailer, error) {
	after, err := parseHash(new)
	before := plumbing.ZeroHash
	if err == nil && old != "" {
		before, err = parseHash(old)
	}
	if err != nil {
		return nil, public("read the messages up to", new, credentials{}, err)
	}
	known := map[plumbing.Hash]bool{}
	if old != "" {
		r.walk(before, maxWalk, func(hash plumbing.Hash, _ bool) step {
			known[hash] = true
			return descend
		})
	}
	var all []Trailer
	r.walk(after, maxMessages, func(hash plumbing.Hash, here bool) step {
		if known[hash] || !here {
			return skip
		}
		if c, err := r.commit(hash); err == nil {
			all = append(all, trailersOf(hash.String(), c.message)...)
		}
		if old == "" || len(all) >= maxTrailers {
			return stop
		}
		return descend
	})
	return all, nil
}

// trailersOf reads a message. Its first line is the subject, whatever it says.
func trailersOf(commit, message string) []Trailer {
	text := strings.TrimSpace(strings.ReplaceAll(message, "\r\n", "\n"))
	lines := strings.Split(text, "\n")
	block := len(lines) // where the last paragraph begins, if it is one of trailers
	for block > 1 && anyTrailer.MatchString(lines[block-1]) {
		block--
	}
	if block == 1 || lines[block-1] != "" {
		block = len(lines)
	}
	var all []Trailer
	for i, line := range lines[1:] {
		if word := ourTrailer.FindStringSubmatch(strings.TrimRight(line, " \t")); word != nil {
			all = append(all, Trailer{Commit: commit, Key: strings.ToLower(word[1]), Value: word[2], Loose: i+1 < block})
		}
	}
	return all
}

// allowPrune is the trailer by which the author of a commit says that the many
// paths which it takes away are meant.
const allowPrune = "evenkeel-allow-prune"

// allowsPrune reports whether a commit message has the trailer
// "Evenkeel-Allow-Prune: true". A quotation does not count: where the trailer is
// missed, evenkeel only asks.
func allowsPrune(message string) bool {
	return slices.ContainsFunc(trailersOf("", message), func(t Trailer) bool {
		return t.Key == allowPrune && strings.EqualFold(t.Value, "true") && !t.Loose
	})
}
