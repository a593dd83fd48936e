package apply

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"evenkeel/agent/plan"
)

// sketchOf makes a target of file contents by path; mode 0755 where the content
// is a script.
func sketchOf(files map[string]string) *plan.Target {
	t := &plan.Target{State: plan.State{Paths: map[string]plan.Path{}}, Content: map[string][]byte{}}
	for p, text := range files {
		at := plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: p}
		if to, isLink := strings.CutPrefix(text, "-> "); isLink {
			at = plan.Path{Kind: plan.Link, Link: to}
		} else if strings.HasPrefix(text, "#!") {
			at.Mode = 0o755
		}
		t.State.Paths[p], t.Content[p] = at, []byte(text)
	}
	return t
}

// fakeAnalyze is a systemd-analyze that answers what it is told, with the root
// directory in front of each path, as the real one does.
func fakeAnalyze(t *testing.T, says string) *Analyze {
	program := filepath.Join(t.TempDir(), "systemd-analyze")
	script := "#!/bin/sh\nfor a; do case $a in --root=*) root=${a#--root=};; esac; done\nsed \"s|ROOT|$root|g\" >&2 <<'END'\n" + says + "\nEND\nexit 1\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Analyze{program}
}

// The lines are those that systemd-analyze of systemd 252 printed.
func TestVerifyKeepsWhatTheRepositoryCanMend(t *testing.T) {
	const app, limits, timer = "/etc/systemd/system/app.service", "/etc/systemd/system/nginx.service.d/x.conf", "/etc/systemd/system/bad.timer"
	target := sketchOf(map[string]string{
		app: "[Service]\nExecStrat=/x\n", limits: "[Service]\nRestrt=no\n", timer: "[Timer]\n", "/usr/local/bin/app": "x",
		"/etc/systemd/system/masked.service": "-> /dev/null",
	})
	faults, err := fakeAnalyze(t, `ROOT/etc/systemd/system/app.service:2: Unknown key 'ExecStrat' in section [Service], ignoring.
ROOT/etc/systemd/system/nginx.service.d/x.conf:2: Unknown key 'Restrt' in section [Service], ignoring.
nginx.service: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.
Unit nginx.service has a bad unit file setting.
bad.timer: Timer unit lacks value setting. Refusing.
Unit bad.timer has a bad unit file setting.
app.service: Command /usr/local/bin/app is not executable: Permission denied
app.service: Command /usr/bin/gone is not executable: No such file or directory
/usr/lib/systemd/system/other.service:9: Unknown key 'X' in section [Unit], ignoring.`).Verify(context.Background(), target)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range faults {
		got = append(got, f.String())
	}
	want := []string{
		app + ": Command /usr/local/bin/app is not executable: Permission denied",
		app + ":2: Unknown key 'ExecStrat' in section [Service], ignoring.",
		timer + ": Timer unit lacks value setting. Refusing.",
		limits + ":2: Unknown key 'Restrt' in section [Service], ignoring.",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVerifyWritesOnlyBelowItsRoot(t *testing.T) {
	top := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	target := sketchOf(map[string]string{
		"/etc/systemd/system/a.service":                            "[Service]\nExecStart=/usr/local/bin/a\n",
		"/etc/systemd/system/multi-user.target.wants/a.service":    "-> ../a.service",
		"/etc/systemd/system/b.service":                            "-> " + outside,
		"/etc/systemd/system/b.service.d/x.conf":                   "[Unit]\n",
		"/usr/local/bin/a":                                         "#!/bin/sh\necho secret\n",
		"/etc/secret":                                              "hunter2",
		"/usr/local/lib/systemd/system/vendor.service.d/only.conf": "[Unit]\n",
	})
	if err := writeSketch(top, target, []string{"a.service", "b.service", "vendor.service"}, map[string]bool{"a.service": true}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"etc/systemd/system/a.service":      "[Service]\nExecStart=/usr/local/bin/a\n",
		"etc/systemd/system/vendor.service": "[Unit]\n",
		"usr/local/bin/a":                   "",
		"etc/secret":                        "",
	} {
		got, err := os.ReadFile(filepath.Join(top, name))
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
		}
	}
	if info, err := os.Stat(filepath.Join(top, "usr/local/bin/a")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("a program cannot be run in the sketch: %v, %v", info, err)
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Error("something was written through a link")
	}
}
