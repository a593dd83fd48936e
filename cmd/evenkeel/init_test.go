package main

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// schemaLine tells an editor where the schema of a file is.
var schemaLine = regexp.MustCompile(`^# yaml-language-server: \$schema=file:///usr/share/evenkeel/schemas/(\w+)\.json\n`)

func TestStarterPleasesAnEditor(t *testing.T) {
	looked := 0
	eachStarterFile(t, func(name string, text []byte) {
		if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" {
			return
		}
		var value any
		if err := yaml.Unmarshal(text, &value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasPrefix(path.Base(path.Dir(name)), "workflows") || strings.HasPrefix(name, ".") {
			return
		}
		looked++
		m := schemaLine.FindSubmatch(text)
		if m == nil || schemas()[string(m[1])] == nil {
			t.Errorf("%s does not tell an editor where its schema is", name)
			return
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemas()[string(m[1])]))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource("file:///s", doc); err != nil {
			t.Fatal(err)
		}
		s, err := c.Compile("file:///s")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(value); err != nil {
			t.Errorf("an editor would underline something in %s: %v", name, err)
		}
	})
	if looked < 5 {
		t.Errorf("looked at %d files only", looked)
	}
}

// callInText is a use of the program in a text.
var callInText = regexp.MustCompile("(?m)(?:^|[ `])evenkeel ((?:init|check|explain|render|facts|plan|status|schema)[^|>;&`#\"\n]*)")

// What the README and the CI files tell people to run is what the program takes.
func TestStarterUsesTheProgramRight(t *testing.T) {
	looked := 0
	eachStarterFile(t, func(name string, text []byte) {
		for _, m := range callInText.FindAllStringSubmatch(strings.ReplaceAll(string(text), `"`, ""), -1) {
			looked++
			root := command(ui{out: io.Discard, err: io.Discard})
			verb, rest, err := root.Find(strings.Fields(m[1]))
			if err == nil && verb == root {
				t.Errorf("%s: there is no verb in %q", name, m[1])
			}
			if err == nil {
				err = verb.ParseFlags(rest)
			}
			if err != nil {
				t.Errorf("%s: evenkeel %s: %v", name, m[1], err)
			}
		}
	})
	if looked < 8 {
		t.Errorf("looked at %d uses only", looked)
	}
}

func eachStarterFile(t *testing.T, look func(name string, text []byte)) {
	t.Helper()
	tree, err := fs.Sub(starter, "starter")
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(tree, name)
		look(name, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
