package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/units"
)

// adoptable is a host that somebody set up by hand, and a checkout.
type adoptable struct {
	*daemon
	t    *testing.T
	w    *world
	repo string
}

func newAdoptable(t *testing.T) *adoptable {
	t.Helper()
	w := newWorld(newScenario(1))
	w.disk.PutFile("/etc/systemd/system/app.service", "[Unit]\nDescription=app\n[Service]\nEnvironmentFile=/etc/app/app.env\nExecStart=/usr/local/bin/app\n[Install]\nWantedBy=multi-user.target\n", rootFile)
	w.disk.PutLink("/etc/systemd/system/multi-user.target.wants/app.service", "/etc/systemd/system/app.service")
	w.disk.PutFile("/etc/systemd/system/vendor.service.d/nice.conf", "[Service]\nNice=5\n", rootFile)
	w.disk.PutFile("/etc/systemd/system/idle.service", "[Service]\nExecStart=/usr/bin/idle\n", rootFile)
	w.disk.PutFile("/etc/app/app.env", "A=1\n", apply.Attr{Mode: 0o640, UID: 0, GID: 100})
	w.disk.PutFile("/etc/app/sites/one.conf", "one\n", rootFile)
	w.disk.PutDir("/etc/app/spool", apply.Attr{Mode: 0o750, UID: 100, GID: 100})
	w.disk.PutLink("/etc/app/current", "sites/one.conf")
	w.disk.PutFile("/usr/local/bin/app", "#!/bin/sh\n", apply.Attr{Mode: 0o755})
	w.disk.PutFile("/etc/app/key.pem", "-----BEGIN EC PRIVATE KEY-----\n", apply.Attr{Mode: 0o600})
	w.disk.PutFile("/etc/app/suid", "x", apply.Attr{Mode: 0o4755})
	w.disk.PutLink("/etc/linked", "app")
	w.disk.PutOther("/etc/pipe")
	ctx := context.Background()
	if err := w.sd.DaemonReload(ctx); err != nil {
		t.Fatal(err)
	}
	w.sd.Tick(3)
	for _, name := range []string{"app.service", "vendor.service"} {
		if word, err := w.sd.Run(ctx, units.Restart, name); err != nil || word != units.Done {
			t.Fatalf("restart %s: %s, %v", name, word, err)
		}
	}
	h, err := w.host()
	if err != nil {
		t.Fatal(err)
	}
	repo := t.TempDir()
	a := &adoptable{&daemon{host: h, cfg: Config{Host: "host", StateDir: stateDir, CacheDir: "/var/cache/evenkeel"}}, t, w, repo}
	a.put("fleet.yaml", "hosts:\n  - match: host\n    roles: [web]\n")
	return a
}

func (a *adoptable) put(name, text string) {
	a.t.Helper()
	file := filepath.Join(a.repo, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		a.t.Fatal(err)
	}
}

// checkout is every file of the checkout with its mode and text.
func (a *adoptable) checkout() map[string]string {
	a.t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(a.repo), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(a.repo, name))
		all[name] = fmt.Sprintf("%04o %s", info.Mode().Perm(), text)
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return all
}

// plan is what the checkout would do on the host.
func (a *adoptable) plan() Preview {
	a.t.Helper()
	var reply RenderReply
	var err error
	reply.Target, err = manifest.Load(os.DirFS(a.repo), manifest.Facts{Name: "host"}, manifest.Options{DigestKey: a.host.index.Key})
	var problems manifest.Problems
	if errors.As(err, &problems) {
		reply.Problems = problems
	} else if err != nil {
		a.t.Fatal(err)
	}
	var p Preview
	if err := a.previewOf(context.Background(), reply, &p); err != nil {
		a.t.Fatal(err)
	}
	return p
}

func (a *adoptable) adopt(force bool, names ...string) (Adoption, error) {
	return a.adoptInto(context.Background(), AdoptRequest{Names: names, Role: "web", Repo: a.repo, Force: force})
}

