//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// packager is a real package manager, and a package of one: three files that evenkeel
// owns, of which the first is a configuration file.
type packager struct {
	build   func(h *lab.Host, version int) // leaves /var/tmp/shopd.VERSION
	install string
	upgrade string
	again   string // installs the second version once more
	holds   string // what status says of its lock
	left    string // what the upgrade leaves beside the configuration file
	version string // a command that prints the version that is installed
}

var dpkgs = packager{
	build: func(h *lab.Host, version int) {
		dir := fmt.Sprintf("/var/tmp/shopd-%d", version)
		h.WriteFile(dir+"/DEBIAN/control", fmt.Sprintf("Package: shopd\nVersion: %d\nArchitecture: all\nMaintainer: A. Author <author@example.com>\nDescription: a shop\n", version), 0o644)
		h.WriteFile(dir+"/DEBIAN/conffiles", "/etc/shopd/a.conf\n", 0o644)
		h.WriteFile(dir+"/DEBIAN/postinst", "#!/bin/sh\n"+takesItsTime(version), 0o755)
		for _, name := range []string{"a", "b", "c"} {
			h.WriteFile(dir+"/etc/shopd/"+name+".conf", packaged(name, version), 0o644)
		}
		h.Script(fmt.Sprintf("dpkg-deb --root-owner-group --build %s /var/tmp/shopd.%d >/dev/null", dir, version))
	},
	install: "dpkg -i /var/tmp/shopd.1",
	upgrade: "dpkg --force-confold -i /var/tmp/shopd.2",
	again:   "dpkg --force-confold -i /var/tmp/shopd.2",
	holds:   "(dpkg) holds /var/lib/dpkg/lock",
	left:    "/etc/shopd/a.conf.dpkg-dist",
	version: "dpkg-query --show --showformat='${Version}' shopd",
}

var rpms = packager{
	build: func(h *lab.Host, version int) {
		h.WriteFile("/var/tmp/shopd.spec", fmt.Sprintf(`Name: shopd
Version: %d
Release: 1
Summary: a shop
License: none
BuildArch: noarch
%%description
a shop
%%install
mkdir -p %%{buildroot}/etc/shopd
%%post
%s
%%files
%%config(noreplace) /etc/shopd/a.conf
/etc/shopd/b.conf
/etc/shopd/c.conf
`, version, takesItsTime(version)), 0o644)
		for _, name := range []string{"a", "b", "c"} {
			h.Script(fmt.Sprintf(`sed -i '/^mkdir/a printf "%%%%s" "%s" > %%{buildroot}/etc/shopd/%s.conf' /var/tmp/shopd.spec`, strings.TrimSpace(packaged(name, version)), name))
		}
		h.Script(fmt.Sprintf("rpmbuild --quiet --define '_topdir /var/tmp/rpmbuild' -bb /var/tmp/shopd.spec && cp /var/tmp/rpmbuild/RPMS/noarch/shopd-%d-1.noarch.rpm /var/tmp/shopd.%d", version, version))
	},
	install: "rpm -i --nodeps /var/tmp/shopd.1", // Debian's programs are in no rpm
	upgrade: "rpm -U --nodeps /var/tmp/shopd.2",
	again:   "rpm -U --nodeps --force /var/tmp/shopd.2",
	holds:   "(rpm) holds /",
	left:    "/etc/shopd/a.conf.rpmnew",
	version: "rpm -q --queryformat '%{VERSION}' shopd",
}

var dnfs = packager{
	build: func(h *lab.Host, version int) {
		rpms.build(h, version)
		h.Script(fmt.Sprintf("mv /var/tmp/shopd.%d /var/tmp/shopd-%d.rpm", version, version))
	},
	install: dnf + "install /var/tmp/shopd-1.rpm",
	upgrade: dnf + "upgrade /var/tmp/shopd-2.rpm",
	again:   dnf + "reinstall /var/tmp/shopd-2.rpm",
	holds:   "(dnf) holds /usr/lib/sysimage/rpm/.rpm.lock",
	left:    rpms.left,
	version: rpms.version,
}

const dnf = "dnf -y --disablerepo='*' --releasever=1 --nogpgcheck "

func packaged(name string, version int) string {
	return fmt.Sprintf("%s of package %d\n", name, version)
}

// takesItsTime is what a package does once its files are there: the second version waits
// for a person.
func takesItsTime(version int) string {
	if version == 1 {
		return "exit 0\n"
	}
	return "touch /var/tmp/begun\nuntil [ -e /var/tmp/end ]; do sleep 0.1; done\n"
}

// An upgrade that takes its time replaces several files of evenkeel's. Nothing is put
// back before it has finished; then one correction puts all of it right. A commit that
// comes in the middle of the next one waits.
func TestUpgradeByDpkgIsFollowedByOneCorrection(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) { oneCorrectionFollows(t, h, dpkgs) })
}

func TestUpgradeByRpmIsFollowedByOneCorrection(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		rpmHost(h, "rpm")
		oneCorrectionFollows(t, h, rpms)
	})
}

