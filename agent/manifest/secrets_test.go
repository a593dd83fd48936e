package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"
)

// fakeKeys opens what these tests call encrypted: age's armour around "WHO: TEXT".
func fakeKeys(who string) func([]byte) ([]byte, error) {
	return func(sealed []byte) ([]byte, error) {
		text, ok := strings.CutPrefix(strings.TrimSpace(string(sealed)), armoured+"\n")
		if !ok {
			return nil, errors.New("it is not encrypted with age")
		}
		text = strings.TrimSuffix(text, "\n-----END AGE ENCRYPTED FILE-----")
		text, ours := strings.CutPrefix(text, who+": ")
		if !ours {
			return nil, errors.New("it is not encrypted to this host")
		}
		return []byte(text), nil
	}
}

func sealFor(who, text string) string {
	return armoured + "\n" + who + ": " + text + "\n-----END AGE ENCRYPTED FILE-----\n"
}

func TestSecretsPrintNothing(t *testing.T) {
	const canary = "cAnArY"
	s := Secret{sealed: canary}
	var log strings.Builder
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))} {
		logger.Info("x", "secret", s, "in", map[string]any{"a": s}, "group", slog.GroupValue(slog.Any("b", s)))
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{s, &s, []any{s}, map[string]any{"a": s}, struct{ S Secret }{s}} {
			fmt.Fprintf(&log, format+"\n", v)
		}
	}
	for _, encode := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := encode(map[string]any{"a": s, "b": []any{&s}})
		if err != nil {
			t.Error(err)
		}
		log.Write(text)
	}
	if strings.Contains(log.String(), canary) || strings.Contains(log.String(), fmt.Sprintf("%x", canary)) {
		t.Errorf("a secret is printed:\n%s", log.String())
	}
	if strings.Count(log.String(), redacted) < 40 {
		t.Errorf("not every secret is shown as redacted:\n%s", log.String())
	}
}

// Whatever a template does with a secret, what comes out is secret, and what has
// nothing of it is not.
func TestWhatHoldsASecretIsOne(t *testing.T) {
	vars := "db:\n  host: db-1\n  password: |\n" + indentBy(4, sealFor("ours", "hunter2")) +
		"tokens:\n  - plain\n  - |\n" + indentBy(4, sealFor("ours", "t0ken")) + "port: 80\n"
	for _, row := range []struct {
		template string
		secret   bool
	}{
		{"port={{ .vars.port }}", false},
		{"host={{ .vars.db.host }}", false},
		{"{{ with .vars.db }}{{ .host }}{{ end }}", false},
		{"{{ get .vars.db \"host\" }}", false},
		{"{{ get .vars \"nothing\" | default \"x\" }}", false},
		{"{{ index .vars.tokens 0 }}", false},
		{"{{ first .vars.tokens }}", false},
		{"{{ if hasKey .vars \"port\" }}x{{ end }}", false},
		{"{{ keys .vars }}", false},
		{"{{ .facts.name }}", false},
		{"p={{ .vars.db.password }}", true},
		{"p={{ $.vars.db.password }}", true},
		{"{{ with .vars.db }}{{ .password }}{{ end }}", true},
		{"{{ $x := .vars }}{{ $x.db.password }}", true},
		{"{{ range .vars.tokens }}{{ . }}{{ end }}", true},
		{"{{ range $k, $v := .vars.db }}{{ $v }}{{ end }}", true},
		{"{{ join \",\" .vars.tokens }}", true},
		{"{{ last .vars.tokens }}", true},
		{"{{ index .vars.tokens 1 }}", true},
		{"{{ index .vars.db \"password\" }}", true},
		{"{{ get .vars.db \"password\" }}", true},
		{"{{ b64enc .vars.db.password }}", true},
		{"{{ sha256sum .vars.db.password }}", true},
		{"{{ upper .vars.db.password | quote }}", true},
		{"{{ len .vars.db.password }}", true},
		{"{{ slice .vars.db.password 0 1 }}", true},
		{"{{ toYaml .vars }}", true},
		{"{{ toJson . }}", true},
		{"{{ printf \"%v\" .vars.db }}", true},
		{"{{ if eq .vars.db.password \"x\" }}a{{ else }}b{{ end }}", true},
		{"{{ if .vars.db.password }}auth on{{ end }}", true},
		{"{{ define \"p\" }}{{ .db.password }}{{ end }}{{ template \"p\" .vars }}", true},
		{"{{ include \"login\" .vars }}", true},
		{"{{ include \"place\" .vars }}", false},
	} {
		tree := fstest.MapFS{
			"fleet.yaml":                     {Data: []byte("hosts:\n  - {match: \"*\", roles: [web]}\n")},
			"vars.yaml":                      {Data: []byte(vars)},
			"roles/web/files/etc/a.tmpl":     {Data: []byte(row.template)},
			"roles/web/templates/login.tmpl": {Data: []byte("{{ with .db }}{{ b64enc .password }}{{ end }}")},
			"roles/web/templates/place.tmpl": {Data: []byte("{{ .db.host }}:{{ .port }}")},
			"roles/web/files/etc/motd":       {Data: []byte("hello")},
			"roles/web/files/etc/k.age":      {Data: []byte(sealFor("ours", "k3y"))},
			"roles/web/files/etc/b.tmpl":     {Data: []byte("{{ .role }}")},
			"roles/web/files/etc/sub/x.c":    {Data: []byte("x")},
		}
		target, err := Load(tree, someFacts(), Options{Decrypt: fakeKeys("ours")})
		if err != nil {
			t.Errorf("%s: %v", row.template, err)
			continue
		}
		mode := uint32(0o644)
		if row.secret {
			mode = 0o600
		}
		if got := target.Secret["/etc/a"]; got != row.secret || target.State.Paths["/etc/a"].Mode != mode {
			t.Errorf("%s: secret %v, mode %04o; want secret %v, mode %04o", row.template, got, target.State.Paths["/etc/a"].Mode, row.secret, mode)
		}
		if !target.Secret["/etc/k"] || target.Secret["/etc/motd"] || target.Secret["/etc/b"] {
			t.Errorf("%s: the secret files are %v", row.template, target.Secret)
		}
	}
}

