package apply

import (
	"slices"
	"testing"
)

// What podman 5.4 says in a dry run. A file that the commit does not touch counts when
// it is refused only with the commit: the network that it names goes.
func TestWhatPodmansGeneratorSays(t *testing.T) {
	o := order{
		Paths: []string{
			"/etc/containers/systemd/bad.container", "/etc/containers/systemd/cache.container",
			"/etc/containers/systemd/new.artifact", "/etc/containers/systemd/x.conf",
		},
		Removed: []string{"/etc/containers/systemd/net.network"},
	}
	was, now := made{order: o, services: map[string]string{}}, made{order: o, services: map[string]string{}}
	was.read(`quadlet-generator[7]: Loading source unit file /etc/containers/systemd/old.container
quadlet-generator[7]: converting "old.container": no Image or Rootfs key specified
`)
	now.read(`quadlet-generator[9]: Loading source unit file /etc/containers/systemd/cache.container
quadlet-generator[9]: Warning: cache.container specifies the image "x" which not a fully qualified image name.
---cache.service---
[X-Container]
Image=x

[Unit]
SourcePath=/etc/containers/systemd/cache.container

quadlet-generator[9]: converting "old.container": no Image or Rootfs key specified
converting "bad.container": unsupported key 'Foo' in group 'Container' in /etc/containers/systemd/bad.container
converting "user.container": requested Quadlet unit net.network was not found
quadlet-generator[9]: error loading "/etc/containers/systemd/cache.container", file contains line 4: “nonsense” which is not a key-value pair, group, or comment
`)
	g, err := now.since(was, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range sortedInvalid(g.faults) {
		got = append(got, f.String())
	}
	want := []string{
		"/etc/containers/systemd/bad.container: podman's generator does not know the key Foo= in [Container]",
		"/etc/containers/systemd/cache.container:4: podman's generator refuses it: file contains line 4: “nonsense” which is not a key-value pair, group, or comment",
		"/etc/containers/systemd/user.container: podman's generator refuses it: requested Quadlet unit net.network was not found",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if names := g.services(); !slices.Equal(names, []string{"cache.service"}) {
		t.Errorf("made of what the commit brings: %q", names)
	}
}

// A podman that does not know a kind passes over it without a word.
func TestAKindThatPodmanDoesNotKnow(t *testing.T) {
	m := made{order: order{Paths: []string{"/etc/containers/systemd/a.build"}}}
	g, err := m.since(made{}, t.TempDir())
	if err != nil || len(g.faults) != 1 || g.faults[0].Missing {
		t.Errorf("%v, %v; want one fault that stays", g.faults, err)
	}
	m.missing = true
	if g, err = m.since(made{}, t.TempDir()); err != nil || len(g.faults) != 1 || !g.faults[0].Missing {
		t.Errorf("without a generator: %v, %v; want one that may go", g.faults, err)
	}
}

// Whatever way a commit found to have a service made in the place of evenkeel's own: a
// link to a directory, a key with odd blanks. What the host had before is not its fault.
func TestPodmansGeneratorMakesNoServiceOfEvenkeel(t *testing.T) {
	o := order{Paths: []string{"/etc/containers/systemd/odd.container"}}
	was, now := made{order: o, services: map[string]string{}}, made{order: o, services: map[string]string{}}
	const vendor = "---evenkeel-exporter.service---\n[Unit]\nSourcePath=/usr/share/containers/systemd/x.container\n"
	was.read(vendor)
	now.read(vendor + "---evenkeel.service---\n[Unit]\nSourcePath=/opt/quadlets/evenkeel.container\n" +
		"---.service---\n[Unit]\nSourcePath=/etc/containers/systemd/odd.container\n")
	g, err := now.since(was, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range sortedInvalid(g.faults) {
		got = append(got, f.String())
	}
	want := []string{
		`/etc/containers/systemd/odd.container: podman's generator makes a service without a name of it: unit name ".service" has nothing before the type`,
		`/opt/quadlets/evenkeel.container: podman's generator makes "evenkeel.service" of it, in the place of evenkeel's own`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
