package manifest

import (
	"fmt"
	"strings"
	"testing"

	"evenkeel/agent/plan"
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

// manyHosts is a repository of hosts that get 20 files each, of two roles of
// four: half of the files templates, three of them units.
func manyHosts(hosts int) map[string]string {
	files := map[string]string{
		"fleet.yaml": "hosts:\n  - {match: '*', roles: [base]}\n  - {match: 'web-*', roles: [web]}\n  - {match: 'db-*', roles: [db]}\n" +
			"  - {match: 'app-*', roles: [app]}\n  - {match: {labels: {env: prod}}, vars: {level: warn}}\n",
		"vars.yaml": "level: info\ndomain: example.org\nports: {web: 80, db: 5432}\n",
	}
	kinds := []string{"web", "db", "app"}
	for _, role := range append(kinds, "base") {
		dir := "roles/" + role + "/"
		files[dir+"role.yaml"] = fmt.Sprintf("services:\n  %s.service: {restart_on: [/etc/%s/**], checks: [{tcp: '127.0.0.1:80'}]}\n", role, role)
		files[dir+"vars.yaml"] = role + ": {workers: 4}\n"
		files[dir+"units/"+role+".service.tmpl"] = fmt.Sprintf("[Unit]\nDescription=%s on {{ .facts.name }}\nAfter=network.target\n[Service]\n"+
			"ExecStart=/usr/bin/%s --config /etc/%s/0.conf\nEnvironmentFile=/etc/%s/1.conf\n[Install]\nWantedBy=multi-user.target\n", role, role, role, role)
		for i := range 5 {
			files[fmt.Sprintf("%sfiles/etc/%s/%d.conf.tmpl", dir, role, i)] = "{{ .vars.level }} {{ .vars.domain }} {{ .vars.ports.web }} {{ .facts.name }} {{ .vars." +
				role + ".workers }}\n" + strings.Repeat("x", 960)
			if i < 4 {
				files[fmt.Sprintf("%sfiles/etc/%s/%d.txt", dir, role, i)] = strings.Repeat("y", 1024)
			}
		}
	}
	for i := range hosts {
		files[fmt.Sprintf("hosts/%s-%d.yaml", kinds[i%len(kinds)], i)] = fmt.Sprintf("serial: %d\n", i)
	}
	return files
}

// BenchmarkCheck looks at 1,000 hosts with 20 files each, under two sets of
// labels.
func BenchmarkCheck(b *testing.B) {
	repo := tree(manyHosts(1000))
	b.ReportAllocs()
	for b.Loop() {
		hosts := map[string]bool{}
		problems, err := Open(repo, Options{}).Check(func(of Case, t *plan.Target) {
			hosts[of.Facts.Name] = true
			if len(t.State.Paths) != 20+2 { // and the two links that enable
				b.Fatalf("%s has %d paths", of.Facts.Name, len(t.State.Paths))
			}
		})
		if err != nil || len(problems) > 0 || len(hosts) != 1000 {
			b.Fatal(err, problems, len(hosts))
		}
	}
}
