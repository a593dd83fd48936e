package agent

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func configEditor(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(ConfigSchema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("file:///config", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("file:///config")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read gives what the reader has against a configuration, before the values are
// compared with each other and with the host.
func readOnly(t *testing.T, doc string) string {
	t.Helper()
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(doc), &node); err != nil {
		t.Fatal(err)
	}
	r := &configReader{file: "config.yaml", lines: map[string]int{}}
	r.mapping("", node.Content[0], (&Config{}).keys())
	if err := r.err(); err != nil {
		return err.Error()
	}
	return ""
}

// Every key with values of every kind: the editor underlines what the reader
// refuses, and nothing else.
func TestEditorsKnowTheConfiguration(t *testing.T) {
	s := configEditor(t)
	values := []string{"", "null", "3", "1.5", "true", "text", "''", "[]", "[x]", "[3]", "[null]", "[[x]]", "{}", "{x: y}", "{x: }", "{x: [y]}", "10s", "1h30m", "0", "/a", "json"}
	var try func(keys []configKey, line string)
	try = func(keys []configKey, line string) {
		for _, k := range append(keys, configKey{}) {
			if k.Name == "" {
				k.Name = "nope"
			}
			for _, value := range values {
				doc := fmt.Sprintf(line, k.Name+": "+value)
				fault := readOnly(t, doc)
				var v any
				if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
					t.Fatal(err)
				}
				underlined := s.Validate(v) != nil
				if underlined != (fault != "") && k.Name != "log_format" { // of which the words are compared later
					t.Errorf("underlined %v, the reader says %q:\n%s", underlined, fault, doc)
				}
			}
			if k.below != nil {
				try(k.below, fmt.Sprintf(line, k.Name+":\n  %s"))
			}
		}
	}
	try((&Config{}).keys(), "%s\n")
}

func TestEditorsLikeTheSampleConfiguration(t *testing.T) {
	sample, err := os.ReadFile("../packaging/etc/evenkeel/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(sample), commented.ReplaceAllString(string(sample), "$1")} {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if err := configEditor(t).Validate(v); err != nil {
			t.Errorf("an editor would underline the sample: %v", err)
		}
	}
	if !strings.HasPrefix(string(sample), "# yaml-language-server: $schema=file:///usr/share/evenkeel/schemas/config.json\n") {
		t.Error("the sample does not tell an editor where its schema is")
	}
}
