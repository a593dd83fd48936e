package manifest

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The set of facts is a promise to every template. A new one is added here and
// to the manual; none is ever renamed or taken away.
func TestTheSetOfFactsIsStable(t *testing.T) {
	want := []string{
		"addresses", "arch", "cpus", "fqdn", "kernel", "labels", "machine_id", "memory_bytes", "name", "os",
		"systemd_version", "virtualization",
	}
	if got := slices.Sorted(maps.Keys(someFacts().Values())); !slices.Equal(got, want) {
		t.Errorf("templates see the facts %v, want %v", got, want)
	}
	var written map[string]any
	text, err := json.Marshal(allFacts())
	if err == nil {
		err = json.Unmarshal(text, &written)
	}
	if got := slices.Sorted(maps.Keys(written)); err != nil || !slices.Equal(got, want) {
		t.Errorf("the JSON form has the facts %v (%v), want %v", got, err, want)
	}
}

// allFacts is a host of which every fact is known.
func allFacts() Facts {
	f := someFacts()
	f.Labels["env"] = "prod"
	return f
}

func TestManualHasEveryFact(t *testing.T) {
	_, section, _ := strings.Cut(manual(t), "\n## FACTS\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for name := range someFacts().Values() {
		if strings.Count(section, "| `.facts."+name+"` |") != 1 {
			t.Errorf("the manual's section FACTS has no row for %q", name)
		}
	}
}

func TestParseFactsReadsWhatIsPrinted(t *testing.T) {
	text, err := json.MarshalIndent(allFacts(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseFacts(append(text, '\n'))
	if err != nil || !reflect.DeepEqual(got, allFacts()) {
		t.Errorf("got %+v, %v, want %+v", got, err, allFacts())
	}
}

func TestParseFactsRefuses(t *testing.T) {
	for _, row := range []struct{ what, text, want string }{
		{"nothing", "", "the file ends too early"},
		{"half of it", `{"name": "web-1",`, "the file ends too early"},
		{"no JSON", "name: web-1\n", "line 1: not valid JSON: invalid character 'a' in literal null (expecting 'u')"},
		{"a misspelt fact", "{\"name\": \"a\",\n\"kernle\": \"6\"}", `line 2: unknown fact "kernle"; did you mean "kernel"?`},
		{"a text for a number", "{\"name\": \"a\",\n\"cpus\": \"four\"}", "line 2: cpus: a whole number is needed here, found a string"},
		{"a number for a label", `{"name": "a", "labels": {"n": 1}}`, "line 1: labels: a text is needed here, found a number"},
		{"facts of two hosts", `{"name": "a"} {"name": "b"}`, "more than one value: the facts of one host stand in one file"},
		{"no name", `{"cpus": 4}`, "there is no name: the host's name in fleet.yaml"},
		{"a name that leaves hosts/", `{"name": "../x"}`, `"../x" is not a host name`},
		{"far too much", `{"name": "` + strings.Repeat("a", maxFactsBytes) + `"}`, "more than 1048576 bytes"},
	} {
		if f, err := ParseFacts([]byte(row.text)); err == nil || err.Error() != row.want {
			t.Errorf("%s: got %+v, %v, want %s", row.what, f, err, row.want)
		}
	}
}
