package manifest

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// Key is one key of a mapping in a YAML file. The parser knows no others, the
// JSON Schemas for editors are made from it, and the manual must describe it.
type Key struct {
	Name  string
	Value Form
	About string // what an editor shows
	Must  bool   // the mapping is not whole without it
}

// Form says what a value may be, as a JSON Schema of draft 7, which all editors
// know. What two keys must be together, and what only the host knows, it does not
// say: the parser does.
type Form map[string]any

const editorDraft = "http://json-schema.org/draft-07/schema#"

// Text is any scalar but null: what looks like a number counts as it is written.
func Text() Form { return Form{"type": []string{"string", "number", "boolean"}} }

// Texts is a list of scalars.
func Texts() Form { return List(Text()) }

// Matching is text of which a regular expression must hold.
func Matching(expression string) Form { return Form{"type": "string", "pattern": expression} }

// Truth is true or false.
func Truth() Form { return Form{"type": "boolean"} }

// OneOf is one of a few words.
func OneOf(words ...string) Form { return Form{"enum": words} }

// List is a list of such values.
func List(of Form) Form { return Form{"type": "array", "items": of} }

// Mapping is a mapping with these keys and no others.
func Mapping(keys []Key) Form {
	properties, must := map[string]any{}, []string{}
	for _, k := range keys {
		properties[k.Name] = k.Value.about(k.About)
		if k.Must {
			must = append(must, k.Name)
		}
	}
	f := Form{"type": "object", "properties": properties, "additionalProperties": false}
	if len(must) > 0 {
		f["required"] = must
	}
	return f
}

// MappingOf is a mapping with any keys to such values.
func MappingOf(value Form) Form { return Form{"type": "object", "additionalProperties": value} }

// Either is a value of one of several forms.
func Either(forms ...Form) Form { return Form{"anyOf": forms} }

// OrNothing is the form, or nothing at all behind the key.
func (f Form) OrNothing() Form {
	switch kind := f["type"].(type) {
	case string:
		return f.with("type", []string{kind, "null"})
	case []string:
		return f.with("type", append(slices.Clone(kind), "null"))
	}
	return Either(f, Form{"type": "null"})
}

func (f Form) about(text string) Form {
	if text == "" {
		return f
	}
	return f.with("description", text)
}

// with gives the form with one keyword more; f stays as it is.
func (f Form) with(keyword string, value any) Form {
	out := maps.Clone(f)
	out[keyword] = value
	return out
}

// JSONSchema writes the form of a whole file for editors.
func JSONSchema(title string, file Form) []byte {
	whole := file.with("$schema", editorDraft).with("title", title)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(whole); err != nil {
		panic("internal error: a form cannot be written as JSON: " + err.Error())
	}
	return b.Bytes()
}

// keyNames gives the names of keys in their order.
func keyNames(keys []Key) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	return names
}

// Schemas are the files of a repository for which there is a JSON Schema, by the
// name under which it is shipped.
func Schemas() map[string][]byte {
	values := Form{"type": []string{"object", "null"}}
	return map[string][]byte{
		"fleet": JSONSchema("fleet.yaml: which host plays which roles", Mapping(fleetKeys()).OrNothing()),
		"role":  JSONSchema("roles/NAME/role.yaml: what a path cannot say", Mapping(roleKeys()).OrNothing().with("definitions", schemaDefinitions())),
		"vars":  JSONSchema("hosts/NAME.yaml, vars.yaml and roles/NAME/vars.yaml: values for templates", values),
	}
}

// schemaDefinitions describe schema: of role.yaml, which is itself a JSON Schema.
func schemaDefinitions() Form {
	part := Form{"$ref": "#/definitions/schema"}
	properties := map[string]any{}
	for _, word := range slices.Sorted(maps.Keys(schemaKeywords())) {
		switch schemaKeywords()[word].holds {
		case holdsNone:
			properties[word] = plainKeyword(word)
		case holdsOne:
			properties[word] = part
		case holdsList:
			properties[word] = List(part)
		case holdsMap:
			properties[word] = MappingOf(part)
		}
	}
	return Form{"schema": Form{"type": []string{"object", "boolean"}, "properties": properties, "additionalProperties": false}}
}

// plainKeyword is what may stand behind a keyword that holds no schemas.
func plainKeyword(word string) Form {
	kinds := OneOf("array", "boolean", "integer", "null", "number", "object", "string")
	words := List(Form{"type": "string"})
	switch word {
	case "type":
		return Either(kinds, List(kinds).with("minItems", 1))
	case "format":
		return OneOf(schemaFormats()...)
	case "enum", "examples":
		return Form{"type": "array"}
	case "required":
		return words
	case "dependentRequired":
		return MappingOf(words)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return Form{"type": "number"}
	case "multipleOf":
		return Form{"type": "number", "exclusiveMinimum": 0}
	case "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties":
		return Form{"type": "integer", "minimum": 0}
	case "uniqueItems", "deprecated":
		return Truth()
	case "const":
		return Form{}
	}
	return Form{"type": "string"} // $schema, $ref, $comment, title, description, pattern
}
