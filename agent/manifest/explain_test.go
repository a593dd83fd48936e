package manifest

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"evenkeel/agent/plan"
)

// explained loads one of the golden cases.
func explained(t *testing.T, name string) *Explanation {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	c := readCase(t, txtar.Parse(text))
	e, err := Explain(c.tree, c.facts, c.opts, c.vendor)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestExplainNamesEntriesRolesAndLayers(t *testing.T) {
	e := explained(t, "layers")
	at := func(line int) plan.Place { return plan.Place{File: "fleet.yaml", Line: line} }
	if want := []Entry{{"web-?", at(2)}, {"web-1, labels env=prod", at(3)}, {"*", at(6)}}; !reflect.DeepEqual(e.Entries, want) {
		t.Errorf("entries %v", e.Entries)
	}
	if want := []Said{{"base", at(2)}, {"web", at(2)}}; !reflect.DeepEqual(e.Roles, want) {
		t.Errorf("roles %v", e.Roles)
	}
	var layers []string
	for _, l := range e.Layers {
		layers = append(layers, l.Name+" "+spot(l.Place))
	}
	want := "every host vars.yaml, role base roles/base/vars.yaml, role web roles/web/vars.yaml, " +
		"hosts matching web-? fleet.yaml:2, hosts matching web-1, labels env=prod fleet.yaml:3, host web-1 hosts/web-1.yaml"
	if got := strings.Join(layers, ", "); got != want {
		t.Errorf("layers %s", got)
	}
}

func TestExplainVar(t *testing.T) {
	e := explained(t, "layers")
	for _, row := range []struct {
		sentence, name, want string
	}{
		{"each layer overrides the one before", "a",
			`a: vars.yaml:1 "global", roles/base/vars.yaml:1 "base", roles/web/vars.yaml:1 "web", fleet.yaml:2 "fleet1", fleet.yaml:3 "fleet2"`},
		{"a list is replaced as a whole", "l", `l: vars.yaml:2 [1, 2], hosts/web-1.yaml:1 [3]`},
		{"a key in a mapping that merges", "m.y", `m.y: vars.yaml:3 "global", fleet.yaml:3 "fleet2"`},
		{"a mapping stands for all below it", "m",
			"m.x: vars.yaml:3 \"global\", fleet.yaml:2 \"fleet1\", hosts/web-1.yaml:2 \"host\"\nm.y: vars.yaml:3 \"global\", fleet.yaml:3 \"fleet2\"\n" +
				"m.z.deep: vars.yaml:3 \"global\"\nm.z.more: roles/base/vars.yaml:2 \"base\""},
		{"nothing sets it", "nowhere", ""},
		{"the beginning of a name is no name", "m.", ""},
	} {
		var lines []string
		for _, r := range e.Vars(row.name) {
			var settings []string
			for _, s := range r.Settings {
				settings = append(settings, spot(s.Place)+" "+s.Text)
			}
			lines = append(lines, r.Name+": "+strings.Join(settings, ", "))
		}
		if got := strings.Join(lines, "\n"); got != row.want {
			t.Errorf("%s: got %s\nwant %s", row.sentence, got, row.want)
		}
	}
}

func TestExplainVarOfARepositoryWithProblems(t *testing.T) {
	e, err := Explain(tree(map[string]string{
		"fleet.yaml": everyHost, "vars.yaml": "a: {b: 1}\n", "roles/web/vars.yaml": "a: text\n", "hosts/web-1.yaml": "a: {b: -----BEGIN AGE ENCRYPTED FILE-----}\n",
		"roles/web/files/proc/x": "x",
	}), someFacts(), Options{}, nil)
	if len(asProblems(err)) != 1 {
		t.Fatalf("problems %v", err)
	}
	got := e.Vars("a.b")
	want := []Setting{
		{"a.b", plan.Place{File: "vars.yaml", Line: 1}, "every host", "1"},
		{"a", plan.Place{File: "roles/web/vars.yaml", Line: 1}, "role web", `"text"`},
		{"a.b", plan.Place{File: "hosts/web-1.yaml", Line: 1}, "host web-1", "<secret>"},
	}
	if len(got) != 1 || !reflect.DeepEqual(got[0].Settings, want) {
		t.Errorf("got %v", got)
	}
	if _, ok := e.Path("/proc/x"); ok || e.Target != nil {
		t.Error("there is a target")
	}
}

func TestExplainPath(t *testing.T) {
	e := explained(t, "example")
	p, ok := e.Path("/etc/app/app.conf")
	if !ok || p.Role != "web" || p.Place.File != "roles/web/files/etc/app/app.conf.tmpl" || !p.Template || p.What != "file 0640 root:www-data" {
		t.Errorf("got %+v", p)
	}
	want := []Reader{{Unit: "app.service", Edges: []string{"ExecStart=", "ConfigurationDirectory="}}}
	if !reflect.DeepEqual(p.Readers, want) {
		t.Errorf("readers %+v", p.Readers)
	}
	if want := []Effect{{"app.service", "restart", []string{"/etc/app/app.conf changed"}}}; !reflect.DeepEqual(p.OnChange, want) {
		t.Errorf("on change %+v", p.OnChange)
	}
	if p, _ := e.Path("/etc/app/routes.yaml"); len(p.OnChange) != 1 || p.OnChange[0].Verb != "reload" || !p.Readers[0].Soft {
		t.Errorf("routes %+v", p)
	}
	if _, ok := e.Path("/etc/nothing"); ok {
		t.Error("a path that nobody asks for is explained")
	}
}

func TestExplainUnit(t *testing.T) {
	e := explained(t, "example")
	u, ok := e.Unit("postgresql.service")
	if !ok || !u.Listed || u.Role != "web" || spot(*u.Place) != "roles/web/role.yaml:9" || len(u.Files) != 1 || len(u.Links) != 2 {
		t.Errorf("got %+v", u)
	}
	want := []Effect{
		{"postgresql.service", "restart", []string{"/etc/systemd/system/postgresql.service.d/memory.conf changed"}},
		{"app.service", "restart", []string{"postgresql.service restarts"}},
	}
	if len(u.OnChange) != 2 || u.OnChange[0].Unit != want[0].Unit || u.OnChange[1].Unit != want[1].Unit || u.Reload == "" {
		t.Errorf("on change %+v", u.OnChange)
	}
	if _, ok := e.Unit("nothing.service"); ok {
		t.Error("a unit that nobody brings is explained")
	}
}
