package health

import (
	"strings"
	"testing"
)

// TestLastWordsAreTheLast: the banner of a server filled the evidence, and the line
// that said why it gave up was cut off.
func TestLastWordsAreTheLast(t *testing.T) {
	banner := "started, " + strings.Repeat("and so on ", 40)
	for _, row := range []struct{ text, want string }{
		{"", ""},
		{"one\n", "one"},
		{"one\n\n two\tthree \x1b[0m\n", "one\ntwo three [0m"},
		{banner + "\n" + banner + "\nwarning\nAddress already in use\n", strings.TrimSpace(banner) + "\nwarning\nAddress already in use"},
		{strings.Repeat("x", 2000), strings.Repeat("x", evidenceLimit) + "..."},
	} {
		if got := lastWords(row.text); got != row.want {
			t.Errorf("lastWords(%q) =\n%q, want\n%q", row.text, got, row.want)
		}
	}
}
