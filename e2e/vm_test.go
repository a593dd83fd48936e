//go:build e2e && vm

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// vmSoon bounds what takes seconds on an emulated processor, on a machine that is busy.
const vmSoon = 10 * time.Minute

// vmSite is a virtual machine that follows a repository.
type vmSite struct {
	t      *testing.T
	vm     *lab.VM
	repo   *lab.Repo
	server *lab.Server
	first  string // the first commit
}

// newVMSite boots a virtual machine with the package installed, and waits until the first
// commit is good.
func newVMSite(t *testing.T, release string, trees ...string) *vmSite {
	t.Helper()
	s := &vmSite{t: t, repo: theLab.Repo(t, "config")}
	for _, tree := range trees {
		s.repo.WriteTree(tree)
	}
	s.server = theLab.Serve(t, s.repo, "", "")
	s.first = s.repo.Commit("the first")

	base := theLab.Host(t, release, "web-1")
	base.Install(packageFile(t, "EVENKEEL_DEB"))
	base.WriteFile(configFile, "repo: "+s.server.URL()+"\ninterval: 1s\nprobation: 2s\n", 0o640)
	base.Must("systemctl", "enable", "evenkeel.service")
	s.vm = theLab.VM(t, base.Freeze(), "web-1")
	s.waitGood(s.first)
	return s
}

// status is what the daemon last wrote down. Each command that comes in costs the emulated
// processor more than a poll of the daemon does, so it waits a little itself.
func (s *vmSite) status() status {
	out, _ := s.vm.Run("/bin/sh", "-c", "sleep 0.5; exec cat "+statusFile) // the daemon may be about to start
	return readStatus([]byte(out))
}

func (s *vmSite) wait(what string, yes func(status) bool) status {
	s.t.Helper()
	var st status
	if !lab.Poll(vmSoon, func() bool { st = s.status(); return yes(st) }) {
		s.t.Fatalf("on %s: waited %v in vain for %s; the status is %+v", s.vm.Release, vmSoon, what, st)
	}
	return st
}

func (s *vmSite) waitGood(commit string) status {
	s.t.Helper()
	return s.wait("commit "+commit+" to be good", func(st status) bool {
		return st.idle(commit) && st.Good.Commit == commit && st.Applied.Commit == commit
	})
}

// waitRejected waits until the commit has failed for a reason with these words, and the
// host is back.
func (s *vmSite) waitRejected(commit, words string) {
	s.t.Helper()
	st := s.wait("commit "+commit+" to be rejected", func(st status) bool { return st.idle(commit) && st.isRejected(commit) })
	for _, r := range st.Rejected {
		if said := r.Reason + "\n" + strings.Join(r.Evidence, "\n"); r.Commit == commit && !strings.Contains(said, words) {
			s.t.Errorf("the commit was rejected for another reason than %q:\n%s", words, said)
		}
	}
}

// same checks that files are as they were.
func (s *vmSite) same(before string) {
	s.t.Helper()
	if now := s.vm.Snapshot(); now != before {
		s.t.Errorf("the host is not as it was:\n%s", diffLines(before, now))
	}
}

// diffLines gives the lines that only one of two texts has.
func diffLines(before, now string) string {
	var out strings.Builder
	for _, side := range []struct{ sign, text, other string }{{"-", before, now}, {"+", now, before}} {
		for line := range strings.Lines(side.text) {
			if !strings.Contains("\n"+side.other+"\n", "\n"+strings.TrimRight(line, "\n")+"\n") {
				out.WriteString(side.sign + line)
			}
		}
	}
	return out.String()
}

// must checks what a command prints.
func (s *vmSite) must(want string, command string) {
	s.t.Helper()
	if got := s.vm.Script(command); got != want {
		s.t.Errorf("%s: %q, want %q", command, got, want)
	}
}

// onEachVM runs a test on a virtual machine of each release, side by side.
func onEachVM(t *testing.T, test func(t *testing.T, release string)) {
	t.Helper()
	t.Parallel()
	for _, release := range releases {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			test(t, release+"-vm")
		})
	}
}

const vmTree = `-- fleet.yaml --
hosts: [{match: '*', roles: [app]}]
-- roles/app/role.yaml --
services:
  app.service: {settle: 0s}
-- roles/app/units/app.service --
[Service]
ExecStart=/bin/sleep infinity

[Install]
WantedBy=multi-user.target
`

// passing is the role with a check that passes, once the emulated processor has come to it.
func passing(command string) string { return withCheck(command, 2*time.Minute) }

// failing is the role with a check that fails each time.
func failing(command string) string { return withCheck(command, 10*time.Second) }

func withCheck(command string, deadline time.Duration) string {
	return fmt.Sprintf("services:\n  app.service:\n    settle: 0s\n    deadline: %v\n    checks:\n      - {exec: [%s], timeout: 1m}\n", deadline, command)
}

// What only a kernel of one's own shows.
func TestVMKernel(t *testing.T) {
	onEachVM(t, func(t *testing.T, release string) {
		s := newVMSite(t, release, vmTree)
		for _, part := range []struct {
			name string
			test func(*vmSite)
		}{
			{"a check has 256 MB and no swap", (*vmSite).memoryOfChecks},
			{"values of the kernel", (*vmSite).kernelValues},
			{"modules", (*vmSite).modules},
			{"udev rules", (*vmSite).udevRules},
		} {
			t.Run(part.name, func(t *testing.T) {
				s.repo.Restore(s.first)
				part.test(&vmSite{t: t, vm: s.vm, repo: s.repo, server: s.server, first: s.first})
			})
		}
	})
}

