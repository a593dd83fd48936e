package units

import (
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for _, row := range []struct {
		says, value string
		want        []string
		fails       bool
	}{
		{says: "white space parts", value: " a\tb  c ", want: []string{"a", "b", "c"}},
		{says: "nothing", value: "  ", want: nil},
		{says: "double and single quotes", value: `"a b" 'c d'`, want: []string{"a b", "c d"}},
		{says: "one kind of quote inside the other", value: `"it's" 'say "x"'`, want: []string{"it's", `say "x"`}},
		{says: "an empty word", value: `a "" b`, want: []string{"a", "", "b"}},
		{says: "a quote in the middle of a word", value: `--x="a b" c`, want: []string{"--x=a b", "c"}},
		{says: "escapes", value: `a\sb\tc\x41\101 \u00e4\U0001F600 \"\\`, want: []string{"a b\tcAA", "ä😀", `"\`}},
		{says: "an escape inside quotes", value: `"a\"b" 'c\'d'`, want: []string{`a"b`, `c'd`}},
		{says: "an unknown escape stays", value: `\d \. \;`, want: []string{`\d`, `\.`, `\;`}},
		{says: "a number that is cut short stays", value: `\x4 \u12 \7`, want: []string{`\x4`, `\u12`, `\7`}},
		{says: "NUL is no escape", value: `\x00 \000`, want: []string{`\x00`, `\000`}},
		{says: "a backslash at the end", value: `a\`, want: []string{`a\`}},
		{says: "a quote without its partner", value: `a "b c`, fails: true},
	} {
		t.Run(row.says, func(t *testing.T) {
			got, err := Words(row.value)
			if (err != nil) != row.fails || !slices.Equal(got, row.want) {
				t.Errorf("Words(%q) = %q, %v, want %q", row.value, got, err, row.want)
			}
		})
	}
}

func FuzzWords(f *testing.F) {
	for _, seed := range []string{"", "a b", `"a b"`, `'`, `\x41`, `\`, `"\"`, "-@:/bin/sh -c 'x y'", `\U00110000`, "\xff\\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		words, err := Words(value)
		if err != nil {
			if words != nil || !strings.ContainsAny(value, `"'`) {
				t.Fatalf("Words(%q) = %q, %v", value, words, err)
			}
			return
		}
		// Each word, quoted, reads as itself.
		var quoted []string
		for _, word := range words {
			quoted = append(quoted, `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word)+`"`)
		}
		again, err := Words(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(words, again) {
			t.Fatalf("Words(%q) = %q, quoted %q, %v", value, words, again, err)
		}
	})
}
