//go:build e2e

package e2e

import (
	"testing"

	"evenkeel/e2e/lab"
)

// What leaves the repository leaves the host, and what stood there before comes
// back as it was.
func TestFileThatLeavesTheRepositoryLeavesTheHost(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		h.Script("echo 'as the vendor made it' > /etc/motd; chmod 0604 /etc/motd; chown nobody:nogroup /etc/motd")
		found := h.Snapshot("/etc/motd")
		s.settled()
		if diff := found.Diff(h.Snapshot("/etc/motd")); diff == "" {
			t.Fatal("the commit did not change /etc/motd, so the test shows nothing")
		}

		s.repo.Remove("roles/base/files/etc/motd.tmpl")
		s.repo.Remove("roles/base/files/etc/shop")
		s.repo.Write("roles/base/role.yaml", "directories:\n  /srv/shop: {mode: \"0750\", owner: nobody}\n")
		s.waitGood(s.repo.Commit("fewer files"))
		if diff := found.Diff(h.Snapshot("/etc/motd")); diff != "" {
			t.Errorf("the file that was there before is not as it was:\n%s", diff)
		}
		for _, path := range []string{"/etc/shop/old.conf", "/etc/shop/secret.conf", "/etc/shop/current.conf", "/etc/shop"} {
			if h.Exists(path) {
				t.Errorf("%s is still there", path)
			}
		}
		s.answers("hello from the first of them, this is test")
	})
}

// A label is the host's own word about itself; changing it changes what the
// same commit asks for.
func TestChangedLabelActsWithoutACommit(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		commit := s.settled()
		s.answers("this is test")

		s.config.labels = map[string]string{"env": "prod"}
		s.configure()
		h.Must("systemctl", "reload", "evenkeel.service")
		h.WaitFor("the other environment", soon, func() bool {
			return get(h, "http://127.0.0.1:8000/", "this is production") == nil
		})
		s.waitGood(commit)
		s.answers("this is production")
	})
}
