package manifest

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

var update = flag.Bool("update", false, "write what the golden cases give into them")

const wantFile = "want"

// A golden case is a repository in a txtar file and, in its last file "want",
// the target or the problems. The comment holds a sentence and lines of
// "key: words": host, labels, allow, deny, allow-denied, own, exec (files with the executable
// bit), link (a symbolic link in Git), require (the repository must name the
// host), limit (bytes a file), check (the whole repository),
// keys (whose secrets the host can open, see fakeKeys). Files below vendor/ are
// unit files of the host.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := readCase(t, archive)
	got := c.run(t)
	if *update {
		archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == wantFile })
		archive.Files = append(archive.Files, txtar.File{Name: wantFile, Data: []byte(got)})
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != c.want {
		t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
	}
}

type goldenCase struct {
	tree   fstest.MapFS
	facts  Facts
	opts   Options
	vendor map[string]units.Definition
	check  bool
	want   string
}

func readCase(t *testing.T, archive *txtar.Archive) goldenCase {
	c := goldenCase{tree: fstest.MapFS{}, facts: someFacts(), vendor: map[string]units.Definition{}}
	for _, f := range archive.Files {
		switch {
		case f.Name == wantFile:
			c.want = string(f.Data)
		case strings.HasPrefix(f.Name, "vendor/"):
			c.addVendor(t, strings.TrimPrefix(f.Name, "vendor"), f.Data)
		default:
			c.tree[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
		}
	}
	for line := range strings.Lines(string(archive.Comment)) {
		key, rest, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(rest)
		switch key {
		case "host":
			c.facts.Name = words[0]
		case "labels":
			for _, w := range words {
				k, v, _ := strings.Cut(w, "=")
				c.facts.Labels[k] = v
			}
		case "allow":
			c.opts.AllowRoots = words
		case "deny":
			c.opts.Deny = words
		case "own":
			c.opts.Own = words
		case "allow-denied":
			c.opts.AllowDenied = words
		case "exec":
			for _, w := range words {
				c.tree[w].Mode = 0o755
			}
		case "link":
			c.tree[words[0]] = &fstest.MapFile{Data: []byte("x"), Mode: fs.ModeSymlink | 0o777}
		case "require":
			c.opts.RequireHost = true
		case "limit":
			fmt.Sscan(words[0], &c.opts.Limits.FileBytes)
		case "total":
			fmt.Sscan(words[0], &c.opts.Limits.TotalBytes)
		case "paths":
			fmt.Sscan(words[0], &c.opts.Limits.Paths)
		case "check":
			c.check = true
		case "keys":
			c.opts.Decrypt, c.opts.Recipients = fakeKeys(words[0]), []string{"age1" + words[0]}
		default:
			t.Fatalf("unknown key %q in the comment", key)
		}
	}
	return c
}

func (c *goldenCase) addVendor(t *testing.T, name string, text []byte) {
	f, err := units.ParseFile(name, text)
	if err != nil {
		t.Fatal(err)
	}
	unit := path.Base(name)
	if isDropInPath(name) {
		unit = strings.TrimSuffix(path.Base(path.Dir(name)), ".d")
	}
	d := c.vendor[unit]
	d.Name = unit
	d.Files = append(d.Files, f)
	c.vendor[unit] = d
}

func someFacts() Facts {
	return Facts{
		Name: "web-1", FQDN: "web-1.example.org", MachineID: "0123456789abcdef",
		Labels: map[string]string{}, OS: map[string]string{"ID": "debian", "VERSION_ID": "12"},
		Kernel: "6.1.0", Arch: "amd64", CPUs: 4, MemoryBytes: 2 << 30, Virtualization: "kvm",
		Addresses: map[string][]string{"eth0": {"192.0.2.7"}}, SystemdVersion: 252,
	}
}

// run gives what stands in "want". Everything is done twice: two loads, and
// wiring once more, must be deeply equal.
func (c goldenCase) run(t *testing.T) string {
	if c.check {
		problems, err := Check(c.tree, c.opts)
		if err != nil {
			t.Fatal(err)
		}
		return problems.Error() + "\n"
	}
	target, err := Load(c.tree, c.facts, c.opts)
	again, errAgain := Load(c.tree, c.facts, c.opts)
	if !reflect.DeepEqual(target, again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
		t.Error("two loads of one tree differ")
	}
	many := Open(c.tree, c.opts)
	for range 2 {
		one, errOne := many.Load(c.facts)
		if !reflect.DeepEqual(target, one) || fmt.Sprint(err) != fmt.Sprint(errOne) {
			t.Errorf("a load among many differs from a single one: %v", errOne)
		}
	}
	if err == nil {
		err = Wire(target, c.vendor)
	}
	var problems Problems
	if errors.As(err, &problems) {
		return problems.Error() + "\n"
	}
	if err != nil {
		t.Fatal(err)
	}
	once, digest := show(target), Digest(target)
	if err := Wire(target, c.vendor); err != nil || show(target) != once || Digest(target) != digest {
		t.Errorf("wiring twice is not wiring once: %v", err)
	}
	return once
}

// show writes a target for people.
func show(t *plan.Target) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s plays %s\n", t.Host, strings.Join(t.Roles, ", "))
	for _, name := range slices.Sorted(maps.Keys(t.State.Paths)) {
		p := t.State.Paths[name]
		what := p.Fingerprint()
		if p.Kind == plan.File {
			what = fmt.Sprintf("file %04o %s:%s", p.Mode, p.Owner, p.Group)
		}
		fmt.Fprintf(&b, "%s: %s (%s)\n", name, what, spot(t.Origin[name]))
		if p.Kind == plan.File {
			for line := range strings.Lines(string(t.Content[p.Digest])) {
				fmt.Fprintf(&b, "\t| %s\n", strings.TrimSuffix(line, "\n"))
			}
		}
		if t.Secret[name] {
			b.WriteString("\tsecret\n")
		}
		if v := t.Validate[name]; v != nil {
			fmt.Fprintf(&b, "\tvalidate %q\n", v)
		}
	}
	for _, name := range t.Absent {
		fmt.Fprintf(&b, "%s: not there\n", name)
	}
	for _, name := range slices.Sorted(maps.Keys(t.State.Units)) {
		showUnit(&b, t, name)
	}
	if t.Probation != 0 || t.OnFailure != "" {
		fmt.Fprintf(&b, "probation %s, on failure %s\n", t.Probation, cmp.Or(t.OnFailure, plan.Revert))
	}
	if w := t.Windows; w != nil {
		text, _ := json.Marshal(w)
		fmt.Fprintf(&b, "windows %s\n", text)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Drift)) {
		fmt.Fprintf(&b, "drift of %q: %s\n", name, t.Drift[name])
	}
	for _, w := range t.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	for _, p := range t.Sealed {
		fmt.Fprintf(&b, "sealed: %s\n", spot(p))
	}
	return b.String()
}

