//go:build e2e && vm

package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var vmCuts = flag.Int("vm.cuts", 6, "how often the power of each virtual machine is cut")

// vmSlow is a service of the commit that takes its time to start, so that a cut falls into
// the middle of an apply, between the services.
const vmSlow = `-- roles/witness/units/slow.service.tmpl --
[Unit]
After=witness.service
[Service]
Environment=GENERATION={{ .vars.generation }}
ExecStartPre=/bin/sleep 1
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
-- roles/witness/role.yaml --
files:
  /etc/witness/5.conf: {mode: "0600", owner: nobody}
  /usr/local/bin/witness: {mode: "0755"}
services:
  witness.service: {settle: 100ms}
  slow.service: {settle: 100ms}
`

// Power cuts with the kernel gone too: what nobody synced is lost. The host ends at one
// generation, that of the last good commit, and no service runs on a mixed set.
func TestVMPowerCut(t *testing.T) {
	onEachVM(t, func(t *testing.T, release string) {
		s := newVMSite(t, release, strings.Replace(witness, ">> /var/lib/witness", ">> /var/lib/witness; sync /var/lib/witness", 1), vmSlow)
		seed := uint64(time.Now().UnixNano())
		t.Logf("%s: seed %d", release, seed)
		random := rand.New(rand.NewPCG(seed, 0))

		good, open := 0, map[string]int{}
		for n := 1; n <= *vmCuts; n++ {
			healthy := n%3 != 0
			s.generation(n, healthy)
			if healthy {
				good = n
			}
			// In the middle of the apply, then some of it later, in the watch or the revert.
			s.vm.Script("for i in $(seq 3000); do ls /var/lib/evenkeel/attempt.*.apply.* >/dev/null 2>&1 && exit; sleep 0.02; done; exit 1")
			<-time.After(time.Duration(random.Int64N(int64(6 * time.Second))))
			s.vm.PowerCut()
			s.vm.Boot()
			open[s.vm.Script("journalctl -b -q --no-pager -o cat -u evenkeel-recover.service | grep -c . || true")]++
			s.wholeAt(good, n)
		}
		if never := open["0"]; 2*never > *vmCuts {
			t.Errorf("%d of %d cuts fell in no attempt", never, *vmCuts)
		}
	})
}

// generation commits the next one. A bad one has a witness that exits at once.
func (s *vmSite) generation(n int, healthy bool) {
	s.t.Helper()
	const script = "roles/witness/files/usr/local/bin/witness"
	whole := s.repo.Read(script)
	s.repo.Write("vars.yaml", fmt.Sprintf("generation: %d\n", n))
	if !healthy {
		s.repo.Write(script, strings.Replace(whole, "exec sleep infinity", "exit 1", 1))
	}
	s.repo.Commit(fmt.Sprintf("generation %d, healthy: %v", n, healthy))
	s.repo.Write(script, whole)
}

// wholeAt waits until the machine has come to rest and checks that all of it is at the
// generation.
func (s *vmSite) wholeAt(want, cut int) {
	s.t.Helper()
	s.wait(fmt.Sprintf("rest after cut %d", cut), func(st status) bool {
		head := s.repo.Head()
		return st.Attempt == nil && st.Stage == "idle" && st.Target.Commit == head && (st.Good.Commit == head || st.isRejected(head))
	})
	generation := fmt.Sprint(want)
	s.must(generation, "cat /etc/witness/*.conf | uniq")
	s.must("GENERATION="+generation, "systemctl show -P Environment witness.service slow.service | grep . | uniq")
	s.must("active", "systemctl is-active witness.service slow.service | uniq")
	s.must("", "find /etc /usr/local /opt /srv -name '*.evenkeel[~+]'")
	s.must("", "journalctl -k -b -q --no-pager -o cat | grep -i 'EXT4-fs error' || true")
	for line := range strings.Lines(s.vm.Script("cat /var/lib/witness")) {
		// What was being appended in the moment of the cut may have become zeros.
		if words := strings.Fields(strings.Trim(line, "\x00")); len(words) != 6 || len(slices.Compact(words)) != 1 {
			s.t.Errorf("after cut %d: a service ran on a mixed set: %q", cut, line)
		}
	}
}
