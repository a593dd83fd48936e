package manifest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// beyondGolden are messages that no repository in a txtar file brings about, with
// the reason.
func beyondGolden() map[string]string {
	return map[string]string{
		"the template cannot be run":                      "stands for a panic of text/template",
		"<%s> cannot be evaluated":                        "stands for messages that a later text/template may have",
		"the schema cannot be used: %v":                   "stands for a panic of the library, or a message that a later one may have",
		"is not as the schema says":                       "stands for a kind of violation that a later library may have",
		"toYaml: the value cannot be written as YAML":     "no value of a template is of such a kind",
		"toJson: the value cannot be written as JSON":     "no value of a template is of such a kind",
		"toToml: the value cannot be written as TOML":     "no value of a template is of such a kind",
		"a path must be UTF-8":                            "fs.FS has no other paths",
		"and %d more problems":                            "TestManyProblemsAreBounded",
		"the file has %d bytes, more than the %d allowed": "TestALongYAMLFileIsNotParsed",

		"this file is written in a way that cannot be added to without changing something else": "TestEditRole",
		"%q cannot be added to":                                                                                 "TestEditRole",
		"it says %s: %s for %q, and on this host it is %v":                                                      "TestEditRole",
		"it says that the link %q leads to %q, and on this host it leads to %q":                                 "TestEditRole",
		"%q cannot be brought by a repository: .gitkeep only keeps a directory there":                           "TestFileForIsTheReverseOfLoad",
		"%q cannot be brought by a repository as it is: a name that ends in %s stands for something else there": "TestFileForIsTheReverseOfLoad",
	}
}

// Every message that the package can give stands in the "want" of a golden case:
// read as a newcomer would read it, and kept from changing unseen.
func TestGoldenCasesHaveEveryMessage(t *testing.T) {
	wants := goldenWants(t)
	beyond := beyondGolden()
	messages := messagesOf(t)
	if len(messages) < 100 {
		t.Fatalf("only %d messages were found in the code", len(messages))
	}
	for _, m := range messages {
		seen := m.pattern.MatchString(wants)
		why, exempt := beyond[m.format]
		switch {
		case !seen && !exempt:
			t.Errorf("%s: no golden case has the message %q", m.place, m.format)
		case seen && exempt:
			t.Errorf("%s: a golden case has the message %q, which is listed as beyond them: %s", m.place, m.format, why)
		}
	}
	for format := range beyond {
		if !slices.ContainsFunc(messages, func(m message) bool { return m.format == format }) {
			t.Errorf("no message %q is in the code any more", format)
		}
	}
}

// What people do wrong first is answered with the place, the reason, and the mend.
func TestTenMistakesAreToldWithTheirMend(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/ten-mistakes.txtar")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(archive.Files[len(archive.Files)-1].Data)), "\n")
	if len(lines) < 10 {
		t.Errorf("%d mistakes", len(lines))
	}
	whole := regexp.MustCompile(`^\S+\.(yaml|tmpl|service|txt)(:\d+){1,2}: .+ \(.+\)$|^\S+: "/etc/motd" is already claimed by \S+ \(.+\)$`)
	for _, line := range lines {
		if !whole.MatchString(line) {
			t.Errorf("no place, reason and mend: %s", line)
		}
	}
}

// message is a text with verbs that becomes a problem.
type message struct {
	format, place string
	pattern       *regexp.Regexp
}

func goldenWants(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	var b strings.Builder
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			if f.Name == wantFile {
				b.Write(f.Data)
			}
		}
	}
	return b.String()
}

