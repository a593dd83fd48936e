package manifest

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

func tree(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	return out
}

const everyHost = "hosts:\n  - {match: '*', roles: [web]}\n"

func TestBinaryFilesAreByteExact(t *testing.T) {
	content := make([]byte, 4096)
	for i := range content {
		content[i] = byte(i * 7)
	}
	repo := tree(map[string]string{"fleet.yaml": everyHost, "roles/web/files/etc/blob": string(content) + "{{ .x }}\r\n"})
	target, err := Load(repo, someFacts(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := target.State.Paths["/etc/blob"]
	if got := string(target.Content[p.Digest]); got != string(content)+"{{ .x }}\r\n" {
		t.Errorf("content differs: %d bytes", len(got))
	}
	if p.Digest != plan.DigestKey(nil).Digest(target.Content[p.Digest]) {
		t.Error("the digest is not that of the content")
	}
}

func TestDigestNamesWhatIsAskedFor(t *testing.T) {
	base := map[string]string{
		"fleet.yaml":                "hosts:\n  - {match: '*', roles: [web]}\n",
		"roles/web/role.yaml":       "files: {/etc/a: {validate: [x], feeds: none}}\nservices: {a.service: {checks: [{tcp: 'h:1'}]}}\n",
		"roles/web/files/etc/a":     "x",
		"roles/web/units/a.service": "[Service]\nExecStart=/usr/bin/a\n",
	}
	digest := func(change map[string]string) string {
		files := map[string]string{}
		for k, v := range base {
			files[k] = v
		}
		for k, v := range change {
			files[k] = v
		}
		target, err := Load(tree(files), someFacts(), Options{})
		if err == nil {
			err = Wire(target, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		target.Commit = fmt.Sprint(len(change), change)
		return Digest(target)
	}
	for _, row := range []struct {
		sentence string
		change   map[string]string
		same     bool
	}{
		{"a comment in role.yaml moves lines only", map[string]string{"roles/web/role.yaml": "# c\n" + base["roles/web/role.yaml"]}, true},
		{"an unrelated file of the repository", map[string]string{"README.md": "x"}, true},
		{"content", map[string]string{"roles/web/files/etc/a": "y"}, false},
		{"a validator", map[string]string{"roles/web/role.yaml": strings.Replace(base["roles/web/role.yaml"], "[x]", "[y]", 1)}, false},
		{"a check", map[string]string{"roles/web/role.yaml": strings.Replace(base["roles/web/role.yaml"], "h:1", "h:2", 1)}, false},
		{"how long a commit is on probation", map[string]string{"roles/web/role.yaml": base["roles/web/role.yaml"] + "\nprobation: 5m"}, true},
		{"what happens when it fails", map[string]string{"roles/web/role.yaml": base["roles/web/role.yaml"] + "\non_failure: hold"}, true},
		{"settle", map[string]string{"roles/web/role.yaml": strings.Replace(base["roles/web/role.yaml"], "checks", "settle: 9s, checks", 1)}, false},
	} {
		if got := digest(row.change) == digest(nil); got != row.same {
			t.Errorf("%s: same digest %v, want %v", row.sentence, got, row.same)
		}
	}
}

func TestDefaultsOfAService(t *testing.T) {
	repo := tree(map[string]string{"fleet.yaml": everyHost, "roles/web/role.yaml": "services: {a.service: {checks: [{tcp: 'h:1'}]}}"})
	target, err := Load(repo, someFacts(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := plan.Service{
		Settle: 5 * time.Second, Deadline: time.Minute, Enabled: true,
		Checks: []plan.Check{{TCP: "h:1", Interval: time.Second, Timeout: 5 * time.Second, Successes: 1, Failures: 3}},
	}
	if got := target.Services["a.service"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFaultsOfReadingAreNotProblems(t *testing.T) {
	broken := errors.New("the pack is broken")
	repo := faultyTree{tree(map[string]string{"fleet.yaml": everyHost, "roles/web/files/etc/a": "x"}), "roles/web/files/etc/a", broken}
	_, err := Load(repo, someFacts(), Options{})
	var ps Problems
	if !errors.Is(err, broken) || errors.As(err, &ps) {
		t.Errorf("Load gave %v", err)
	}
	if ps, err := Check(repo, Options{}); !errors.Is(err, broken) {
		t.Errorf("Check gave %v, %v", ps, err)
	}
	if _, err := Load(tree(nil), someFacts(), Options{Deny: []string{"/etc/["}}); err == nil || errors.As(err, &ps) {
		t.Errorf("a deny pattern that matches nothing gave %v", err)
	}
	if _, err := Load(tree(nil), someFacts(), Options{AllowRoots: []string{"etc"}}); err == nil || errors.As(err, &ps) {
		t.Errorf("a relative root gave %v", err)
	}
}

// faultyTree fails to read one file.
type faultyTree struct {
	fstest.MapFS
	name string
	err  error
}

func (f faultyTree) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	if err == nil && name == f.name {
		return faultyFile{file, f.err}, nil
	}
	return file, err
}

func (f faultyTree) ReadFile(name string) ([]byte, error) {
	if name == f.name {
		return nil, f.err
	}
	return f.MapFS.ReadFile(name)
}

type faultyFile struct {
	fs.File
	err error
}

func (f faultyFile) Read([]byte) (int, error) { return 0, f.err }

func TestHosts(t *testing.T) {
	names, err := Hosts(tree(map[string]string{
		"fleet.yaml":       "hosts:\n  - {match: web-2, roles: []}\n  - {match: {name: db}, roles: []}\n  - {match: 'x*', roles: []}\n  - {match: {labels: {a: b}}}\n",
		"hosts/web-1.yaml": "", "hosts/web-2.yaml": "", "hosts/README.md": "",
	}))
	if want := []string{"db", "web-1", "web-2"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %v, %v, want %v", names, err, want)
	}
	if _, err := Hosts(tree(nil)); asProblems(err) == nil {
		t.Errorf("an empty repository gave %v", err)
	}
}

func TestManyProblemsAreBounded(t *testing.T) {
	files := map[string]string{"fleet.yaml": everyHost}
	for i := range maxProblems + 500 {
		files[fmt.Sprintf("roles/web/files/root/%d", i)] = "x"
	}
	_, err := Load(tree(files), someFacts(), Options{})
	ps := asProblems(err)
	if len(ps) != maxProblems+1 || ps[maxProblems].Message != "and 500 more problems" {
		t.Errorf("%d problems, the last %v", len(ps), ps[len(ps)-1])
	}
}

func TestCovers(t *testing.T) {
	for _, row := range []struct {
		pattern, name string
		want          bool
	}{
		{"/etc/a", "/etc/a", true},
		{"/etc/a", "/etc/a/b", true},
		{"/etc/a", "/etc/ab", false},
		{"/", "/etc", true},
		{"/etc/*.conf", "/etc/a.conf", true},
		{"/etc/*.conf", "/etc/a/b.conf", false},
		{"/etc/*.d", "/etc/a.d/b/c", true},
		{"/etc/**", "/etc", true},
		{"/etc/**", "/etc/a/b", true},
		{"/etc/**/*.key", "/etc/x.key", true},
		{"/etc/**/*.key", "/etc/a/b/x.key", true},
		{"/etc/**/*.key", "/etc/a/b/x.crt", false},
		{"/**/authorized_keys*", "/srv/x/.ssh/authorized_keys2", true},
		{"/etc/a/b", "/etc/a", false},
		{"/etc/[", "/etc/[", false},
	} {
		if got := covers(row.pattern, row.name); got != row.want {
			t.Errorf("covers(%q, %q) = %v", row.pattern, row.name, got)
		}
	}
	many := strings.Repeat("/**/a", 30)
	if covers(many, strings.Repeat("/a/b", 29)) || !covers(many, strings.Repeat("/a/b", 30)) {
		t.Error("many ** are not counted right")
	}
}

func TestNearest(t *testing.T) {
	for _, row := range []struct {
		written string
		known   []string
		want    string
	}{
		{"chekcs", []string{"checks", "after"}, "checks"},
		{"Settle", []string{"settle"}, "settle"},
		{"mod", []string{"mode", "owner"}, "mode"},
		{"xyz", []string{"abc"}, ""},
		{"a", nil, ""},
		{"same", []string{"same"}, ""},
		{strings.Repeat("a", 5000), []string{strings.Repeat("a", 5001)}, ""},
	} {
		if got := nearest(row.written, row.known); got != row.want {
			t.Errorf("nearest(%.20q) = %q, want %q", row.written, got, row.want)
		}
	}
}

// The package is pure: no file, process, clock or randomness of the host can
// change what it gives.
func TestImportsNothingImpure(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	barred := []string{"os", "os/exec", "math/rand", "math/rand/v2", "crypto/rand", "net/http", "path/filepath", "syscall", "runtime", "io/ioutil"}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil || slices.Contains(barred, name) {
				t.Errorf("%s imports %s", file, spec.Path.Value)
			}
		}
		text, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(text), "time.Now") || strings.Contains(string(text), "time.Since") {
			t.Errorf("%s reads the clock", file)
		}
	}
}

// manual is the reference that every key and function must stand in.
func manual(t *testing.T) string {
	text, err := os.ReadFile("../../docs/evenkeel.yaml.5.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestManualHasEveryKey(t *testing.T) {
	text := manual(t)
	for _, keys := range [][]Key{fleetKeys(), entryKeys(), matchKeys(), roleKeys(), fileKeys(), directoryKeys(), serviceKeys(), checkKeys(), windowsKeys(), windowKeys()} {
		for _, key := range keyNames(keys) {
			if !strings.Contains(text, "`"+key+":`") {
				t.Errorf("the manual does not describe %q", key)
			}
		}
	}
}

// The manual is where people look defaults up.
func TestManualHasEveryDefault(t *testing.T) {
	text := manual(t)
	for key, value := range map[string]any{
		"settle": plan.DefaultSettle, "deadline": plan.DefaultDeadline,
		"interval": plan.DefaultInterval, "timeout": plan.DefaultTimeout,
		"successes": plan.DefaultSuccesses, "failures": plan.DefaultFailures,
	} {
		_, entry, _ := strings.Cut(text, "`"+key+":`\n")
		entry, _, _ = strings.Cut(entry, "\n\n")
		want := strings.Replace(fmt.Sprintf("Default: %v", value), "1m0s", "1m", 1)
		if !regexp.MustCompile(want + `\b`).MatchString(entry) {
			t.Errorf("the manual does not say %q of %q: %s", want, key, entry)
		}
	}
}

// functionRow is a row of docs/templates.md: name, arguments, what it gives, an
// example, and what that prints.
var functionRow = regexp.MustCompile("(?m)^\\| `(\\w+)[^`]*` \\| .+ \\| `(.+?)` \\| `(.*)` \\|$")

func TestManualHasEveryFunctionWithAnExampleThatIsTrue(t *testing.T) {
	examples, err := os.ReadFile("../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	text := manual(t)
	seen := map[string]bool{}
	for _, row := range functionRow.FindAllStringSubmatch(string(examples), -1) {
		name, example, prints := row[1], strings.ReplaceAll(row[2], `\|`, "|"), strings.ReplaceAll(row[3], `\|`, "|")
		if seen[name] = true; !strings.Contains(example, name) {
			t.Errorf("the example of %s does not use it: %s", name, example)
		}
		target, err := Load(tree(map[string]string{
			"fleet.yaml": everyHost, "roles/web/files/etc/a.tmpl": example, "roles/web/templates/greeting.tmpl": "Hello {{ .name }}\n",
		}), someFacts(), Options{})
		if err != nil {
			t.Errorf("the example of %s: %v", name, err)
			continue
		}
		if got := string(target.Content[target.State.Paths["/etc/a"].Digest]); got != strings.ReplaceAll(prints, `\n`, "\n") {
			t.Errorf("%s prints %q, the manual says %q", example, got, prints)
		}
	}
	for name := range functions(nil) {
		if !seen[name] {
			t.Errorf("docs/templates.md has no example of the function %q", name)
		}
	}
	if !seen["include"] {
		t.Error("docs/templates.md has no example of include")
	}
	for name := range seen {
		if !strings.Contains(text, "| `"+name) {
			t.Errorf("the manual does not describe the function %q", name)
		}
	}
	for _, name := range slices.Concat(mapKeysOf(plainBuiltins()), mapKeysOf(builtins(nil))) {
		if !regexp.MustCompile(`\b` + name + `\b`).MatchString(text) {
			t.Errorf("the manual does not name %q", name)
		}
	}
}

func TestManualHasEveryKeywordAndFormat(t *testing.T) {
	text := manual(t)
	for _, word := range slices.Concat(mapKeysOf(schemaKeywords()), schemaFormats(), plainFacts()) {
		if !strings.Contains(text, "`"+word+"`") {
			t.Errorf("the manual does not name %q", word)
		}
	}
}

func TestManualHasEveryDeniedPath(t *testing.T) {
	text := manual(t)
	for _, d := range denied() {
		for _, pattern := range d.patterns {
			if !strings.Contains(text, "`"+pattern+"`") {
				t.Errorf("the manual does not name the denied path %q", pattern)
			}
		}
	}
}

func TestTwoRendersAreEqual(t *testing.T) {
	vars := "m: {" + strings.Join(func() []string {
		var out []string
		for i := range 50 {
			out = append(out, fmt.Sprintf("k%d: %d", i, i))
		}
		return out
	}(), ", ") + "}\n"
	repo := tree(map[string]string{
		"fleet.yaml": everyHost, "vars.yaml": vars,
		"roles/web/files/etc/a.tmpl": "{{ keys .vars.m }}{{ values .vars.m }}{{ toYaml .vars }}{{ toJson .vars }}{{ .vars }}{{ range $k, $v := .vars.m }}{{ $k }}{{ end }}",
	})
	first, err := Load(repo, someFacts(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := Load(repo, someFacts(), Options{})
		if err != nil || !reflect.DeepEqual(first, again) {
			t.Fatalf("two loads differ: %v", err)
		}
	}
}

func TestWireTakesATargetWithoutMaps(t *testing.T) {
	target := &plan.Target{
		State:    plan.State{Units: map[string]plan.Unit{"a.service": {Active: true}}},
		Services: map[string]plan.Service{"a.service": {Enabled: true}},
	}
	f, err := units.ParseFile("/usr/lib/systemd/system/a.service", []byte("[Service]\nExecStart=/usr/bin/a\n[Install]\nWantedBy=multi-user.target\n"))
	if err != nil {
		t.Fatal(err)
	}
	vendor := map[string]units.Definition{"a.service": {Name: "a.service", Files: []*units.File{f}}}
	if err := Wire(target, vendor); err != nil {
		t.Fatal(err)
	}
	const link = "/etc/systemd/system/multi-user.target.wants/a.service"
	if got := target.State.Paths[link].Link; got != f.Path {
		t.Errorf("the link that enables the unit says %q", got)
	}
	if len(target.Reads["a.service"]) != 1 {
		t.Errorf("reads %v", target.Reads)
	}
}

func TestALongYAMLFileIsNotParsed(t *testing.T) {
	_, err := Load(tree(map[string]string{"fleet.yaml": everyHost, "roles/web/files/etc/a": "", "vars.yaml": "a: " + strings.Repeat("x", maxYAMLBytes)}), someFacts(), Options{})
	ps := asProblems(err)
	if want := fmt.Sprintf("vars.yaml: the file has %d bytes, more than the %d allowed", maxYAMLBytes+3, maxYAMLBytes); len(ps) != 1 || ps[0].String() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A schema that is a reference to itself took all the stack, and check with it.
func TestASchemaThatIsItselfDoesNotCrashCheck(t *testing.T) {
	for _, schema := range []string{`{$ref: "#"}`, `{$ref: "#", $defs: {a: {items: {$ref: "#/$defs/a"}}}}`, `{not: {$ref: "#"}}`} {
		_, err := Load(tree(map[string]string{"fleet.yaml": everyHost, "roles/web/role.yaml": "schema: " + schema + "\n"}), someFacts(), Options{})
		if ps := asProblems(err); len(ps) != 1 || !strings.Contains(ps[0].Message, "refers to itself") || ps[0].Line != 1 {
			t.Errorf("%s: %v", schema, err)
		}
	}
}
