package units

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// errQuote is a quote without its partner. systemd ignores such a line.
var errQuote = errors.New("unbalanced quotes")

// Words splits a value as systemd splits command lines and lists: at white
// space, with single and double quotes and the C-style escapes of
// systemd.syntax(7) taken away. An escape that is not in its table stands as it
// is, as with systemd.
func Words(value string) ([]string, error) {
	var words []string
	for {
		value = strings.TrimLeft(value, " \t\n\r")
		if value == "" {
			return words, nil
		}
		word, rest, err := firstWord(value)
		if err != nil {
			return nil, err
		}
		words = append(words, word)
		value = rest
	}
}

// FirstWords gives at most so many words of a value, which are split before the rest of it
// is looked at.
func FirstWords(value string, most int) ([]string, error) {
	var words []string
	for value = strings.TrimLeft(value, " \t\n\r"); value != "" && len(words) < most; value = strings.TrimLeft(value, " \t\n\r") {
		word, rest, err := firstWord(value)
		if err != nil {
			return words, err
		}
		words, value = append(words, word), rest
	}
	return words, nil
}

func firstWord(s string) (word, rest string, err error) {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\\':
			text, n := unescapeC(s[i:])
			b.WriteString(text)
			i += n
			continue
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			return b.String(), s[i:], nil
		default:
			b.WriteByte(c)
		}
		i++
	}
	if quote != 0 {
		return "", "", errQuote
	}
	return b.String(), "", nil
}

// unescapeC reads one escape at the start of s and gives its text and length.
// The semicolon keeps its backslash: it is what tells an argument ";" from the
// one that ends a command.
func unescapeC(s string) (text string, length int) {
	if len(s) < 2 {
		return s, len(s)
	}
	if i := strings.IndexByte(`abfnrtvs\"'`, s[1]); i >= 0 {
		return "\a\b\f\n\r\t\v \\\"'"[i : i+1], 2
	}
	switch s[1] {
	case 'x':
		return numberEscape(s, 2, 2, 16)
	case 'u':
		return numberEscape(s, 2, 4, 16)
	case 'U':
		return numberEscape(s, 2, 8, 16)
	case '0', '1', '2', '3', '4', '5', '6', '7':
		return numberEscape(s, 1, 3, 8)
	}
	return s[:1], 1
}

// numberEscape reads count digits after skip bytes; a number that is no
// character, or NUL, leaves the backslash as it is.
func numberEscape(s string, skip, count int, base uint32) (text string, length int) {
	if len(s) < skip+count {
		return s[:1], 1
	}
	var n uint32
	for i := skip; i < skip+count; i++ {
		d := digit(s[i])
		if d >= base {
			return s[:1], 1
		}
		n = n*base + d
	}
	if skip == 1 || count == 2 {
		if n == 0 || n > 255 {
			return s[:1], 1
		}
		return string([]byte{byte(n)}), skip + count
	}
	if n == 0 || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return s[:1], 1
	}
	return string(rune(n)), skip + count
}

// digit gives the value of a hexadecimal digit, 255 for another byte.
func digit(c byte) uint32 {
	switch {
	case c >= '0' && c <= '9':
		return uint32(c - '0')
	case c >= 'a' && c <= 'f':
		return uint32(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return uint32(c-'A') + 10
	}
	return 255
}
