//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// A host that somebody set up by hand, in the way of nginx: a unit of a package
// with a drop-in and an edited configuration file, an own unit with its program and
// an owner for its files, a timer, a link that enables a site. All of it is adopted
// into a checkout, the plan is empty, and the daemon that then follows the checkout
// restarts nothing and touches no file.
func TestAdoptedHostIsLeftAsItIs(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		h.Install(packageFile(t, "EVENKEEL_DEB"))
		setUpByHand(h)
		h.WriteFile("/root/hosts/fleet.yaml", "hosts:\n  - match: web-1\n    roles: [web]\n", 0o644)
		h.WriteFile("/root/hosts/roles/web/role.yaml", "# The web role.\nservices:\n  # in the order in which they came to us\n", 0o644)
		files := h.Snapshot()
		before := map[string]string{}
		adopted := []string{"lamp.service", "app.service", "backup.timer"}
		for _, unit := range adopted {
			before[unit] = h.Invocation(unit)
		}

		if edited := h.Must("evenkeel", "adopt"); edited != "/etc/lamp/lamp.conf (lamp)" {
			t.Errorf("edited are\n%s", edited)
		}
		out, err := h.Run("evenkeel", "adopt", "--role", "web", "--repo", "/root/hosts", "lamp.service", "/etc/lamp/secret.key")
		if err == nil || !strings.Contains(err.Error(), "holds a private key") || h.Exists("/root/hosts/roles/web/units") {
			t.Errorf("a private key: %v\n%s", err, out)
		}
		out, err = h.Run("evenkeel", "adopt", "--role", "web", "--repo", "/root/hosts", "lamp.service", "app.service", "backup.timer")
		if err != nil || !strings.Contains(out, "/etc/lamp/lamp.conf (lamp): not adopted") || !strings.Contains(out, "is empty") {
			t.Errorf("adopting the units: %v\n%s", err, out)
		}
		out, err = h.Run("evenkeel", "adopt", "--role", "web", "--repo", "/root/hosts",
			"/etc/lamp/lamp.conf", "/etc/lamp/sites-enabled/one", "/etc/app", "/usr/local/bin/app", "/srv/app", "/etc/systemd/system/backup.service")
		if err != nil || !strings.Contains(out, "/etc/lamp/lamp.conf (lamp): adopted") || !strings.Contains(out, "The plan on web-1 is empty") {
			t.Fatalf("adopting the files: %v\n%s", err, out)
		}
		t.Logf("%s: %s", h.Release, out)
		if touched := files.Touched(h.Snapshot()); touched != "" {
			t.Errorf("adopt touched the host:\n%s", touched)
		}
		if got := h.ReadFile("/root/hosts/roles/web/role.yaml"); got != roleOfHandmade {
			t.Errorf("role.yaml is\n%s\nwant\n%s", got, roleOfHandmade)
		}

		s := &site{t: t, host: h, repo: theLab.Repo(t, "adopted")}
		t.Cleanup(s.tellIfFailed)
		s.repo.CopyFrom(h, "/root/hosts")
		commit := s.repo.Commit("as it was")
		s.server = theLab.Serve(t, s.repo, "", "")
		s.config.probation = 2e9
		s.configure()
		s.start()
		s.waitGood(commit)
		if diff := files.Without("/etc/evenkeel", "/etc/systemd/system/multi-user.target.wants").Diff(h.Snapshot().Without("/etc/evenkeel", "/etc/systemd/system/multi-user.target.wants")); diff != "" {
			t.Errorf("the daemon changed what was adopted:\n%s", diff)
		}
		for _, unit := range adopted {
			if now := h.Invocation(unit); now != before[unit] {
				t.Errorf("%s was started again", unit)
			}
		}

		// What was adopted is managed now.
		s.repo.Edit("roles/web/files/etc/lamp/lamp.conf", "wick = long", "wick = longest")
		s.waitGood(s.repo.Commit("longer"))
		if h.Invocation("lamp.service") == before["lamp.service"] {
			t.Error("lamp.service does not run with the new file")
		}
	})
}

const roleOfHandmade = `# The web role.
services:
  # in the order in which they came to us
  app.service: {enabled: false}
  backup.timer: {}
  lamp.service: {}
files:
  /etc/app/app.env: {mode: "0640", group: nogroup}
directories:
  /srv/app: {mode: "0750", owner: nobody, group: nogroup}
links:
  /etc/lamp/sites-enabled/one: ../sites-available/one
`

func setUpByHand(h *lab.Host) {
	const service = "[Service]\nExecStart=/bin/sleep infinity\n"
	for path, text := range map[string]string{
		"/var/tmp/lamp/DEBIAN/control":                      "Package: lamp\nVersion: 1\nArchitecture: all\nMaintainer: A. Author <author@example.com>\nDescription: a lamp\n",
		"/var/tmp/lamp/DEBIAN/conffiles":                    "/etc/lamp/lamp.conf\n/etc/lamp/colour.conf\n",
		"/var/tmp/lamp/etc/lamp/lamp.conf":                  "wick = short\n",
		"/var/tmp/lamp/etc/lamp/colour.conf":                "white\n",
		"/var/tmp/lamp/usr/lib/systemd/system/lamp.service": "[Service]\nEnvironmentFile=/etc/lamp/lamp.conf\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
	} {
		h.WriteFile(path, text, 0o644)
	}
	h.Script("dpkg-deb --root-owner-group --build /var/tmp/lamp /var/tmp/lamp.deb >/dev/null; dpkg -i /var/tmp/lamp.deb")
	for path, text := range map[string]string{
		"/etc/lamp/lamp.conf":                            "wick = long\n",
		"/etc/lamp/sites-available/one":                  "one\n",
		"/etc/systemd/system/lamp.service.d/limits.conf": "[Service]\nLimitNOFILE=4096\n",
		"/etc/systemd/system/app.service":                "[Unit]\nAfter=lamp.service\n" + service + "EnvironmentFile=/etc/app/app.env\n[Install]\nWantedBy=multi-user.target\n",
		"/etc/systemd/system/backup.service":             "[Service]\nType=oneshot\nExecStart=/bin/true\n",
		"/etc/systemd/system/backup.timer":               "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
		"/etc/app/app.env":                               "A=1\n",
		"/etc/app/conf.d/a.conf":                         "a\n",
		"/usr/local/bin/app":                             "#!/bin/sh\n",
		"/srv/app/data":                                  "data\n",
		"/etc/lamp/secret.key":                           "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n",
	} {
		h.WriteFile(path, text, 0o644)
	}
	h.Script(`chmod 0600 /etc/lamp/secret.key; chmod 0755 /usr/local/bin/app
chmod 0640 /etc/app/app.env; chgrp nogroup /etc/app/app.env
chmod 0750 /srv/app; chown nobody:nogroup /srv/app
mkdir -p /etc/lamp/sites-enabled; ln -s ../sites-available/one /etc/lamp/sites-enabled/one
systemctl daemon-reload; systemctl enable --now lamp.service backup.timer; systemctl start app.service`)
}