func TestAdoptEndsInAnEmptyPlan(t *testing.T) {
	a := newAdoptable(t)
	a.put("roles/web/role.yaml", "# The web role.\nservices:\n  # none yet\n")
	before := a.w.disk.Tree("/")
	got, err := a.adopt(false, "app.service", "vendor.service", "idle.service", "/etc/app/app.env", "/etc/app/sites/", "/etc/app/spool", "/etc/app/current", "/usr/local/bin/app")
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(before, a.w.disk.Tree("/")) {
		t.Error("the host was touched")
	}
	delete(before, "/")
	want := map[string]string{
		"fleet.yaml": "0644 hosts:\n  - match: host\n    roles: [web]\n",
		"roles/web/role.yaml": `0644 # The web role.
services:
  # none yet
  app.service: {}
  vendor.service: {}
files:
  /etc/app/app.env: {mode: "0640", group: app}
directories:
  /etc/app/spool: {mode: "0750", owner: app, group: app}
links:
  /etc/app/current: sites/one.conf
`,
		"roles/web/units/app.service":                "0644 [Unit]\nDescription=app\n[Service]\nEnvironmentFile=/etc/app/app.env\nExecStart=/usr/local/bin/app\n[Install]\nWantedBy=multi-user.target\n",
		"roles/web/units/vendor.service.d/nice.conf": "0644 [Service]\nNice=5\n",
		"roles/web/units/idle.service":               "0644 [Service]\nExecStart=/usr/bin/idle\n",
		"roles/web/files/etc/app/app.env":            "0644 A=1\n",
		"roles/web/files/etc/app/sites/one.conf":     "0644 one\n",
		"roles/web/files/usr/local/bin/app":          "0755 #!/bin/sh\n",
	}
	for name, text := range merge(want, a.checkout()) {
		if now := a.checkout()[name]; now != want[name] {
			t.Errorf("%s is %q, want %q (%q)", name, now, want[name], text)
		}
	}
	notes := strings.Join(got.Notes, "\n")
	for _, note := range []string{"idle.service does not run", "/etc/app/app.env cannot be read by everybody", "/usr/lib/systemd/system/vendor.service is a package's"} {
		if !strings.Contains(notes, note) {
			t.Errorf("no note that %q:\n%s", note, notes)
		}
	}
	if p := a.plan(); len(p.Steps)+len(p.Problems)+len(p.Waiting)+len(p.Asks) > 0 || !slices.Equal(p.Roles, []string{"web"}) {
		t.Errorf("the plan is not empty: %+v", p)
	}

	// Once more changes nothing, and says so.
	again, err := a.adopt(false, "app.service", "/etc/app/app.env")
	if err != nil || slices.ContainsFunc(again.Wrote, func(w Written) bool { return w.How != "as it is" }) {
		t.Errorf("the second time: %+v, %v", again.Wrote, err)
	}
	// What the processes have not read shows in the plan.
	a.w.sd.Tick(3)
	a.w.disk.PutFile("/etc/app/app.env", "A=2\n", apply.Attr{Mode: 0o640, UID: 0, GID: 100})
	if _, err := a.adopt(true, "/etc/app/app.env"); err != nil {
		t.Fatal(err)
	}
	if p := a.plan(); !strings.Contains(strings.Join(p.Steps, "\n"), "restart app.service: /etc/app/app.env changed after its start") {
		t.Errorf("the plan does not say that app.service runs with an older file: %q", p.Steps)
	}
}