// One release is enough: dnf leaves the lock to rpm.
func TestUpgradeByDnfIsFollowedByOneCorrection(t *testing.T) {
	t.Parallel()
	h := theLab.Host(t, "trixie", "web-1")
	rpmHost(h, "dnf")
	// dnf, unlike rpm, cannot be told that there is a shell.
	h.WriteFile("/var/tmp/sh.spec", "Name: sh\nVersion: 1\nRelease: 1\nSummary: a shell\nLicense: none\nBuildArch: noarch\nProvides: /bin/sh\n%description\na shell\n%files\n", 0o644)
	h.Script("rpmbuild --quiet --define '_topdir /var/tmp/rpmbuild' -bb /var/tmp/sh.spec && rpm -i /var/tmp/rpmbuild/RPMS/noarch/sh-1-1.noarch.rpm")
	oneCorrectionFollows(t, h, dnfs)
}

// rpmHost gives a host rpm, with its database where RHEL has it, or Fedora and SUSE.
func rpmHost(h *lab.Host, set string) {
	h.InstallSet(set)
	place := map[string]string{"bookworm": "/var/lib/rpm", "trixie": "/usr/lib/sysimage/rpm"}[h.Release]
	h.WriteFile("/etc/rpm/macros", "%_dbpath "+place+"\n", 0o644)
}

func oneCorrectionFollows(t *testing.T, h *lab.Host, p packager) {
	p.build(h, 1)
	p.build(h, 2)
	h.Script(p.install)
	s := newSite(t, h)
	owned := []string{"/etc/shopd/a.conf", "/etc/shopd/b.conf", "/etc/shopd/c.conf"}
	attributes := "  /etc/shop/old.conf: {feeds: none}"
	for _, path := range owned {
		s.repo.Write("roles/base/files"+path, "from Git\n")
		attributes += "\n  " + path + ": {feeds: none}"
	}
	s.repo.Edit("roles/base/role.yaml", "  /etc/shop/old.conf: {feeds: none}", attributes)
	s.settled()
	s.waitNoDrift()

	p.begin(t, h, p.upgrade)
	s.waitStatus("the drift to be seen, and who is waited for", func(st status) bool {
		return len(st.Drift) == 2 && st.Lock != nil && st.Lock.Process != ""
	})
	s.waitPolls(3)
	if got := h.ReadFile("/etc/shopd/c.conf"); s.corrections() != 0 || !strings.Contains(got, "c of package 2") {
		t.Errorf("in the middle of the upgrade there were %d corrections, and the file is %q", s.corrections(), got)
	}
	p.end(t, h)
	s.waitStatus("the correction", func(st status) bool { return s.corrections() > 0 && len(st.Drift) == 0 && st.Attempt == nil })
	s.waitPolls(2)
	if n, files := s.historyCorrections(), s.corrections(); n != 1 || files != 2 {
		t.Errorf("%d corrections of %d files followed", n, files)
	}
	p.comesOut(s, owned)
	if got := h.Must("evenkeel", "drift", "show", "/etc/shopd/b.conf"); !strings.Contains(got, "b of package 2") {
		t.Errorf("what was kept is %q", got)
	}
	s.waitStatus("what the package left to be shown", func(st status) bool { return slices.Contains(st.PackageFiles, p.left) })

	p.begin(t, h, p.again)
	s.repo.Edit("hosts/web-1.yaml", "hello from the first of them", "good morning")
	commit := s.repo.Commit("another greeting")
	st := s.waitStatus("the commit to wait for the package manager", func(st status) bool { return st.idle(commit) && len(st.Waiting) > 0 })
	if who := st.Waiting[0]; !strings.Contains(who, p.holds) {
		t.Errorf("it waits for %q, want one that %q", who, p.holds)
	}
	p.end(t, h)
	s.waitGood(commit)
	s.waitNoDrift()
	p.comesOut(s, owned)
	s.answers("good morning, this is test")
}

// begin lets a package manager run until it is in the middle of it.
func (p packager) begin(t *testing.T, h *lab.Host, command string) {
	t.Helper()
	h.Must("systemd-run", "--quiet", "--unit=upgrading", "--remain-after-exit", "/bin/sh", "-c", command)
	if !lab.Poll(soon, func() bool { return h.Exists("/var/tmp/begun") }) {
		t.Fatalf("it is not in the middle of it:\n%s", h.Journal("upgrading.service", 30))
	}
}

// end lets it go on to its end.
func (p packager) end(t *testing.T, h *lab.Host) {
	t.Helper()
	h.WriteFile("/var/tmp/end", "", 0o644)
	h.WaitFor("the package manager to end", soon, func() bool { return h.Property("upgrading.service", "SubState") == "exited" })
	if got := h.Property("upgrading.service", "ExecMainStatus"); got != "0" {
		t.Errorf("it ended with %s:\n%s", got, h.Journal("upgrading.service", 30))
	}
	h.Script("rm /var/tmp/begun /var/tmp/end; systemctl stop upgrading.service")
}

// comesOut checks that both got what they want: the package is installed, and the files
// are evenkeel's.
func (p packager) comesOut(s *site, owned []string) {
	s.t.Helper()
	if got := s.host.Script(p.version); strings.TrimSpace(got) != "2" {
		s.t.Errorf("version %q is installed", got)
	}
	for _, path := range owned {
		if got := s.host.ReadFile(path); got != "from Git\n" {
			s.t.Errorf("%s is %q", path, got)
		}
	}
}
