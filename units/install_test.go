package units

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var installRows = []struct {
	says    string
	enable  string // the name given to systemctl; the file is its template where it has one
	text    string
	dropIn  string
	want    []string // below /etc/systemd/system
	also    []string
	needs   int  // systemd's version that knows the directive
	refused bool // systemctl makes a part of the links, or none, and fails
}{
	{
		says: "no section Install", enable: "app.service",
		text: "[Service]\nExecStart=/bin/true\n",
	},
	{
		says: "one WantedBy", enable: "app.service",
		text: "[Install]\nWantedBy=multi-user.target\n",
		want: []string{"multi-user.target.wants/app.service"},
	},
	{
		says: "two on one line, one on another, one twice", enable: "app.service",
		text: "[Install]\nWantedBy=multi-user.target graphical.target\nWantedBy=network.target multi-user.target\n",
		want: []string{"graphical.target.wants/app.service", "multi-user.target.wants/app.service", "network.target.wants/app.service"},
	},
	{
		says: "an empty assignment resets", enable: "app.service",
		text: "[Install]\nWantedBy=multi-user.target\nWantedBy=\nWantedBy=network.target\n",
		want: []string{"network.target.wants/app.service"},
	},
	{
		says: "RequiredBy", enable: "app.socket",
		text: "[Install]\nRequiredBy=sockets.target\nWantedBy=other.service\n",
		want: []string{"other.service.wants/app.socket", "sockets.target.requires/app.socket"},
	},
	{
		says: "UpheldBy", enable: "app.service", needs: 254,
		text: "[Install]\nUpheldBy=multi-user.target\n",
		want: []string{"multi-user.target.upholds/app.service"},
	},
	{
		says: "an alias", enable: "app.service",
		text: "[Install]\nAlias=web.service other.service\n",
		want: []string{"other.service", "web.service"},
	},
	{
		says: "an alias of the unit's own name", enable: "app.service",
		text: "[Install]\nAlias=app.service\nWantedBy=multi-user.target\n",
		want: []string{"multi-user.target.wants/app.service"},
	},
	{
		says: "an alias of another type", enable: "app.service", refused: true,
		text: "[Install]\nAlias=app.timer\nWantedBy=multi-user.target\n",
		want: []string{"multi-user.target.wants/app.service"},
	},
	{
		says: "an alias in the old form of a dependency", enable: "app.service",
		text: "[Install]\nAlias=multi-user.target.wants/app.service\n",
		want: []string{"multi-user.target.wants/app.service"},
	},
	{
		says: "the old form with another unit's name", enable: "app.service", refused: true,
		text: "[Install]\nAlias=multi-user.target.wants/other.service\n",
	},
	{
		says: "an instance of a template", enable: "app@one.service",
		text: "[Install]\nWantedBy=multi-user.target\n",
		want: []string{"multi-user.target.wants/app@one.service"},
	},
	{
		says: "a template with a default instance", enable: "app@.service",
		text: "[Install]\nWantedBy=multi-user.target\nDefaultInstance=main\n",
		want: []string{"multi-user.target.wants/app@main.service"},
	},
	{
		says: "an instance does not care for the default instance", enable: "app@one.service",
		text: "[Install]\nWantedBy=multi-user.target\nDefaultInstance=main\n",
		want: []string{"multi-user.target.wants/app@one.service"},
	},
	{
		says: "a template without a default instance", enable: "app@.service", refused: true,
		text: "[Install]\nWantedBy=multi-user.target\n",
	},
	{
		says: "a template wanted by a template", enable: "app@.service",
		text: "[Install]\nWantedBy=other@.target\n",
		want: []string{"other@.target.wants/app@.service"},
	},
	{
		says: "specifiers of an instance", enable: "app@one.service",
		text: "[Install]\nWantedBy=%p-%i.target %j.target\n",
		want: []string{"app-one.target.wants/app@one.service", "app.target.wants/app@one.service"},
	},
	{
		says: "a template's alias, of an instance", enable: "app@one.service",
		text: "[Install]\nAlias=web@.service\n",
		want: []string{"web@one.service"},
	},
	{
		says: "a template's alias, of the template", enable: "app@.service",
		text: "[Install]\nAlias=web@.service\n",
		want: []string{"web@.service"},
	},
	{
		says: "an alias with another instance", enable: "app@one.service", refused: true,
		text: "[Install]\nAlias=web@two.service\n",
	},
	{
		says: "a plain alias of an instance", enable: "app@one.service", refused: true,
		text: "[Install]\nAlias=web.service\n",
	},
	{
		says: "a plain alias of a template", enable: "app@.service", refused: true,
		text: "[Install]\nAlias=web.service\n",
	},
	{
		says: "an instance as alias of a plain unit", enable: "app.service", refused: true,
		text: "[Install]\nAlias=web@one.service\n",
	},
	{
		says: "a mount has no aliases", enable: "srv.mount",
		text: "[Install]\nAlias=mnt.mount\n",
	},
	{
		says: "names that are no unit names", enable: "app.service", refused: true,
		text: "[Install]\nWantedBy=multi-user\nWantedBy=network.target\n",
		want: []string{"network.target.wants/app.service"},
	},
	{
		says: "a drop-in adds and resets", enable: "app.service",
		text:   "[Install]\nWantedBy=multi-user.target\n",
		dropIn: "[Install]\nWantedBy=\nWantedBy=network.target\n",
		want:   []string{"network.target.wants/app.service"},
	},
	{
		says: "Also is named and not followed", enable: "app.service",
		text: "[Install]\nWantedBy=multi-user.target\nAlso=app.service\n",
		want: []string{"multi-user.target.wants/app.service"},
	},
}

