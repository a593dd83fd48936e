package units

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func quadletOf(t *testing.T, name, text string) *Definition {
	t.Helper()
	f, err := ParseFile("/etc/containers/systemd/"+name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &Definition{Name: name, Files: []*File{f}}
}

// As podman 5.4 names the services that it makes.
func TestQuadletService(t *testing.T) {
	for name, want := range map[string]string{
		"cache.container": "cache.service", "k.kube": "k.service", "p.pod": "p-pod.service", "data.volume": "data-volume.service",
		"net.network": "net-network.service", "i.image": "i-image.service", "b.build": "b-build.service",
		"t@.container": "t@.service", "t@1.container": "t@1.service", "tv@.volume": "tv@-volume.service", "a.b.container": "a.b.service",
	} {
		if got := quadletOf(t, name, "").QuadletService(); got != want || !IsQuadlet(name) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	named := "[Container]\nServiceName=a\nServiceName=front\n[Pod]\nServiceName=no\n"
	if got := quadletOf(t, "x.container", named).QuadletService(); got != "front.service" {
		t.Errorf("named: %q", got)
	}
	if got := quadletOf(t, "x.container", "[Container]\nServiceName=front\nServiceName=\n").QuadletService(); got != ".service" {
		t.Errorf("an empty name is taken as it is, as podman does: %q", got)
	}
	for _, name := range []string{".container", "cache.service", "container", "x.conf", ""} {
		if IsQuadlet(name) {
			t.Errorf("%q is a Quadlet file", name)
		}
	}
}

func TestQuadletNeedsAndReads(t *testing.T) {
	d := quadletOf(t, "w.container", `[Container]
Image=other.image
Image=b.build
Pod=other.pod
Pod=p.pod
Network=net.network:ip=10.0.0.2
Network=host
Network=other.container
Volume=data.volume:/data
Volume=data.volume:/again
Volume=named:/n
Volume=./rel:/r
Volume=%E/conf/%i:/c
Volume=%H:/unknown
Mount=type=volume,source=m.volume,destination=/m
Mount=type=bind,src=/etc/bound,destination=/b
Mount=type=tmpfs,destination=/t
EnvironmentFile=rel.env /etc/abs.env
PodmanArgs=--label-file=/etc/labels -v /etc/v:/v
SeccompProfile=/etc/seccomp.json
`)
	d.Name = "w@1.service"
	needs := fmt.Sprint(d.QuadletNeeds())
	if want := "[{b.build false} {p.pod true} {net.network false} {other.container false} {data.volume false} {m.volume false}]"; needs != want {
		t.Errorf("needs %s\nwant  %s", needs, want)
	}
	var reads []string
	for _, r := range d.QuadletReads("/etc/containers/systemd") {
		reads = append(reads, r.Why+r.Path)
	}
	slices.Sort(reads)
	want := []string{
		"EnvironmentFile=/etc/abs.env", "EnvironmentFile=/etc/containers/systemd/rel.env", "Mount=/etc/bound",
		"PodmanArgs=/etc/labels", "PodmanArgs=/etc/v", "PodmanArgs=/etc/v:/v", "PodmanArgs=/v", "SeccompProfile=/etc/seccomp.json",
		"Volume=/etc/conf/1", "Volume=/etc/containers/systemd/rel",
	}
	if !slices.Equal(reads, want) {
		t.Errorf("reads %q\nwant  %q", reads, want)
	}
}

// What a build copies, and an archive that an image is taken from, are inputs as the
// Quadlet file itself is.
func TestQuadletReadsOfImages(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"b.build", "File=/srv/app/Containerfile", "/srv/app/Containerfile File=, /srv/app File="},
		{"b.build", "File=/srv/app/Containerfile\nSetWorkingDirectory=file", "/srv/app/Containerfile File=, /srv/app File="},
		{"b.build", "SetWorkingDirectory=/srv/app", "/srv/app SetWorkingDirectory="},
		{"b.build", "File=Containerfile\nSetWorkingDirectory=unit", "/etc/containers/systemd/Containerfile File="},
		{"b.build", "File=/srv/Containerfile\nSetWorkingDirectory=https://example.com/app.git", "/srv/Containerfile File="},
		{"b.build", "File=https://example.com/Containerfile", ""},
		{"i.image", "Image=oci-archive:/srv/box.tar:localhost/box:1", "/srv/box.tar Image="},
		{"i.image", "Image=docker-archive:/srv/box.tar", "/srv/box.tar Image="},
		{"i.image", "Image=oci:/srv/box:1", "/srv/box Image="},
		{"c.container", "Image=dir:/srv/a:b", "/srv/a:b Image="},
		{"i.image", "Image=docker://quay.io/fedora/httpd", ""},
		{"c.container", "Image=localhost:5000/box:1", ""},
		{"k.kube", "Yaml=duo.yaml\nConfigMap=/srv/map.yaml", "/etc/containers/systemd/duo.yaml Yaml=, /srv/map.yaml ConfigMap="},
	} {
		d := quadletOf(t, c.name, "["+QuadletSection(c.name)+"]\n"+c.text)
		var reads []string
		for _, r := range d.QuadletReads("/etc/containers/systemd") {
			reads = append(reads, r.Path+" "+r.Why)
		}
		if got := strings.Join(reads, ", "); got != c.want {
			t.Errorf("%q of %s: %q, want %q", c.text, c.name, got, c.want)
		}
	}
}
