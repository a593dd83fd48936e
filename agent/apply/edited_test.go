package apply

import (
	"context"
	"crypto/md5"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestEditedListsWhatDiffersFromItsPackage(t *testing.T) {
	disk, root := openRoot(t)
	write := func(name, text string) {
		t.Helper()
		put(t, root, name)
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/web/a.conf", "as shipped\n")
	write("etc/web/b.conf", "edited\n")
	write("etc/db.conf", "edited too\n")
	shipped := fmt.Sprintf("%x", md5.Sum([]byte("as shipped\n")))
	write("var/lib/dpkg/status", "Package: web\nConffiles:\n /etc/web/a.conf "+shipped+"\n /etc/web/b.conf "+shipped+"\n /etc/web/gone "+shipped+"\n\nPackage: db\nConffiles:\n /etc/db.conf "+shipped+"\n")
	write("var/lib/dpkg/info/web.list", "/.\n/lib/systemd/system/web.service\n/etc/web/a.conf\n")
	write("var/lib/dpkg/info/db:amd64.list", "/.\n/opt/db/run\n/usr/lib/systemd/system/db.service\n")
	b, db := Edit{"/etc/web/b.conf", "web"}, Edit{"/etc/db.conf", "db"}
	for _, row := range []struct {
		about string
		paths []string
		want  []Edit
	}{
		{"all packages", nil, []Edit{db, b}},
		{"the package of another configuration file", []string{"/etc/web/a.conf"}, []Edit{b}},
		{"the package of a unit, by its other name", []string{"/usr/lib/systemd/system/web.service"}, []Edit{b}},
		{"the same the other way round", []string{"/lib/systemd/system/db.service"}, []Edit{db}},
		{"a package of one architecture", []string{"/opt/db/run"}, []Edit{db}},
		{"a path of no package", []string{"/etc/own"}, nil},
	} {
		got, err := Edited(context.Background(), disk, row.paths)
		if err != nil || !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, %v; want %v", row.about, got, err, row.want)
		}
	}
}

func TestEditedOnAHostWithoutPackages(t *testing.T) {
	disk, _ := openRoot(t)
	if got, err := Edited(context.Background(), disk, nil); got != nil || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRPMAnswersAreRead(t *testing.T) {
	names := rpmNames("nginx-core\nfile /etc/own is not owned by any package\nnginx-core\ngcc-c++\n")
	if !slices.Equal(names, []string{"nginx-core", "gcc-c++"}) {
		t.Errorf("names: %q", names)
	}
	edits, err := rpmEdits(result{exited: true, output: "S.5....T.  c /etc/nginx/nginx.conf\n.......T.  c /etc/nginx/mime.types\n..5....T.    /usr/bin/nginx\n..5......  c /etc/a b\nmissing   c /etc/gone\n"}, "nginx-core")
	if want := []Edit{{"/etc/nginx/nginx.conf", "nginx-core"}, {"/etc/a b", "nginx-core"}}; err != nil || !slices.Equal(edits, want) {
		t.Errorf("edits: %v, %v", edits, err)
	}
}
