package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// maxFactsBytes bounds a file of facts. A host with hundreds of interfaces has
// some kilobytes.
const maxFactsBytes = 1 << 20

// ParseFacts reads what "evenkeel facts --json" prints, so that any machine can
// give the answer that the host itself would. A misspelt fact would be a missing
// one, so unknown names are errors.
func ParseFacts(text []byte) (Facts, error) {
	if len(text) > maxFactsBytes {
		return Facts{}, fmt.Errorf("more than %d bytes", maxFactsBytes)
	}
	in := json.NewDecoder(bytes.NewReader(text))
	in.DisallowUnknownFields()
	var f Facts
	if err := in.Decode(&f); err != nil {
		return Facts{}, errors.New(factsFault(text, in.InputOffset(), err))
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return Facts{}, errors.New("more than one value: the facts of one host stand in one file")
	}
	if fault := badHostName(f.Name); fault != "" {
		return Facts{}, errors.New(fault)
	}
	return f, nil
}

// factsFault says in which line a fault is, as far as the decoder knows.
func factsFault(text []byte, offset int64, err error) string {
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the file ends too early"
	case errors.As(err, &syntax):
		return fmt.Sprintf("line %d: not valid JSON: %v", lineAt(text, syntax.Offset), err)
	case errors.As(err, &wrong):
		return fmt.Sprintf("line %d: %s: a %s is needed here, found a %s", lineAt(text, wrong.Offset), wrong.Field, jsonWord(wrong), wrong.Value)
	}
	if m := unknownFact.FindStringSubmatch(err.Error()); m != nil {
		hint := didYouMean(m[1], mapKeys(Facts{}.Values()))
		return strings.TrimRight(fmt.Sprintf("line %d: unknown fact %q; %s", lineAt(text, offset), m[1], hint), "; ")
	}
	return fmt.Sprintf("line %d: %v", lineAt(text, offset), err)
}

// unknownFact takes the name out of the decoder's message, for which it has no type.
var unknownFact = regexp.MustCompile(`^json: unknown field "(.*)"$`)

func jsonWord(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "string":
		return "text"
	case "map", "struct":
		return "mapping"
	case "slice":
		return "list"
	}
	return "whole number"
}

func lineAt(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(max(offset, 0), int64(len(text)))], []byte("\n"))
}

// badHostName says what is wrong with a host's name, "" when it can stand in
// hosts/NAME.yaml.
func badHostName(name string) string {
	if name == "" {
		return "there is no name: the host's name in fleet.yaml"
	}
	if strings.ContainsAny(name, "/\\") || name == "." || name == ".." {
		return fmt.Sprintf("%q is not a host name", name)
	}
	return ""
}
