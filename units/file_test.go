package units

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParseFile(t *testing.T) {
	for _, row := range []struct {
		says  string
		text  string
		want  []Assignment
		fault string // "LINE: part of the message"
	}{
		{
			says: "sections and assignments, white space around all of it",
			text: "[Unit]\n  Description = An app \n[Service]\nExecStart=/bin/app\n",
			want: []Assignment{{"Unit", "Description", "An app", 2}, {"Service", "ExecStart", "/bin/app", 4}},
		},
		{
			says: "an equals sign in the value", text: "[Service]\nEnvironment=A=1\n",
			want: []Assignment{{"Service", "Environment", "A=1", 2}},
		},
		{
			says: "comments of both kinds, indented too, empty lines", text: "# one\n[Unit]\n\n  ; two\nA=1\n#B=2\n",
			want: []Assignment{{"Unit", "A", "1", 5}},
		},
		{
			says: "a comment sign inside a value stays", text: "[Unit]\nA=1 # no comment\n",
			want: []Assignment{{"Unit", "A", "1 # no comment", 2}},
		},
		{
			says: "a continuation has a space for its backslash", text: "[Service]\nExecStart=/bin/app \\\n  --flag\\\n--other\nB=2\n",
			want: []Assignment{{"Service", "ExecStart", "/bin/app  --flag --other", 2}, {"Service", "B", "2", 5}},
		},
		{
			says: "comments inside a continuation are skipped", text: "[Unit]\nA=value 3\\\n# this\n; and this\n   continued\n",
			want: []Assignment{{"Unit", "A", "value 3 continued", 2}},
		},
		{
			says: "an empty line ends a continuation", text: "[Unit]\nA=1 \\\n\nB=2\n",
			want: []Assignment{{"Unit", "A", "1", 2}, {"Unit", "B", "2", 4}},
		},
		{
			says: "an escaped backslash at the end does not continue", text: "[Unit]\nA=1\\\\\nB=2\n",
			want: []Assignment{{"Unit", "A", `1\\`, 2}, {"Unit", "B", "2", 3}},
		},
		{
			says: "the file ends in a continuation", text: "[Unit]\nA=1 \\",
			want: []Assignment{{"Unit", "A", "1", 2}},
		},
		{
			says: "a byte order mark and carriage returns", text: "\uFEFF[Unit]\r\nA=1\r\nB=2\r\n",
			want: []Assignment{{"Unit", "A", "1", 2}, {"Unit", "B", "2", 3}},
		},
		{
			says: "an empty value", text: "[Unit]\nAfter=\n",
			want: []Assignment{{"Unit", "After", "", 2}},
		},
		{
			says: "an assignment before the first section", text: "A=1\n[Unit]\nB=2\n",
			want: []Assignment{{"Unit", "B", "2", 3}}, fault: "1: before the first section",
		},
		{
			says: "a line without an equals sign, in the middle", text: "[Unit]\nA=1\nnonsense\nB=2\n",
			want: []Assignment{{"Unit", "A", "1", 2}, {"Unit", "B", "2", 4}}, fault: `3: found "nonsense"`,
		},
		{
			says: "no key", text: "[Unit]\n=1\n", fault: `2: no key`,
		},
		{
			says: "a section header that is not closed", text: "[Unit\nA=1\n", fault: `1: bad section header "[Unit"`,
		},
		{
			says: "text after a section header", text: "[Unit] # here\nA=1\n", fault: "1: bad section header",
		},
		{
			says: "a section without a name", text: "[]\nA=1\n", fault: "1: bad section header",
		},
		{
			says: "a fault is told at the first line of a continuation", text: "[Unit]\nA=1\nno\\\nsign\n",
			want: []Assignment{{"Unit", "A", "1", 2}}, fault: `3: found "no sign"`,
		},
		{
			says: "a NUL byte", text: "[Unit]\nA=\x00\n", fault: "2: NUL",
		},
		{
			says: "bytes that are not UTF-8", text: "[Unit]\nA=\xff\n", fault: "2: invalid UTF-8",
		},
		{
			says: "a line that is too long", text: "[Unit]\nA=" + strings.Repeat("x", maxLine) + "\n", fault: "2: line is longer",
		},
		{
			says: "the first of two faults is told", text: "x\n[Unit]\ny\n", fault: `1: found "x"`,
		},
		{says: "an empty file", text: ""},
	} {
		t.Run(row.says, func(t *testing.T) {
			f, err := ParseFile("app.service", []byte(row.text))
			if !slices.Equal(f.Assignments, row.want) {
				t.Errorf("got  %+v\nwant %+v", f.Assignments, row.want)
			}
			checkFault(t, err, row.fault)
		})
	}
}

func checkFault(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("error %v, want none", err)
		}
		return
	}
	line, part, _ := strings.Cut(want, ": ")
	var fault *SyntaxError
	if !errors.As(err, &fault) {
		t.Fatalf("error %v, want a *SyntaxError", err)
	}
	if text := err.Error(); !strings.Contains(text, "line "+line+":") || !strings.Contains(text, part) || !strings.Contains(text, `"app.service"`) {
		t.Errorf("error %q, want line %s and %q", text, line, part)
	}
}

func TestHas(t *testing.T) {
	f := parse(t, "app.service", "[Unit]\n[Install]\nWantedBy=a.target\n")
	for section, want := range map[string]bool{"Unit": true, "Install": true, "Service": false, "": false} {
		if f.Has(section) != want {
			t.Errorf("Has(%q) is %v", section, !want)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	for _, seed := range []string{
		"", "[Unit]\nA=1\n", "[Unit]\nA=1\\\n# c\n 2\n", "A=1", "[", "[]", "[Unit]\r\nA=\x00", "\uFEFF[Unit]\nA=\xff\\", "[Unit]\n=\n\\\n\\\\\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := ParseFile("x.service", text)
		if file == nil {
			t.Fatal("no file")
		}
		var rewritten strings.Builder
		section := ""
		last := 0
		for _, a := range file.Assignments {
			if a.Section == "" || a.Key == "" || a.Line < last {
				t.Fatalf("assignment %+v after line %d", a, last)
			}
			last = a.Line
			if !file.Has(a.Section) {
				t.Fatalf("assignment %+v in a section that the file does not have", a)
			}
			if a.Section != section {
				section = a.Section
				rewritten.WriteString("[" + section + "]\n")
			}
			rewritten.WriteString(a.Key + "=" + a.Value + "\n")
		}
		var fault *SyntaxError
		if err != nil && (!errors.As(err, &fault) || fault.Line < 1) {
			t.Fatalf("error %v", err)
		}
		// What was read reads the same again, unless it ends in a backslash or a
		// continuation put white space or a comment sign where it means something.
		if strings.Contains(rewritten.String(), "\\\n") || strings.Contains(string(text), "\\") {
			return
		}
		again, err := ParseFile("x.service", []byte(rewritten.String()))
		if err != nil {
			t.Fatalf("rewritten %q: %v", rewritten.String(), err)
		}
		same := slices.EqualFunc(file.Assignments, again.Assignments, func(a, b Assignment) bool {
			return a.Section == b.Section && a.Key == b.Key && a.Value == b.Value
		})
		if !same {
			t.Fatalf("%+v\nagain\n%+v", file.Assignments, again.Assignments)
		}
	})
}
