package manifest

import (
	"maps"
	"slices"
	"strings"
)

// What programs say about a host's files may quote them. So a target comes with
// the words that its secrets are made of, for the agent to take out of such text.

const (
	minSecretLine = 4 // bytes of a line, or of a whole value, that is taken out
	minSecretWord = 6 // of a part of one: shorter ones are in every sentence
	maxSecretSize = 4 << 20
)

// words collects what to take out.
type words struct {
	set  map[string]bool
	size int
}

func (w *words) add(word string, least int) {
	if len(word) < least || w.set[word] || w.size > maxSecretSize {
		return
	}
	if w.set == nil {
		w.set = map[string]bool{}
	}
	w.set[word] = true
	w.size += len(word)
}

// secret adds a text that is secret as a whole.
func (w *words) secret(text string) {
	for line := range strings.Lines(text) {
		w.add(strings.TrimSpace(line), minSecretLine)
		for _, part := range parts(line) {
			w.add(part, minSecretWord)
		}
	}
}

// made adds what a template made of secrets: all that is neither in what it gives
// without them nor in the template itself.
func (w *words) made(template string, out, without []byte) {
	public := map[string]bool{}
	for _, text := range []string{template, string(without)} {
		for _, part := range parts(text) {
			public[part] = true
		}
	}
	for _, part := range parts(string(out)) {
		if !public[part] {
			w.add(part, minSecretWord)
		}
	}
}

// list gives the words, longer ones first; nil when they are too many to be of use.
func (w *words) list() []string {
	if w.size > maxSecretSize {
		return nil
	}
	return slices.SortedFunc(maps.Keys(w.set), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
}

// parts splits a text where config files and messages do.
func parts(text string) []string {
	return strings.FieldsFunc(text, func(c rune) bool {
		return c <= ' ' || strings.ContainsRune("\"'`=:,;<>()[]{}@/?&|", c)
	})
}