func TestAdoptRefusesAllAtOnceAndWritesNothing(t *testing.T) {
	a := newAdoptable(t)
	a.put("roles/web/files/etc/motd", "another\n")
	a.put("roles/web/files/etc/issue.tmpl", "{{ .facts.name }}\n")
	a.put("roles/web/role.yaml", "links:\n  /etc/app/current: sites/two.conf\n")
	before := a.checkout()
	_, err := a.adopt(false,
		"/etc/passwd", "/home/a/.bashrc", "/etc/app/key.pem", "/etc/app/suid", "/etc/none", "/etc/linked/app.env", "/etc/pipe",
		"/etc/systemd/system/multi-user.target.wants/app.service", "/etc/motd", "/etc/issue", "/etc/app/current", "etc/motd",
		"none.service", "app", "app@.service", "evenkeel.service")
	var problems AdoptProblems
	if !errors.As(err, &problems) {
		t.Fatalf("it answers %v", err)
	}
	want := []string{
		`"/etc/app/key.pem" holds a private key, which does not belong into a repository in clear (encrypt it: evenkeel secret encrypt /etc/app/key.pem > roles/web/files/etc/app/key.pem.age)`,
		`"/etc/app/suid" has mode 4755: setuid, setgid and sticky bits are not allowed`,
		`"/etc/linked/app.env" leads through a symbolic link, and evenkeel follows none (name the path that it leads to)`,
		`"/etc/passwd" may not be managed: accounts are made with sysusers.d (unless the host's own config has allow_denied: [/etc/passwd])`,
		`"/etc/pipe" is a device, socket or pipe`,
		`"/etc/systemd/system/evenkeel.service" may not be managed: it is evenkeel's own: no commit changes it`,
		`"/etc/systemd/system/multi-user.target.wants/app.service" is a link that enables a unit (name the unit)`,
		`"app@.service" is a template and cannot run (name an instance, or the path of app@.service)`,
		`"etc/motd" is neither an absolute path nor the name of a unit`,
		`nothing stands at "/etc/none"`,
		`nothing stands at "/home/a/.bashrc"`,
		`roles/web/files/etc/issue.tmpl brings "/etc/issue" already (it is made from that template, so the change belongs there)`,
		`roles/web/files/etc/motd is there already and differs from /etc/motd on this host (--force replaces it)`,
		`roles/web/role.yaml:2: it says that the link "/etc/app/current" leads to "sites/two.conf", and on this host it leads to "sites/one.conf"`,
		`systemd knows no unit "none.service"`,
		`unit name "app" does not end in a unit type such as .service (did you mean "app.service"?)`,
	}
	if !slices.Equal(problems, want) {
		t.Errorf("got\n%s\nwant\n%s", problems, strings.Join(want, "\n"))
	}
	if !maps.Equal(before, a.checkout()) {
		t.Error("something was written")
	}

	if _, err := a.adopt(true, "/etc/motd", "/etc/app/current"); err != nil {
		t.Fatal(err)
	}
	if now := a.checkout(); now["roles/web/files/etc/motd"] != "0644 vendor\n" || now["roles/web/role.yaml"] != "0644 links:\n  /etc/app/current: sites/one.conf\n" {
		t.Errorf("--force wrote %q", now)
	}
}

func TestAdoptStaysInTheCheckout(t *testing.T) {
	a := newAdoptable(t)
	outside := t.TempDir()
	if err := os.MkdirAll(filepath.Join(a.repo, "roles/web/files"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(a.repo, "roles/web/files/etc")); err != nil {
		t.Fatal(err)
	}
	if got, err := a.adopt(true, "/etc/motd"); err == nil {
		t.Errorf("it wrote %+v", got.Wrote)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("%v stands outside of the checkout (%v)", left, err)
	}
	for _, role := range []string{"", ".", "..", "a/b", "../web"} {
		if _, err := a.adoptInto(context.Background(), AdoptRequest{Names: []string{"/etc/motd"}, Role: role, Repo: a.repo}); err == nil {
			t.Errorf("role %q: no error", role)
		}
	}
	if _, err := a.adoptInto(context.Background(), AdoptRequest{Names: []string{"/etc/motd"}, Role: "web", Repo: outside}); err == nil || !strings.Contains(err.Error(), "no fleet.yaml") {
		t.Errorf("a directory that is no repository: %v", err)
	}
}

// TestAdoptOfWhatWasKeptStaysInTheCheckout: nobody looked at the name of the role in
// "drift adopt --role ../../x" of something that was corrected already.
func TestAdoptOfWhatWasKeptStaysInTheCheckout(t *testing.T) {
	a := newAdoptable(t)
	kept := Kept{Path: "/etc/app/app.env", At: plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root"}, Content: []byte("A=2\n")}
	request := AdoptRequest{Repo: a.repo, Role: "../../x", Names: []string{kept.Path}, Force: true}
	var problems AdoptProblems
	if _, err := a.adoptKept(t.Context(), request, kept); !errors.As(err, &problems) {
		t.Errorf("the role %q: %v", request.Role, err)
	}
	request.Role = "web"
	if _, err := a.adoptKept(t.Context(), request, kept); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(a.repo, "roles/web/files/etc/app/app.env")); err != nil || string(text) != "A=2\n" {
		t.Errorf("the checkout has %q, %v", text, err)
	}
}
