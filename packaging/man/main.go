// Command man makes a man page of a page of docs/: Markdown in, man macros out.
//
// It reads the little Markdown that those pages are written in, and refuses
// what it does not know: a page that would come out damaged is an error of the
// build, with the line. It never guesses, and reads nothing but its input.
// Start reading at page, in page.go.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	if err := convert(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

func convert(in io.Reader, out io.Writer) error {
	content, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	made, err := page(string(content))
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, made)
	return err
}
