package apply

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestParseConffiles(t *testing.T) {
	const a, b = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	got := parseConffiles([]byte(`Package: nginx
Status: install ok installed
Conffiles:
 /etc/nginx/nginx.conf ` + a + `
 /etc/nginx/a b.conf ` + b + `
 /etc/old ` + a + ` obsolete
 /etc/gone ` + a + ` obsolete
 /etc/nginx/going ` + b + ` remove-on-upgrade
 /etc/half newconffile
Description: a web server
 /etc/none ` + a + `

Package: newer
Conffiles:
 /etc/old ` + b + `
`))
	want := map[string]Conffile{
		"/etc/nginx/nginx.conf": {"nginx", a},
		"/etc/nginx/a b.conf":   {"nginx", b},
		"/etc/gone":             {"nginx", a},
		"/etc/nginx/going":      {"nginx", b},
		"/etc/old":              {"newer", b},
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestReadConffilesWithoutDpkg(t *testing.T) {
	disk, root := openRoot(t)
	if got, err := ReadConffiles(disk); got != nil || err != nil {
		t.Errorf("a host without dpkg: %v, %v", got, err)
	}
	if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg/status"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadConffiles(disk); err == nil {
		t.Error("a directory in the place of dpkg's record is no error")
	}
}

func TestBesideFindsWhatPackagesLeft(t *testing.T) {
	disk, root := openRoot(t)
	for _, name := range []string{
		"etc/app.conf", "etc/app.conf.dpkg-dist", "etc/app.conf.dpkg-new", "etc/app.conf.rpmnew", "etc/app.conf.bak",
		"etc/other.conf.dpkg-dist", "etc/app/b", "etc/app/b.ucf-dist", "etc/b.dpkg-new",
	} {
		put(t, root, name)
	}
	got := Beside(disk, []string{"/etc/app.conf", "/etc/app/b", "/etc/none/at/all"})
	if want := []string{"/etc/app.conf.dpkg-dist", "/etc/app.conf.dpkg-new", "/etc/app.conf.rpmnew", "/etc/app/b.ucf-dist"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
