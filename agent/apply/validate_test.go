package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const unitFiles = "/etc/systemd/system/"

// The messages are those of real systemd: 252 where nothing is said, else 257.
func TestFaultsOfVerify(t *testing.T) {
	o := order{
		Paths: []string{
			"/etc/app.conf",
			unitFiles + "app.service",
			unitFiles + "app.service.d/limits.conf",
			unitFiles + "lone.socket",
			unitFiles + "many@.service",
			unitFiles + "multi-user.target.wants/app.service",
			unitFiles + "nginx.service.d/a.conf",
			unitFiles + "service.d/all.conf",
		},
		Units: []string{"app.service", "lone.socket", "many@.service", "nginx.service"},
	}
	if !slices.IsSorted(o.Paths) {
		t.Fatal("the paths are not sorted")
	}
	const app = unitFiles + "app.service"
	for _, row := range []struct {
		that string
		said string
		want []Invalid
	}{
		{"nothing is said", "", nil},
		{"a misspelt directive has file and line",
			app + ":3: Unknown key 'ExecStrat' in section [Service], ignoring.",
			[]Invalid{{Path: app, Line: 3, Unit: "app.service", Message: "Unknown key 'ExecStrat' in section [Service], ignoring."}}},
		{"a bad value",
			app + ":2: Failed to parse service type, ignoring: sometimes",
			[]Invalid{{Path: app, Line: 2, Unit: "app.service", Message: "Failed to parse service type, ignoring: sometimes"}}},
		{"a bad value on 257",
			app + ":2: Failed to parse Type=sometimes, ignoring: Invalid argument",
			[]Invalid{{Path: app, Line: 2, Unit: "app.service", Message: "Failed to parse Type=sometimes, ignoring: Invalid argument"}}},
		{"a drop-in of a vendor's unit",
			unitFiles + "nginx.service.d/a.conf:3: Invalid memory limit 'oops', ignoring: Invalid argument",
			[]Invalid{{Path: unitFiles + "nginx.service.d/a.conf", Line: 3, Unit: "nginx.service", Message: "Invalid memory limit 'oops', ignoring: Invalid argument"}}},
		{"a drop-in for all services belongs to no unit",
			unitFiles + "service.d/all.conf:2: Unknown key 'Bogus' in section [Service], ignoring.",
			[]Invalid{{Path: unitFiles + "service.d/all.conf", Line: 2, Message: "Unknown key 'Bogus' in section [Service], ignoring."}}},
		{"a vendor's unit has faults of its own",
			"/lib/systemd/system/nginx.service:6: PIDFile= references a path below legacy directory /var/run/, updating /var/run/x.pid → /run/x.pid; please update the unit file accordingly.\n" +
				"/etc/systemd/system/other.service:1: Assignment outside of section. Ignoring.\n" +
				"other.service: Command /not/there is not executable: No such file or directory\n" +
				"Unit other.service has a bad unit file setting.",
			nil},
		{"a missing program may still come",
			"app.service: Command /usr/local/bin/nothere is not executable: No such file or directory",
			[]Invalid{{Path: app, Unit: "app.service", Missing: true, Message: "Command /usr/local/bin/nothere is not executable: No such file or directory"}}},
		{"a file that is no program will not change by itself",
			"app.service: Command /opt/noexec is not executable: Permission denied",
			[]Invalid{{Path: app, Unit: "app.service", Message: "Command /opt/noexec is not executable: Permission denied"}}},
		{"the vague line goes when another explains it",
			"app.service: Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing.\nUnit app.service has a bad unit file setting.",
			[]Invalid{{Path: app, Unit: "app.service", Message: "Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing."}}},
		{"both vague lines go",
			app + ":2: Neither a valid executable name nor an absolute path: bin/true\napp.service: Unit configuration has fatal error, unit will not be started.\nUnit app.service has a bad unit file setting.",
			[]Invalid{{Path: app, Line: 2, Unit: "app.service", Message: "Neither a valid executable name nor an absolute path: bin/true"}}},
		{"a vague line alone stays",
			"Unit app.service failed to load properly, please adjust/correct and reload service manager: Bad message",
			[]Invalid{{Path: app, Unit: "app.service", Message: "failed to load properly, please adjust/correct and reload service manager: Bad message"}}},
		{"a template is looked at as an instance, on 252 and 257",
			"many@i.service: Command /nope/i is not executable: Permission denied\nmany@test_instance.service: Command /nope/test_instance is not executable: Permission denied",
			[]Invalid{
				{Path: unitFiles + "many@.service", Unit: "many@.service", Message: "Command /nope/i is not executable: Permission denied"},
				{Path: unitFiles + "many@.service", Unit: "many@.service", Message: "Command /nope/test_instance is not executable: Permission denied"},
			}},
		{"a socket without its service",
			"lone.socket: service lone.service not loaded, socket cannot be started.",
			[]Invalid{{Path: unitFiles + "lone.socket", Unit: "lone.socket", Missing: true, Message: "service lone.service not loaded, socket cannot be started."}}},
		{"a drop-in for a unit that is not there, or is masked, is no fault",
			"Unit nginx.service not found.\nUnit nginx.service is masked.", nil},
		{"the commit's own unit is masked, because its file is empty",
			"Unit app.service is masked.",
			[]Invalid{{Path: app, Unit: "app.service", Message: "is masked."}}},
		{"a mode that systemd dislikes and ignores is no fault",
			"Configuration file " + app + " is marked executable. Please remove executable permission bits. Proceeding anyway.", nil},
		{"any other line that names a file of ours counts",
			"Failed to open " + app + ": Too many levels of symbolic links",
			[]Invalid{{Path: app, Unit: "app.service", Message: "Failed to open " + app + ": Too many levels of symbolic links"}}},
		{"a longer path is another one",
			"Failed to open " + app + ".backup: Permission denied", nil},
		{"bytes that are no text",
			app + ":1: String is not UTF-8 clean, ignoring assignment: \xff\xfe\x1b[31mDescription=\xff",
			[]Invalid{{Path: app, Line: 1, Unit: "app.service", Message: "String is not UTF-8 clean, ignoring assignment: \uFFFD[31mDescription=\uFFFD"}}},
	} {
		t.Run(row.that, func(t *testing.T) {
			got := newReading(o).faults(row.said)
			if !slices.Equal(got, row.want) {
				t.Errorf("got  %#v\nwant %#v", got, row.want)
			}
		})
	}
}