// messagesOf finds the messages in the code: what is handed to problem, at and
// fault, set as Message, or returned as a fault.
func messagesOf(t *testing.T) []message {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var out []message
	set := token.NewFileSet()
	add := func(e ast.Expr) {
		for _, format := range formatsIn(e) {
			pattern := patternOf(format)
			if pattern == nil {
				continue
			}
			out = append(out, message{format, set.Position(e.Pos()).String(), pattern})
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				returned(n, add)
			case *ast.CallExpr:
				switch name := calledName(n); {
				case (name == "at" || name == "problem") && len(n.Args) >= 3:
					add(n.Args[2])
				case name == "fault" && len(n.Args) >= 1:
					add(n.Args[0])
				}
			case *ast.KeyValueExpr:
				if id, ok := n.Key.(*ast.Ident); ok && (id.Name == "Message" || id.Name == "fault") {
					add(n.Value)
				}
			case *ast.AssignStmt:
				if s, ok := n.Lhs[0].(*ast.SelectorExpr); ok && s.Sel.Name == "Message" {
					add(n.Rhs[0])
				}
			}
			return true
		})
	}
	return out
}

func calledName(n *ast.CallExpr) string {
	switch f := n.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// returned adds what a function returns as a fault: its result of that name, of
// the name what, or the only result of those that say what is wrong.
func returned(f *ast.FuncDecl, add func(ast.Expr)) {
	if f.Type.Results == nil || f.Body == nil {
		return
	}
	at, index := -1, 0
	for _, field := range f.Type.Results.List {
		for _, name := range field.Names {
			if name.Name == "fault" || name.Name == "what" {
				at = index
			}
			index++
		}
	}
	if slices.Contains([]string{"badPath", "unfed", "cycleMessage", "tooLong"}, f.Name.Name) {
		at = 0
	}
	if at < 0 {
		return
	}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) > at {
			add(r.Results[at])
		}
		return true
	})
}

// formatsIn gives the texts that an expression is made of: literals, the first
// argument of Sprintf, and sums of them, in which all else is a verb.
func formatsIn(e ast.Expr) []string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return []string{s}
		}
	case *ast.CallExpr:
		if calledName(e) == "Sprintf" {
			return formatsIn(e.Args[0])
		}
	case *ast.BinaryExpr:
		left, right := formatsIn(e.X), formatsIn(e.Y)
		if left == nil && right == nil {
			return nil
		}
		return []string{orVerb(left) + orVerb(right)}
	}
	return nil
}

func orVerb(formats []string) string {
	if len(formats) == 0 {
		return "%v"
	}
	return formats[0]
}

var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// patternOf turns a format into an expression for what it prints; nil when it has
// no words of its own.
func patternOf(format string) *regexp.Regexp {
	words := verb.ReplaceAllString(format, "")
	if len(strings.Trim(words, " :<>.,()\"%")) < 4 {
		return nil
	}
	var parts []string
	for _, part := range verb.Split(format, -1) {
		parts = append(parts, regexp.QuoteMeta(strings.ReplaceAll(part, "%%", "%")))
	}
	return regexp.MustCompile(strings.Join(parts, ".*"))
}

// Every key is in a golden case, in a file of its kind.
func TestGoldenCasesHaveEveryKey(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var fleet, role strings.Builder
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			switch {
			case f.Name == fleetFile:
				fleet.Write(f.Data)
			case strings.HasSuffix(f.Name, "/role.yaml"):
				role.Write(f.Data)
			}
		}
	}
	for _, in := range []struct {
		text string
		keys [][]string
	}{
		{fleet.String(), [][]string{keyNames(fleetKeys()), keyNames(entryKeys()), keyNames(matchKeys()), keyNames(windowsKeys()), keyNames(windowKeys())}},
		{role.String(), [][]string{keyNames(roleKeys()), keyNames(fileKeys()), keyNames(directoryKeys()), keyNames(serviceKeys()), keyNames(checkKeys()), mapKeysOf(schemaKeywords())}},
	} {
		for _, key := range slices.Concat(in.keys...) {
			if !regexp.MustCompile(`(?m)(^|[\s{,])` + regexp.QuoteMeta(key) + `:`).MatchString(in.text) {
				t.Errorf("no golden case has the key %q", key)
			}
		}
	}
}
