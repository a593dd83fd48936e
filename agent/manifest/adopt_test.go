package manifest

import (
	"testing"
	"testing/fstest"

	"evenkeel/agent/plan"
)

// FileFor is the reverse of Load: what it names brings the path.
func TestFileForIsTheReverseOfLoad(t *testing.T) {
	const unit = "[Service]\nExecStart=/bin/true\n[Container]\nImage=localhost/app\n"
	for dest, want := range map[string]string{
		"/etc/nginx/nginx.conf":                          "roles/web/files/etc/nginx/nginx.conf",
		"/opt/app/bin/app":                               "roles/web/files/opt/app/bin/app",
		"/etc/systemd/system/app.service":                "roles/web/units/app.service",
		"/etc/systemd/system/app@.service":               "roles/web/units/app@.service",
		"/etc/systemd/system/app.service.d/limits.conf":  "roles/web/units/app.service.d/limits.conf",
		"/etc/systemd/system/app.service.d/README":       "roles/web/files/etc/systemd/system/app.service.d/README",
		"/etc/containers/systemd/cache.container":        "roles/web/units/cache.container",
		"/etc/containers/systemd/notes.txt":              "roles/web/files/etc/containers/systemd/notes.txt",
		"/usr/local/lib/systemd/system/app.service":      "roles/web/files/usr/local/lib/systemd/system/app.service",
		"/etc/systemd/system/app.container":              "roles/web/files/etc/systemd/system/app.container",
		"/etc/containers/systemd/app.service":            "roles/web/files/etc/containers/systemd/app.service",
		"/etc/containers/systemd/a.container.d/own.conf": "roles/web/units/a.container.d/own.conf",
	} {
		got, fault := FileFor("web", dest)
		if got != want || fault != "" {
			t.Errorf("%s: %q, %s; want %q", dest, got, fault, want)
			continue
		}
		tree := fstest.MapFS{
			"fleet.yaml": {Data: []byte("hosts:\n  - match: h\n    roles: [web]\n")},
			got:          {Data: []byte(unit), Mode: 0o644},
		}
		target, err := Load(tree, Facts{Name: "h"}, Options{})
		if err != nil {
			t.Errorf("%s: %v", dest, err)
			continue
		}
		if _, brought := target.State.Paths[dest]; !brought {
			t.Errorf("%s does not bring %s, but %v", got, dest, target.State.Paths)
		}
	}
	for _, dest := range []string{"/etc/x.tmpl", "/etc/x.age", "/etc/empty/.gitkeep", "/etc/systemd/system/x.service.tmpl"} {
		if file, fault := FileFor("web", dest); fault == "" {
			t.Errorf("%s: %q would bring it", dest, file)
		}
	}
}

func TestMayManageIsTheGuardOfLoad(t *testing.T) {
	for p, may := range map[string]bool{"/etc/motd": true, "/etc/shadow": false, "/home/a/x": false, "/etc/evenkeel/config.yaml": false, "/etc": false} {
		if fault, _ := MayManage(p, plan.File, Options{}); (fault == "") != may {
			t.Errorf("%s: %q", p, fault)
		}
	}
}
