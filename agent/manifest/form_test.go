package manifest

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// editor is what an editor knows of a kind of file.
func editor(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	text, ok := Schemas()[name]
	if !ok {
		t.Fatalf("there is no schema %q", name)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file:///"+name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("file:///" + name)
	if err != nil {
		t.Fatalf("the schema %q is none: %v", name, err)
	}
	return s
}

// accepts reports whether an editor would underline nothing; no answer when the
// text is no YAML that it could look at.
func accepts(s *jsonschema.Schema, text []byte) (ok, isYAML bool) {
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		return false, false
	}
	return s.Validate(value) == nil, true
}

// places are the mappings of the repository's files: a file in which a line of
// one of them stands for %s, and which is right when the line is.
func places() []place {
	return []place{
		{"fleet", fleetFile, "%s\n", fleetKeys(), map[string]string{"labels": "{env: [staging, prod], rack: '*'}", "hosts": "[]"}},
		{"fleet", fleetFile, "hosts:\n  - match: web-1\n    %s\n", entryKeys()[1:], map[string]string{"roles": "[a, b]", "vars": "{a: 1}", "probation": "10m", "on_failure": "hold", "drift": "report",
			"windows": "{zone: Europe/Berlin, allow: [{days: [mon-fri], from: '22:00', to: '04:00'}], deny: [{days: [Friday]}]}"}},
		{"fleet", fleetFile, "hosts:\n  - match: web-1\n    windows:\n      %s\n", windowsKeys(), map[string]string{"zone": "America/Argentina/Buenos_Aires", "allow": "[{days: [sat, sun]}]", "deny": "[{from: 9:00, to: '24:00'}]"}},
		{"fleet", fleetFile, "hosts:\n  - match: web-1\n    windows:\n      allow:\n        - to: '3:00'\n          from: '1:00'\n          %s\n", windowKeys()[:1], map[string]string{"days": "[fri-mon, Wed, thursday]"}},
		{"fleet", fleetFile, "hosts:\n  - match: web-1\n    windows:\n      allow:\n        - from: '1:00'\n          %s\n", windowKeys()[2:], map[string]string{"to": "'24:00'"}},
		{"fleet", fleetFile, "hosts:\n  - match: web-1\n    windows:\n      allow:\n        - to: '1:00'\n          %s\n", windowKeys()[1:2], map[string]string{"from": "00:30"}},
		{"fleet", fleetFile, "hosts:\n  - %s\n", entryKeys()[:1], map[string]string{"match": "web-*"}},
		{"fleet", fleetFile, "hosts:\n  - match:\n      %s\n", matchKeys(), map[string]string{"name": "web-*", "labels": "{env: prod}", "facts": "{os.id: [debian, ubuntu]}"}},
		{"role", "role.yaml", "%s\n", roleKeys(), map[string]string{
			"files": "{/etc/a: {mode: '0644'}}", "directories": "{/etc/a: }", "links": "{/etc/a: b}", "services": "{a.service: }", "schema": "{type: object}", "probation": "1h", "on_failure": "revert", "drift": "ignore"}},
		{"role", "role.yaml", "files:\n  /etc/a:\n    %s\n", fileKeys(), map[string]string{
			"mode": "'0640'", "owner": "app", "group": "0", "validate": "[nginx, -t]", "feeds": "none", "drift": "report"}},
		{"role", "role.yaml", "directories:\n  /etc/a:\n    %s\n", directoryKeys(), map[string]string{"mode": "'750'", "owner": "_app", "group": "www-data", "drift": "correct"}},
		{"role", "role.yaml", "services:\n  a.service:\n    %s\n", serviceKeys(), map[string]string{
			"after": "[b@1.service]", "restart_on": "[/etc/a/**]", "reload_on": "[/etc/a]", "state": "stopped", "enabled": "false", "settle": "1m30s", "deadline": "1.5h", "drift": "ignore",
			"checks": "[{tcp: 'h:1'}, {http: 'http://h/'}, {exec: [/bin/true, 1]}, {unit: a.timer, timeout: 10ms}]"}},
		{"role", "role.yaml", "services:\n  a.service:\n    checks:\n      - %s\n", checkKinds(), map[string]string{
			"http": "https://h/x", "tcp": "'[::1]:5432'", "unix": "/run/a", "exec": "[/bin/true]", "unit": "a.service"}},
		{"role", "role.yaml", "services:\n  a.service:\n    checks:\n      - tcp: h:1\n        %s\n", timingKeys(), map[string]string{
			"start_delay": "0s", "interval": "500ms", "timeout": "5s", "successes": "2", "failures": "1000"}},
		{"role", "role.yaml", "services:\n  a.service:\n    checks:\n      - http: https://h/\n        %s\n", httpKeys(), map[string]string{
			"status": "[200, 3xx]", "body": "'^ok$'", "headers": "{Host: a, X-N: 7}", "socket": "/run/a", "ca_file": "/etc/ca.pem", "insecure": "true"}},
		{"role", "role.yaml", "services:\n  a.service:\n    checks:\n      - exec: [/bin/true]\n        %s\n", execKeys(), map[string]string{"user": "app"}},
	}
}

type place struct {
	schema, file, text string
	keys               []Key
	right              map[string]string
}

// parserTakes reports whether the parser has nothing against a file.
func (p place) parserTakes(text string) (bool, string) {
	name := p.file
	if p.schema == "role" {
		name = roleFile("web")
	}
	r := newRepo(tree(map[string]string{name: text}), Options{})
	if p.schema == "role" {
		r.readRole("web")
	} else {
		r.readFleet()
	}
	return len(r.c.list) == 0, Problems(r.c.list).Error()
}

