package source

import "testing"

func TestAllowsPrune(t *testing.T) {
	for _, row := range []struct {
		about, message string
		want           bool
	}{
		{"the trailer alone after the subject", "Drop the old site\n\nEvenkeel-Allow-Prune: true\n", true},
		{"among other trailers, in other letters", "Drop it\n\nIt is old.\n\nSigned-off-by: A <a@example.com>\nevenkeel-allow-prune: True\n(cherry picked from commit 0123)\n", true},
		{"with the line ends of another system", "Drop it\r\n\r\nEvenkeel-Allow-Prune: true\r\n", true},
		{"a continued trailer beside it", "Drop it\n\nReviewed-by: A\n and B\nEvenkeel-Allow-Prune: true\n", true},
		{"no trailer", "Drop the old site\n", false},
		{"an empty message", "", false},
		{"another value", "Drop it\n\nEvenkeel-Allow-Prune: maybe\n", false},
		{"in the subject, which is no trailer", "Evenkeel-Allow-Prune: true\n", false},
		{"quoted in the text", "Explain it\n\nWrite\nEvenkeel-Allow-Prune: true\nin the message.\n", false},
		{"in a paragraph that others follow", "Drop it\n\nEvenkeel-Allow-Prune: true\n\nNo, wait.\n", false},
	} {
		if got := allowsPrune(row.message); got != row.want {
			t.Errorf("%s: %q: %v, want %v", row.about, row.message, got, row.want)
		}
	}
}
