package manifest

import (
	"strings"
	"testing"
)

func TestExplainNamesTheValuesThatATemplateRead(t *testing.T) {
	for _, row := range []struct {
		sentence, template, want string
	}{
		{"a chain of keys", `{{ .vars.db.host }}`, "vars.db.host"},
		{"a mapping as a whole", `{{ toJson .vars.db }}`, "vars.db"},
		{"through a function and a pipe", `{{ .vars.port | add 1 | quote }}`, "vars.port"},
		{"inside with", `{{ with .vars.db }}{{ .host }}{{ end }}`, "vars.db.host"},
		{"the top from inside with", `{{ with .vars.db }}{{ $.vars.port }}{{ end }}`, "vars.port"},
		{"a variable", `{{ $db := .vars.db }}{{ $db.host }}`, "vars.db.host"},
		{"a variable that changes", `{{ $x := 1 }}{{ $x = .vars.port }}{{ $x }}`, "vars.port"},
		{"a list that range goes over", `{{ range .vars.list }}{{ .name }}{{ end }}`, "vars.list"},
		{"the branch that is not taken reads nothing", `{{ if .vars.on }}{{ .vars.port }}{{ else }}{{ .vars.db.host }}{{ end }}`, "vars.on,vars.port"},
		{"else", `{{ if not .vars.on }}{{ .vars.port }}{{ else }}{{ .vars.db.host }}{{ end }}`, "vars.db.host,vars.on"},
		{"an empty range reads only the list", `{{ range .vars.none }}{{ $.vars.port }}{{ end }}`, "vars.none"},
		{"get with a name", `{{ get .vars "port" }}{{ get .vars.db "user" | default "x" }}`, "vars.db.user,vars.port"},
		{"index with a name, and keys after it", `{{ (index .vars "db").host }}`, "vars.db.host"},
		{"a name that is computed reads the whole", `{{ get .vars (print "po" "rt") }}`, "vars"},
		{"facts", `{{ .facts.os.id }}{{ .role }}`, "facts.os.id,role"},
		{"a template that the file defines", `{{ define "x" }}{{ .host }}{{ end }}{{ template "x" .vars.db }}`, "vars.db.host"},
		{"a partial", `{{ include "p" .vars.db }}`, "vars.db.port"},
		{"a partial in a loop", `{{ range .vars.list }}{{ include "q" $ }}{{ end }}`, "vars.list,vars.port"},
		{"a comparison", `{{ if and .vars.on (eq .vars.port 1) }}{{ end }}`, "vars.on,vars.port"},
		{"nothing", `text`, ""},
		{"templates that call each other", `{{ define "x" }}{{ if .kids }}{{ range .kids }}{{ template "x" . }}{{ end }}{{ end }}{{ end }}{{ template "x" .vars.tree }}`, "vars.tree.kids"},
	} {
		e, err := Explain(tree(map[string]string{
			"fleet.yaml":                 everyHost,
			"vars.yaml":                  "port: 1\non: true\nnone: []\nlist: [{name: a}]\ndb: {host: h, port: 2}\ntree: {kids: [{kids: []}]}\n",
			"roles/web/files/etc/a.tmpl": row.template,
			"roles/web/templates/p.tmpl": "{{ .port }}",
			"roles/web/templates/q.tmpl": "{{ .vars.port }}",
		}), someFacts(), Options{}, nil)
		if err != nil {
			t.Errorf("%s: %v", row.sentence, err)
			continue
		}
		var reads []string
		for _, r := range e.build.uses["/etc/a"].reads {
			reads = append(reads, strings.Join(r, "."))
		}
		if got := strings.Join(reads, ","); got != row.want {
			t.Errorf("%s: got %s, want %s", row.sentence, got, row.want)
		}
	}
}

func TestExplainPathNamesValuesWithTheirLines(t *testing.T) {
	e := explained(t, "example")
	p, _ := e.Path("/etc/app/app.conf")
	var got []string
	for _, v := range p.Vars {
		last := v.Settings[len(v.Settings)-1]
		got = append(got, v.Name+" "+spot(last.Place))
	}
	want := "allowed hosts/web-1.yaml:1, db.host vars.yaml:2, db.name fleet.yaml:4, db.port vars.yaml:3, log_level fleet.yaml:6, workers fleet.yaml:4"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	if facts := strings.Join(p.Facts, ","); facts != "labels,labels.env,name,os.version_id" && facts != "labels,name,os.version_id" {
		t.Errorf("facts %s", facts)
	}
	if p.Attributes == nil || spot(*p.Attributes) != "roles/web/role.yaml:2" {
		t.Errorf("attributes %v", p.Attributes)
	}
	if v := e.Vars("workers"); strings.Join(v[0].UsedBy, ",") != "/etc/app/app.conf,/etc/systemd/system/app.service" {
		t.Errorf("workers is used by %v", v[0].UsedBy)
	}
}

func TestExplainNamesWhatATimerStarts(t *testing.T) {
	e, err := Explain(tree(map[string]string{
		"fleet.yaml":                      everyHost,
		"roles/web/role.yaml":             "services: {backup.timer: {}}\n",
		"roles/web/units/backup.timer":    "[Timer]\nOnCalendar=daily\n",
		"roles/web/units/backup.service":  "[Service]\nType=oneshot\nExecStart=/usr/bin/backup --config /etc/backup.conf\n",
		"roles/web/files/etc/backup.conf": "x",
	}), someFacts(), Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := e.Path("/etc/backup.conf")
	if len(p.Readers) != 1 || p.Readers[0].Unit != "backup.service" || !p.Readers[0].Later || len(p.OnChange) != 0 {
		t.Errorf("got %+v", p)
	}
	u, ok := e.Unit("backup.service")
	if !ok || u.Listed || len(u.Files) != 1 || len(u.Reads) == 0 {
		t.Errorf("got %+v", u)
	}
}