// Every key is tried with a right value and with values of every kind: what the
// parser refuses for its type or as an unknown key, the editor must underline, and
// what the parser takes, it must not.
func TestEditorsKnowWhatTheParserKnows(t *testing.T) {
	values := []string{
		"", "null", "~", "3", "-1", "1.5", "true", "no", "some text", "''", "none", "x.service", "/a", "[]", "{}", "[x]", "[/x]", "[x.service]", "[3]", "[null]",
		"[[x]]", "[{x: y}]", "{x: y}", "{x: }", "{x: [y]}", "{x: {y: z}}", "{/etc/x: {nope: 1}}", "{x.service: {nope: 1}}", "{x.service: [y]}", "0640", "5", "5s", "-5s",
		"5 s", "1h2m", "http://x/", "ftp://x", "h:1", "'80'", "a/b", "{os.id: debian}", "{os.id: {a: b}}", "{kernle: 6}", "{env: prod}", "{env: [prod]}", "{typ: x}", "{type: object}",
	}
	for _, p := range places() {
		s := editor(t, p.schema)
		if names := keyNames(p.keys); !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(maps.Keys(p.right))) {
			t.Fatalf("%s: right values for %v, want them for %v", p.text, slices.Sorted(maps.Keys(p.right)), names)
		}
		try := func(line string) {
			text := fmt.Sprintf(p.text, line)
			taken, why := p.parserTakes(text)
			underlined, isYAML := accepts(s, []byte(text))
			if isYAML && taken != underlined && !sayable(why) {
				t.Errorf("the parser takes it: %v (%s), the editor: %v\n%s", taken, why, underlined, text)
			}
		}
		for key, right := range p.right {
			text := fmt.Sprintf(p.text, key+": "+right)
			if taken, why := p.parserTakes(text); !taken {
				t.Errorf("not right: %s\n%s", why, text)
			}
			if ok, _ := accepts(s, []byte(text)); !ok {
				t.Errorf("an editor would underline what is right:\n%s", text)
			}
			for _, value := range values {
				try(key + ": " + value)
			}
		}
		try("nope: 1")
	}
}

// sayable reports what a JSON Schema could say only by a wall of text, or not at
// all: how two keys go together, and what is in a URL.
func sayable(problem string) bool {
	for _, beyond := range []string{"must be an absolute, clean path", "must be more than zero", "is not a URL", "is a template and cannot run",
		"is too long", "cannot pass within the deadline", `"0640" is no HTTP status`, "is no time zone"} {
		if strings.Contains(problem, beyond) {
			return true
		}
	}
	return false
}

// The repositories of the golden cases: a file without problems is not underlined,
// and a key that is unknown or of the wrong kind is.
func TestEditorsAgreeWithTheGoldenCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	looked, refused := 0, 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			name := ""
			switch {
			case f.Name == fleetFile:
				name = "fleet"
			case strings.HasPrefix(f.Name, "roles/") && strings.HasSuffix(f.Name, "/role.yaml"):
				name = "role"
			default:
				continue
			}
			taken, why := place{schema: name, file: f.Name}.parserTakes(string(f.Data))
			ok, isYAML := accepts(editor(t, name), f.Data)
			if !isYAML {
				continue
			}
			looked++
			if taken && !ok {
				t.Errorf("%s: an editor would underline %s, which has no problems", file, f.Name)
			}
			for line := range strings.Lines(why) {
				if ok && (strings.Contains(line, ": unknown key ") || strings.Contains(line, " must be ") && !sayable(line)) {
					t.Errorf("%s: an editor would not underline anything in %s, the parser says: %s", file, f.Name, line)
				}
			}
			if !ok {
				refused++
			}
		}
	}
	if looked < 50 || refused < 10 {
		t.Errorf("%d files looked at, %d of them refused: the test proves too little", looked, refused)
	}
}

func TestEditorsKnowEveryKeywordOfASchema(t *testing.T) {
	whole := schemaDefinitions()["schema"].(Form)["properties"].(map[string]any)
	for word := range schemaKeywords() {
		if _, known := whole[word]; !known {
			t.Errorf("an editor does not know %q", word)
		}
	}
}

// Each file of the example repositories tells an editor where its schema is, and
// nothing in it is underlined.
func TestEditorsLikeTheExamples(t *testing.T) {
	looked := map[string]int{}
	err := fs.WalkDir(os.DirFS("../../examples"), ".", func(name string, e fs.DirEntry, err error) error {
		kind := ""
		switch {
		case err != nil:
			return err
		case path.Base(name) == fleetFile:
			kind = "fleet"
		case path.Base(name) == "role.yaml":
			kind = "role"
		case path.Base(name) == "vars.yaml", path.Base(path.Dir(name)) == "hosts" && path.Ext(name) == ".yaml":
			kind = "vars"
		default:
			return nil
		}
		looked[kind]++
		text, err := os.ReadFile("../../examples/" + name)
		if err != nil {
			return err
		}
		if want := "# yaml-language-server: $schema=file:///usr/share/evenkeel/schemas/" + kind + ".json\n"; !strings.HasPrefix(string(text), want) {
			t.Errorf("examples/%s does not begin with: %s", name, want)
		}
		if ok, isYAML := accepts(editor(t, kind), text); !ok || !isYAML {
			t.Errorf("an editor would underline something in examples/%s", name)
		}
		return nil
	})
	if err != nil || looked["fleet"] == 0 || looked["role"] == 0 || looked["vars"] == 0 {
		t.Errorf("looked at %v: %v", looked, err)
	}
}