func TestInstallMakesTheLinksThatSystemctlMakes(t *testing.T) {
	version := systemctlVersion(t)
	for _, row := range installRows {
		t.Run(row.says, func(t *testing.T) {
			file := row.enable
			if of, _, ok := Template(row.enable); ok {
				file = of
			}
			fragment := "/etc/systemd/system/" + file
			d := &Definition{Name: row.enable, Files: []*File{parse(t, fragment, row.text)}}
			if row.dropIn != "" {
				d.Files = append(d.Files, parse(t, fragment+".d/10.conf", row.dropIn))
			}
			var got []string
			for _, link := range d.Install(fragment) {
				if link.Says != fragment {
					t.Errorf("link %q says %q, want %q", link.Path, link.Says, fragment)
				}
				got = append(got, strings.TrimPrefix(link.Path, "/etc/systemd/system/"))
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("Install gives %q, want %q", got, row.want)
			}
			if version < row.needs {
				return // this systemctl does not know the directive
			}
			if made := systemctlEnable(t, row.enable, fragment, row.text, row.dropIn, row.refused); !slices.Equal(made, row.want) {
				t.Errorf("systemctl makes %q, want %q", made, row.want)
			}
		})
	}
}

func parse(t *testing.T, path, text string) *File {
	t.Helper()
	f, err := ParseFile(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// systemctlEnable lets the real one work below an empty root and gives its
// links, each checked to lead to the fragment.
func systemctlEnable(t *testing.T, name, fragment, text, dropIn string, refused bool) []string {
	t.Helper()
	root := t.TempDir()
	write(t, root+fragment, text)
	if dropIn != "" {
		write(t, root+fragment+".d/10.conf", dropIn)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("systemctl", "--root="+root, "enable", name)
	cmd.Stderr = &stderr
	if err := cmd.Run(); (err != nil) != refused {
		t.Errorf("systemctl enable %s: %v, want a refusal: %v\n%s", name, err, refused, &stderr)
	}
	base := root + "/etc/systemd/system"
	var links []string
	err := filepath.WalkDir(base, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink == 0 {
			return err
		}
		says, err := os.Readlink(path)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(says) {
			says = strings.TrimPrefix(filepath.Join(filepath.Dir(path), says), root)
		}
		if says != fragment {
			t.Errorf("systemctl: link %q says %q, want %q", path, says, fragment)
		}
		links = append(links, strings.TrimPrefix(path, base+"/"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(links)
	return links
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func systemctlVersion(t *testing.T) int {
	t.Helper()
	out, err := exec.Command("systemctl", "--version").Output()
	if err != nil {
		t.Fatalf("cannot run systemctl, which this test compares with: %v", err)
	}
	version, err := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func TestAlso(t *testing.T) {
	text := "[Install]\nAlso=app.socket app-%j.timer app.service\nAlso=\nAlso=app.path not-a-unit\n"
	d := &Definition{Name: "app.service", Files: []*File{parse(t, "app.service", text)}}
	if got, want := d.Also(), []string{"app.socket", "app-app.timer", "app.path"}; !slices.Equal(got, want) {
		t.Errorf("Also gives %q, want %q", got, want)
	}
}