// A check that eats more than its memory is killed by the kernel, with swap or without,
// and nothing else is.
func (s *vmSite) memoryOfChecks() {
	// Not fallocate: what has no blocks yet is no swap on each file system.
	s.vm.Script("dd if=/dev/zero of=/var/swap bs=1M count=512 status=none && chmod 600 /var/swap && mkswap -q /var/swap && swapon /var/swap")
	defer s.vm.Script("swapoff /var/swap && rm /var/swap")
	before := s.vm.Snapshot()
	running := s.vm.Must("systemctl", "show", "-P", "InvocationID", "app.service", "evenkeel.service")

	s.repo.Write("roles/app/role.yaml", withCheck(`/usr/bin/perl, -e, '$| = 1; print "eating\n"; my $x = "x" x (400 << 20); print "full\n"'`, time.Minute))
	s.waitRejected(s.repo.Commit("a check that eats 400 MB"), "killed for its memory, which is limited to 256 MB")
	s.same(before)
	if log := s.vm.Script("journalctl -k -b --no-pager -o cat"); !strings.Contains(log, "oom_memcg=/system.slice/evenkeel-check-") {
		s.t.Errorf("the kernel does not say that it killed the check for its own limit:\n%s", log)
	}

	s.repo.Write("roles/app/role.yaml", passing(`/usr/bin/perl, -e, 'my $x = "x" x (100 << 20); print "fine\n"'`))
	s.waitGood(s.repo.Commit("a check that takes 100 MB"))
	if now := s.vm.Must("systemctl", "show", "-P", "InvocationID", "app.service", "evenkeel.service"); now != running {
		s.t.Errorf("the service or the daemon were started again: %q, were %q", now, running)
	}
}

// Values of the kernel that all containers of a machine share.
func (s *vmSite) kernelValues() {
	const read = "cat /proc/sys/vm/swappiness"
	found := s.vm.Script(read)
	s.repo.Write("roles/app/files/etc/sysctl.d/lab.conf", "vm.swappiness = 17\n")
	s.repo.Write("roles/app/role.yaml", passing(`/bin/grep, -qx, "17", /proc/sys/vm/swappiness`))
	s.waitGood(s.repo.Commit("a value"))
	s.must("17", read)

	s.repo.Write("roles/app/files/etc/sysctl.d/lab.conf", "vm.swappiness = 18\n")
	s.repo.Write("roles/app/role.yaml", failing("/bin/false"))
	s.waitRejected(s.repo.Commit("another value, and a check that fails"), "app.service")
	s.must("17", read)

	s.repo.Restore(s.first)
	s.waitGood(s.repo.Commit("no value"))
	s.must(found, read)
}

// A module is loaded with the commit that asks for it, and at the next boot. One that a
// commit brought that fails stays until then.
func (s *vmSite) modules() {
	const loaded = "lsmod | grep -o -e '^dummy ' -e '^veth ' | sort || true"
	s.must("", loaded)
	s.repo.Write("roles/app/files/etc/modules-load.d/lab.conf", "dummy\n")
	s.repo.Write("roles/app/role.yaml", passing("/bin/grep, -q, '^dummy ', /proc/modules"))
	s.waitGood(s.repo.Commit("a module"))
	s.must("dummy ", loaded)

	before := s.vm.Snapshot()
	s.repo.Write("roles/app/files/etc/modules-load.d/lab.conf", "dummy\nveth\n")
	s.repo.Write("roles/app/role.yaml", failing("/bin/false"))
	s.waitRejected(s.repo.Commit("another module, and a check that fails"), "app.service")
	s.same(before)
	s.must("dummy \nveth ", loaded)

	s.vm.Reboot()
	s.must("dummy ", loaded)
}

// A rule counts for the next device, with no restart of udev.
func (s *vmSite) udevRules() {
	const add = "ip link add %s type dummy && udevadm settle && udevadm info --query=property /sys/class/net/%s | grep '^LAB=' || true; ip link del %s"
	device := func(name string) string { return strings.ReplaceAll(add, "%s", name) }
	s.must("", device("lab0"))
	udev := s.vm.Must("systemctl", "show", "-P", "InvocationID", "systemd-udevd.service")
	s.repo.Write("roles/app/files/etc/udev/rules.d/lab.rules", `SUBSYSTEM=="net", KERNEL=="lab*", ENV{LAB}="one"`+"\n")
	s.waitGood(s.repo.Commit("a rule"))
	s.must("LAB=one", device("lab1"))

	s.repo.Write("roles/app/files/etc/udev/rules.d/lab.rules", `SUBSYSTEM=="net", KERNEL=="lab*", ENV{LAB}="two"`+"\n")
	s.repo.Write("roles/app/role.yaml", failing("/bin/false"))
	s.waitRejected(s.repo.Commit("another rule, and a check that fails"), "app.service")
	s.must("LAB=one", device("lab2"))

	s.repo.Restore(s.first)
	s.waitGood(s.repo.Commit("no rule"))
	s.must("", device("lab3"))
	s.must(udev, "systemctl show -P InvocationID systemd-udevd.service")
}
