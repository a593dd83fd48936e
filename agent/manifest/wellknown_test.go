package manifest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// line is a row as the manual has it.
func (k WellKnown) line() string {
	var does []string
	if k.Verb != "" {
		does = append(does, fmt.Sprintf("%s %s", k.Verb, strings.Join(k.Units, " or ")))
	}
	if k.Create {
		does = append(does, "`systemd-tmpfiles --create`")
	}
	if k.Note != "" {
		does = append(does, "nothing: "+k.Note)
	}
	validator := ""
	if len(k.Validate) > 0 {
		validator = " `" + strings.Join(k.Validate, " ") + "`"
	}
	return fmt.Sprintf("| `%s` | %s |%s |", k.Files, strings.Join(does, ", "), validator)
}

// The table of the manual is the table of the code.
func TestManualHasTheWellKnownDirectories(t *testing.T) {
	manual, err := os.ReadFile("../../docs/evenkeel.yaml.5.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(manual), "\n## WELL-KNOWN DIRECTORIES\n")
	if !found {
		t.Fatal("the manual has no section about well-known directories")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var lines, want []string
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `/") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	for _, k := range WellKnownFiles() {
		want = append(want, k.line())
	}
	if got, want := strings.Join(lines, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("the manual says\n%s\nwant\n%s", got, want)
	}
}

// A row does something, or says why not; its command names one file or none.
func TestWellKnownRowsAreComplete(t *testing.T) {
	for _, k := range WellKnownFiles() {
		if (k.Verb == "") != (len(k.Units) == 0) {
			t.Errorf("%s: a verb and no unit, or the reverse", k.Files)
		}
		if k.Verb == "" && !k.Create && k.Note == "" {
			t.Errorf("%s: nothing is done, and nobody says why", k.Files)
		}
		if !validGlob(k.Files) || !strings.HasPrefix(k.Files, "/etc/") {
			t.Errorf("%s is no pattern below /etc", k.Files)
		}
	}
}

func TestValidatorOfAWellKnownFile(t *testing.T) {
	k := WellKnown{Files: "/etc/a.d/*", Validate: []string{"/bin/a", "-c", "FILE"}}
	if argv, all := k.Validator("/etc/a.d/b"); strings.Join(argv, " ") != "/bin/a -c /etc/a.d/b" || all {
		t.Errorf("%q, all %v", argv, all)
	}
	k.Validate = []string{"/bin/a", "-t"}
	if argv, all := k.Validator("/etc/a.d/b"); strings.Join(argv, " ") != "/bin/a -t" || !all {
		t.Errorf("%q, all %v", argv, all)
	}
	if !k.Fits("/etc/a.d/b") || k.Fits("/etc/b") || k.Fits("/etc/a.d.b") {
		t.Error("the pattern fits what it should not, or the reverse")
	}
}
