//go:build e2e

package e2e

import (
	"testing"

	"evenkeel/e2e/lab"
)

// hostsShared is the most hosts of a release that play the stories which leave nothing
// behind, one story after the other on each: as many as tests run side by side.
const hostsShared = 8

const configFile = "/etc/evenkeel/config.yaml"

// hosts lends hosts to stories.
type hosts struct {
	t     *testing.T
	image *lab.Image
	free  chan *lab.Host // nil: one that is still to be made
}

func newHosts(t *testing.T, image *lab.Image) *hosts {
	h := &hosts{t: t, image: image, free: make(chan *lab.Host, hostsShared)}
	for range hostsShared {
		h.free <- nil
	}
	return h
}

// outliving is a test that fails for its own sake, and keeps what it makes until the
// test ends that it is a part of.
type outliving struct {
	*testing.T
	whole *testing.T
}

func (o outliving) Cleanup(f func()) { o.whole.Cleanup(f) }

// playOn plays the story: where it changes what no commit takes back on a host of its
// own, else on one that the next story gets. In between, the host must be as it was
// found; one that a story failed on is nobody's any more.
func (s *scenario) playOn(from *hosts) {
	s.t.Helper()
	if s.alone {
		s.play(theLab.HostFrom(s.t, from.image, "web-1"))
		return
	}
	h := <-from.free
	back := (*lab.Host)(nil)
	defer func() { from.free <- back }()
	if h == nil {
		h = theLab.HostFrom(outliving{s.t, from.t}, from.image, "web-1")
	}
	h.Lend(s.t)
	defer h.Lend(from.t)
	found, config := &scenario{site: &site{host: h}}, h.ReadFile(configFile)
	found.mark()
	s.play(h)
	s.leave(found, config)
	if !s.t.Failed() {
		back = h
	}
}

// leave has a last commit ask for nothing at all, which takes away all that the story
// brought: the host must be as it was found, in files and in what runs.
func (s *scenario) leave(found *scenario, config string) {
	s.t.Helper()
	s.repo.Empty()
	s.repo.Write("fleet.yaml", "hosts: [{match: '*', roles: [nothing]}]\n")
	s.repo.Write("roles/nothing/role.yaml", "services: {}\n")
	s.newest = s.repo.Commit("nothing at all\n\nEvenkeel-Allow-Prune: true")
	if fault := s.good(""); fault != "" {
		s.t.Fatalf("%s: a commit that asks for nothing is not good: %s", s.name, fault)
	}
	s.host.Must("systemctl", "stop", "evenkeel.service")
	s.host.WriteFile(configFile, config, 0o640)
	s.host.Script("rm -rf /var/lib/evenkeel/* /var/cache/evenkeel/*")
	if differs := found.same(""); differs != "" {
		s.t.Fatalf("%s: with all of it gone from the repository the host is not as it was found:\n%s", s.name, differs)
	}
}
