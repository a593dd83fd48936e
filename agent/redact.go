package agent

import (
	"slices"
	"strings"
)

const (
	redacted = "[redacted]"
	unshown  = "[not shown: it may quote a secret]"
	minTail  = 4 // bytes of a secret that is cut off at the end of a text
)

// redactor takes the secrets of a target out of what programs say: validators and
// checks quote config files, and status and record are no place for secrets.
type redactor struct {
	words    []string // of the newest target, and of the one before it
	recent   int      // how many of words are the newest's
	replacer *strings.Replacer
}

// learn adds the secrets of a target that is about to be applied. Those of the
// one before stay known: its processes may still run.
func (r *redactor) learn(words []string) {
	if slices.Equal(words, r.words[:r.recent]) {
		return
	}
	r.words = append(append([]string(nil), words...), r.words[:r.recent]...)
	r.recent = len(words)
	pairs := make([]string, 0, 2*len(r.words))
	for _, word := range r.words {
		pairs = append(pairs, word, redacted)
	}
	r.replacer = strings.NewReplacer(pairs...)
}

// redact cleans a text about a host with such secret files. A daemon that was
// started since does not know the secrets, and shows nothing of the text.
func (r *redactor) redact(text string, secret map[string]bool) string {
	switch {
	case len(secret) == 0 && len(r.words) == 0, text == "":
		return text
	case r.recent == 0 && len(secret) > 0:
		return unshown
	}
	return r.withoutTail(r.replacer.Replace(text))
}

// said is redact for what a validator says. Of a secret file nothing is shown: it
// may be quoted in pieces.
func (r *redactor) said(text, path string, secret map[string]bool) string {
	if secret[path] && text != "" {
		return unshown
	}
	return r.redact(text, secret)
}

// withoutTail takes off the beginning of a secret at the end of a text that was
// cut short.
func (r *redactor) withoutTail(text string) string {
	body, cut := strings.CutSuffix(text, "...")
	if !cut {
		return text
	}
	for _, word := range r.words {
		for n := min(len(word)-1, len(body)); n >= minTail; n-- {
			if strings.HasSuffix(body, word[:n]) {
				return body[:len(body)-n] + redacted
			}
		}
	}
	return text
}
