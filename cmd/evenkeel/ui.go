package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// ui is the only way to talk to people. The answer to what was asked goes to
// out, so it can be piped; what went wrong goes to err, under the program's
// name, with a hint when we have one. Lines end without an exclamation mark and
// carry no colours: they are read in journals and tickets too.
type ui struct {
	out, err io.Writer
}

// say prints one line of the answer.
func (u ui) say(format string, args ...any) {
	fmt.Fprintf(u.out, format+"\n", args...)
}

// text prints a part of the answer that has its own line ends.
func (u ui) text(text string) {
	_, _ = io.WriteString(u.out, text)
}

// json prints the answer for scripts.
func (u ui) json(v any) error {
	encoder := json.NewEncoder(u.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// warn prints what does not stop the verb.
func (u ui) warn(format string, args ...any) {
	fmt.Fprintf(u.err, "evenkeel: warning: "+format+"\n", args...)
}

// note prints what a person should know and nothing is wrong with.
func (u ui) note(format string, args ...any) {
	fmt.Fprintf(u.err, "evenkeel: note: "+format+"\n", args...)
}

// fail prints why the verb ends here, each line of it under the program's name.
func (u ui) fail(err error, hint string) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(u.err, "evenkeel: %s\n", strings.TrimRight(line, "\n"))
	}
	if hint != "" {
		fmt.Fprintf(u.err, "evenkeel: hint: %s\n", hint)
	}
}