func TestFirstPlace(t *testing.T) {
	paths := []string{"/etc/a", "/etc/a.conf", "/etc/b.conf"}
	for _, row := range []struct {
		that, text, path string
		line             int
	}{
		{"a path with a line", `nginx: [emerg] unknown directive "x" in /etc/b.conf:12`, "/etc/b.conf", 12},
		{"a path with a line in words", `/etc/b.conf line 2: unsupported option "x".`, "/etc/b.conf", 2},
		{"what it reads, and then what is wrong", "reading /etc/b.conf\nerror: /etc/b.conf:2 unknown option", "/etc/b.conf", 2},
		{"a path at the end of a sentence", "cannot read /etc/a.", "/etc/a", 0},
		{"a path in quotes", `error in "/etc/a": x`, "/etc/a", 0},
		{"the first of two", "/etc/b.conf includes /etc/a:3", "/etc/b.conf", 0},
		{"a longer path is not the shorter one", "in /etc/a.conf:7", "/etc/a.conf", 7},
		{"none of ours", "in /etc/a.conf.d/x:7", "", 0},
	} {
		t.Run(row.that, func(t *testing.T) {
			if path, line := firstPlace(row.text, paths); path != row.path || line != row.line {
				t.Errorf("got %q %d, want %q %d", path, line, row.path, row.line)
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	long := printable(strings.Repeat("é", maxFindingText))
	if len(long) > maxFindingText+3 || !strings.HasSuffix(long, "é...") {
		t.Errorf("a long text ends in %q after %d bytes", long[len(long)-8:], len(long))
	}
	if got, want := printable("\n a\tb\x00\r\n\n\x1b]0;c\a\xff\n"), "a b\n]0;c\uFFFD"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRunBounded(t *testing.T) {
	ctx := t.Context()
	for _, row := range []struct {
		that  string
		bound time.Duration
		argv  []string
		want  string // of a result, output first
	}{
		{"a command that accepts", time.Minute, []string{"true"}, `"" <nil> exited=true late=false notFound=false`},
		{"a command that refuses on stderr", time.Minute, []string{"sh", "-c", "echo no >&2; exit 3"}, `"no\n" exit status 3 exited=true late=false notFound=false`},
		{"a command that says too much", time.Minute, []string{"sh", "-c", "echo 0123456789"}, `"01234567" <nil> exited=true late=false notFound=false`},
		{"a command that hangs, with a child that holds its output", 50 * time.Millisecond, []string{"sh", "-c", "sleep 600 & sleep 600"}, `"" signal: killed exited=true late=true notFound=false`},
		{"a command that is not there", time.Minute, []string{"/no/such/program"}, `"" stat /no/such/program: no such file or directory exited=false late=false notFound=true`},
		{"a command that is no program", time.Minute, []string{"/etc/passwd"}, `"" fork/exec /etc/passwd: permission denied exited=false late=false notFound=false`},
		{"a command sees no environment but ours", time.Minute, []string{"sh", "-c", "echo ${HOME-no}:$PWD"}, `"no:/\n" <nil> exited=true late=false notFound=false`},
	} {
		t.Run(row.that, func(t *testing.T) {
			maxText := 64
			if strings.Contains(row.that, "too much") {
				maxText = 8
			}
			r := runBounded(ctx, row.bound, maxText, row.argv)
			got := fmt.Sprintf("%q %v exited=%v late=%v notFound=%v", r.output, r.err, r.exited, r.late, r.notFound)
			if got != row.want {
				t.Errorf("got  %s\nwant %s", got, row.want)
			}
		})
	}
}

func TestChecksRunEachValidatorOnce(t *testing.T) {
	o := order{
		Paths: []string{"/etc/a", "/etc/b", "/etc/c"},
		Validators: map[string][]string{
			"/etc/b": {"nginx", "-t"}, "/etc/a": {"nginx", "-t"}, "/etc/c": {"visudo", "-c"},
		},
	}
	var got []string
	for _, c := range o.checks() {
		got = append(got, fmt.Sprint(c.argv, c.paths))
	}
	want := []string{"[nginx -t] [/etc/a /etc/b]", "[visudo -c] [/etc/c]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A validator that never ran has accepted nothing.
func TestNoTimeLeftIsAFault(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	o := order{Paths: []string{"/etc/a"}, Validators: map[string][]string{"/etc/a": {"true"}}}
	found, err := o.judge(ctx)
	want := []Invalid{{Path: "/etc/a", Message: "true did not run: all commands together may take 2m0s"}}
	if err != nil || !slices.Equal(found.Invalid, want) {
		t.Errorf("got %+v, %v", found, err)
	}
}

func TestOverlayRoot(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "www/html"), 0o755); err != nil {
		t.Fatal(err)
	}
	mounts := []string{"/", "/etc/ssl", "/usr"}
	for _, row := range []struct{ that, path, want string }{
		{"config is overlaid as a whole", "/etc/nginx/conf.d/x.conf", "/etc"},
		{"local programs too", "/usr/local/bin/app", "/usr/local"},
		{"not the programs of packages", "/usr/lib/new/app", "/usr/lib"},
		{"a mount is overlaid by itself", "/etc/ssl/private/key", "/etc/ssl"},
		{"elsewhere as little as can be", dir + "/www/html/new/dir/x", dir + "/www/html"},
		{"a first directory that is not there has no root", "/nowhere/x", "/"},
	} {
		t.Run(row.that, func(t *testing.T) {
			if got := overlayRoot(row.path, mounts); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// The layer holds what is staged, with whiteouts for what is removed; its
// directories are as those that they will lie over. The host's tree stays.
func TestStageLayer(t *testing.T) {
	host, scratch := t.TempDir(), t.TempDir()
	if err := os.Mkdir(host+"/d", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(host+"/d", 0o751); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/d/gone", "/d/changed"} {
		if err := os.WriteFile(host+name, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := Candidate{
		Files: map[string]Staged{
			host + "/d/changed": {Content: []byte("new"), Mode: 0o640, UID: 5, GID: 6},
			host + "/d/link":    {Link: "changed"},
			host + "/new":       {Dir: true, Mode: 0o711, UID: 7},
			host + "/new/a/b":   {Mode: 0o600},
		},
		Removed: []string{host + "/d", host + "/d/gone", host + "/d/never-was"},
	}
	var request bytes.Buffer
	if err := c.send(&request); err != nil {
		t.Fatal(err)
	}
	in := json.NewDecoder(&request)
	var o order
	if err := in.Decode(&o); err != nil {
		t.Fatal(err)
	}
	v := &view{order: o, layers: map[string]string{host: scratch + "/0"}, rootOf: map[string]string{}}
	for _, p := range append(o.Paths, o.Removed...) {
		v.rootOf[p] = host
	}
	if err := v.stage(in); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"/d":         "dir 751 0:0",
		"/d/changed": "file 640 5:6 new",
		"/d/link":    "link changed",
		"/d/gone":    "whiteout",
		"/new":       "dir 711 7:0",
		"/new/a":     "dir 755 0:0",
		"/new/a/b":   "file 600 0:0 ",
	} {
		if got := stands(t, scratch+"/0"+name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, err := os.Lstat(scratch + "/0/d/never-was"); err == nil {
		t.Error("there is a whiteout for what was never there")
	}
	if got := stands(t, host+"/d/changed"); got != "file 600 0:0 old" {
		t.Errorf("the host's file became %q", got)
	}
}

func stands(t *testing.T, p string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		t.Fatal(err)
	}
	who := fmt.Sprintf("%o %d:%d", st.Mode&^unix.S_IFMT, st.Uid, st.Gid)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "dir " + who
	case unix.S_IFLNK:
		says, _ := os.Readlink(p)
		return "link " + says
	case unix.S_IFCHR:
		if st.Rdev == 0 {
			return "whiteout"
		}
	}
	content, _ := os.ReadFile(p)
	return "file " + who + " " + string(content)
}

func TestUnescapeMount(t *testing.T) {
	for name, want := range map[string]string{
		`/srv/plain`: "/srv/plain", `/srv/a\040b\011c`: "/srv/a b\tc", `/x\134y`: `/x\y`, `/x\04`: `/x\04`, `/x\`: `/x\`,
	} {
		if got := unescapeMount(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// Started by hand, in the host's own mount namespace, the child must not mount.
func TestValidateMainByHand(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "")
	before, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if status := ValidateMain(strings.NewReader("{}"), &out); status != 0 {
		t.Errorf("status %d", status)
	}
	var found findings
	if err := json.Unmarshal(out.Bytes(), &found); err != nil || found.Failure == "" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	after, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the mounts changed")
	}
}

func TestNothingToValidate(t *testing.T) {
	faults, err := Validate(t.Context(), Candidate{Files: map[string]Staged{"/etc/motd": {Mode: 0o644}}})
	if len(faults) > 0 || err != nil {
		t.Errorf("got %v, %v", faults, err)
	}
}
