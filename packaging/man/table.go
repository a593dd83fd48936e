package main

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

var rule = regexp.MustCompile(`^\|(-+\|)+$`)

// table writes each row as a list's entry: the first cell names it, the second
// says what it is, and further ones have their column's name before them. A
// table of tbl(1) would have to fit a terminal of every width.
func (w *writer) table(lines []line, _ string) error {
	if len(lines) < 3 || !rule.MatchString(lines[1].text) {
		return lines[0].fault("a table has a line of names, a line |---|---|, and rows")
	}
	names := cells(lines[0])
	rows := lines[2:]
	indent := 0
	for _, row := range rows {
		if n := len(cells(row)); n != len(names) || n < 2 {
			return row.fault("the row has %d cells, and there are %d names", n, len(names))
		}
		if n := utf8.RuneCountInString(plain(cells(row)[0])) + 2; n <= 24 {
			indent = max(indent, n)
		}
	}
	indent = max(indent, 7)
	for i, row := range rows {
		if err := w.row(row, names, indent); err != nil {
			return err
		}
		if i == 0 { // no blank lines between the rows
			w.put(".PD 0")
		}
	}
	w.put(".PD")
	return nil
}

func (w *writer) row(l line, names []string, indent int) error {
	var texts []string
	for i, cell := range cells(l) {
		if i > 1 && cell != "" {
			cell = names[i] + ": " + cell
		}
		text, err := inline([]line{l}, cell)
		if err != nil {
			return err
		}
		if text != "" {
			texts = append(texts, text)
		}
	}
	w.put(".TP %d\n%s", indent, strings.Join(texts[:2], "\n"))
	for _, text := range texts[2:] {
		w.put(".br\n%s", text)
	}
	return nil
}

// cells splits a row; \| is no border.
func cells(l line) []string {
	inner := strings.TrimSuffix(strings.TrimPrefix(l.text, "|"), "|")
	var all []string
	for _, cell := range strings.Split(strings.ReplaceAll(inner, `\|`, "\x00"), "|") {
		all = append(all, strings.TrimSpace(strings.ReplaceAll(cell, "\x00", "|")))
	}
	return all
}

// plain is a text without its marks, as wide as it will be.
func plain(text string) string { return strings.NewReplacer("`", "", "**", "").Replace(text) }
