package manifest

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkLoad renders 10,000 templates of 1 KiB with five values each, which
// one service reads, and wires the target.
func BenchmarkLoad(b *testing.B) {
	files := map[string]string{
		"fleet.yaml":                  everyHost,
		"vars.yaml":                   "a: 1\nb: two\nc: {d: three}\ne: [4]\nf: true\n",
		"roles/web/role.yaml":         "services: {app.service: {restart_on: [/etc/app/**]}}\n",
		"roles/web/units/app.service": "[Service]\nExecStart=/usr/bin/app --config /etc/app/0.conf\n",
	}
	text := "{{ .vars.a }} {{ .vars.b }} {{ .vars.c.d }} {{ first .vars.e }} {{ .facts.name }}\n" + strings.Repeat("x", 960)
	for i := range 10_000 {
		files[fmt.Sprintf("roles/web/files/etc/app/%d.conf.tmpl", i)] = text
	}
	repo := tree(files)
	b.ReportAllocs()
	for b.Loop() {
		target, err := Load(repo, someFacts(), Options{})
		if err == nil {
			err = Wire(target, nil)
		}
		if err != nil {
			b.Fatal(err)
		}
		Digest(target)
	}
}