// Nothing but the contents of secret files says a secret: no problem, warning,
// place or digest does.
func TestNothingButTheFileSaysASecret(t *testing.T) {
	const canary = "cAnArY-9e3f"
	faults := []string{
		"{{ .vars.pw.x }}", "{{ index .vars.pw \"x\" }}", "{{ range .vars.pw }}{{ end }}", "{{ add .vars.pw 1 }}",
		"{{ fail .vars.pw }}", "{{ fail (print \"no \" .vars.pw) }}", "{{ b64dec .vars.pw }}", "{{ required .vars.pw \"\" }}",
		"{{ index .vars .vars.pw }}", "{{ index .vars.list .vars.pw }}", "{{ template .vars.pw }}", "{{ join .vars.pw .vars }}",
		"{{ call .vars.pw }}", "{{ printf .vars.pw }}{{ .vars.nothing }}", "{{ .vars.pw | nofunc }}", "{{ slice .vars.pw 400 }}",
		"{{ lt .vars.pw 3 }}", "{{ get .vars.pw .vars.pw }}", "{{ dict .vars.pw }}", "{{ int .vars.pw }}",
	}
	tree := fstest.MapFS{
		"fleet.yaml": {Data: []byte("hosts:\n  - {match: \"*\", roles: [web]}\n")},
		"vars.yaml":  {Data: []byte("list: [a]\npw: |\n" + indentBy(2, sealFor("ours", canary)))},
		"roles/web/units/app.service.d/a.conf.tmpl": {Data: []byte("[Service]\nEnvironment=\"PW={{ .vars.pw }}\n{{ .vars.pw }}\n")},
		"roles/web/files/etc/key.age":               {Data: []byte(sealFor("ours", canary))},
		"roles/web/files/etc/x.tmpl.age":            {Data: []byte(sealFor("ours", "{{ "+canary+" }}"))},
		"roles/web/role.yaml":                       {Data: []byte("files:\n  /etc/key: {mode: \"0604\"}\n")},
	}
	for i, fault := range faults {
		tree[fmt.Sprintf("roles/web/files/etc/%02d.tmpl", i)] = &fstest.MapFile{Data: []byte(fault)}
	}
	_, err := Load(tree, someFacts(), Options{Decrypt: fakeKeys("ours")})
	if err == nil || len(asProblems(err)) < len(faults) {
		t.Errorf("too few problems: %v", err)
	}
	if strings.Contains(fmt.Sprintf("%+v %#v", err, err), canary) {
		t.Errorf("a problem quotes a secret:\n%v", err)
	}
}

func indentBy(n int, text string) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+pad) + "\n"
}