// more tells what of a check is not the default, as it is in its JSON.
func more(c plan.Check) string {
	c.HTTP, c.TCP, c.Unix, c.Exec, c.Unit, c.Timeout = "", "", "", nil, "", 0
	if c.Interval == plan.DefaultInterval {
		c.Interval = 0
	}
	if c.Successes == plan.DefaultSuccesses {
		c.Successes = 0
	}
	if c.Failures == plan.DefaultFailures {
		c.Failures = 0
	}
	text, _ := json.Marshal(c)
	if string(text) == "{}" {
		return ""
	}
	return " " + string(text)
}

func showUnit(b *strings.Builder, t *plan.Target, name string) {
	u, s := t.State.Units[name], t.Services[name]
	fmt.Fprintf(b, "%s: active %v, enabled %v, settle %s, deadline %s (%s)\n", name, u.Active, s.Enabled, s.Settle, s.Deadline, spot(t.Origin[name]))
	for _, l := range []struct {
		what  string
		names []string
	}{{"after", u.After}, {"binds", u.Binds}, {"triggers", u.Triggers}} {
		if len(l.names) > 0 {
			fmt.Fprintf(b, "\t%s %s\n", l.what, strings.Join(l.names, ", "))
		}
	}
	for _, c := range s.Checks {
		fmt.Fprintf(b, "\tcheck %s within %s%s\n", c, c.Timeout, more(c))
	}
	for _, r := range t.Reads[name] {
		fmt.Fprintf(b, "\treads %s (%s)\n", r.Path, r.Why)
	}
	for _, in := range slices.Sorted(maps.Keys(u.Inputs)) {
		how := "restarts"
		if u.Soft[in] {
			how = "reloads"
		}
		if u.Inputs[in] != t.State.Paths[in].Fingerprint() {
			how += " WRONGLY"
		}
		fmt.Fprintf(b, "\t%s on %s\n", how, in)
	}
}
