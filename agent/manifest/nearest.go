package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// DidYouMean is a hint with the known word nearest to what was written, "" when
// none is near.
func DidYouMean(written string, known []string) string { return didYouMean(written, known) }

// didYouMean is a hint with the known word nearest to what was written, "" when
// none is near.
func didYouMean(written string, known []string) string {
	if near := nearest(written, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// nearest finds the known word that a slip of the finger away would be.
func nearest(written string, known []string) string {
	words := slices.Clone(known)
	slices.Sort(words)
	best, bestDistance := "", 0
	for _, word := range words {
		if word == written {
			continue // whatever is wrong, it is not the spelling
		}
		d := distance(strings.ToLower(written), strings.ToLower(word))
		if best == "" || d < bestDistance {
			best, bestDistance = word, d
		}
	}
	if best == "" || bestDistance > slips(written) {
		return ""
	}
	return best
}

// slips is how many slips a word of this length may hold and still be guessed.
func slips(word string) int {
	switch n := len(word); {
	case n <= 3:
		return 1
	case n <= 6:
		return 2
	default:
		return 3
	}
}

// maxGuess is the length over which words are not compared: nobody mistypes
// those, and the cost is the product of the lengths.
const maxGuess = 128

// distance counts insertions, deletions, changes and swaps of neighbours
// (optimal string alignment).
func distance(a, b string) int {
	if len(a) > maxGuess || len(b) > maxGuess {
		return maxGuess
	}
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
