//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// witness is a service that writes down, at each start, what it would run
// with: the generation in its unit as systemd has loaded it, and those in its
// files. One commit has one generation everywhere, so a line with two of them
// is a service that ran on a mixed set.
const witness = `-- roles/witness/role.yaml --
files:
  /etc/witness/5.conf: {mode: "0600", owner: nobody}
services:
  witness.service: {settle: 100ms}
-- roles/witness/units/witness.service.tmpl --
[Unit]
Description=Witness of generations

[Service]
Environment=GENERATION={{ .vars.generation }}
ExecStart=/usr/local/bin/witness /etc/witness

[Install]
WantedBy=multi-user.target
-- roles/witness/files/usr/local/bin/witness --
#!/bin/sh
echo "$GENERATION" $(cat "$1"/*.conf) >> /var/lib/witness
exec sleep infinity
-- roles/witness/files/etc/witness/1.conf.tmpl --
{{ .vars.generation }}
-- roles/witness/files/etc/witness/2.conf.tmpl --
{{ .vars.generation }}
-- roles/witness/files/etc/witness/3.conf.tmpl --
{{ .vars.generation }}
-- roles/witness/files/etc/witness/4.conf.tmpl --
{{ .vars.generation }}
-- roles/witness/files/etc/witness/5.conf.tmpl --
{{ .vars.generation }}
-- vars.yaml --
generation: 0
healthy: yes
-- fleet.yaml --
hosts:
  - match: "*"
    roles: [witness]
`

// crashes is a site with nothing but the witness, and the commits it was given.
type crashes struct {
	*site
	random     *rand.Rand
	generation int
	good       int // the last generation that is healthy
}

func newCrashes(t *testing.T, h *lab.Host) *crashes {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("%s: seed %d", h.Release, seed)
	c := &crashes{site: newSite(t, h), random: rand.New(rand.NewPCG(seed, 0))}
	for _, path := range []string{"roles", "hosts", "fleet.yaml", "vars.yaml"} {
		c.repo.Remove(path)
	}
	c.repo.WriteTree(witness)
	c.repo.Executable("roles/witness/files/usr/local/bin/witness")
	c.config.probation = time.Second
	c.configure()
	c.settled()
	return c
}

// commit makes the next generation, every third of them bad: its unit exits at
// once.
func (c *crashes) commit() {
	c.t.Helper()
	c.generation++
	bad := c.generation%3 == 0
	script := c.repo.Read("roles/witness/files/usr/local/bin/witness")
	c.repo.Write("vars.yaml", fmt.Sprintf("generation: %d\n", c.generation))
	broken := strings.Replace(script, "exec sleep infinity", "exit 1", 1)
	if bad {
		c.repo.Write("roles/witness/files/usr/local/bin/witness", broken)
	} else {
		c.good = c.generation
	}
	c.repo.Commit(fmt.Sprintf("generation %d, bad: %v", c.generation, bad))
	if bad { // the next commit is whole again
		c.repo.Write("roles/witness/files/usr/local/bin/witness", script)
	}
}

// pause waits for a random moment of a deploy or of its revert.
func (c *crashes) pause() {
	<-time.After(time.Duration(c.random.Int64N(int64(5 * time.Second))))
}

// judge waits until the host has come to rest and checks that it is wholly at
// one generation: one that is good, whichever the crash left it to.
func (c *crashes) judge(after string) {
	c.t.Helper()
	c.waitStatus("rest after "+after, func(st status) bool {
		return st.Attempt == nil && st.Stage == "idle" && st.Target.Commit == c.repo.Head() &&
			(st.Good.Commit == st.Target.Commit || st.isRejected(st.Target.Commit))
	})
	files := strings.Fields(c.host.Must("sh", "-c", "cat /etc/witness/*.conf"))
	environment := c.host.Property("witness.service", "Environment")
	if len(slices.Compact(files)) != 1 || environment != "GENERATION="+files[0] {
		c.t.Errorf("after %s the host is mixed: files %q, unit %q", after, files, environment)
	}
	if got := c.host.Active("witness.service"); got != "active" {
		c.t.Errorf("after %s the service is %s", after, got)
	}
	for _, line := range strings.Split(c.host.ReadFile("/var/lib/witness"), "\n") {
		if words := strings.Fields(line); len(words) > 0 && (len(words) != 6 || len(slices.Compact(words)) != 1) {
			c.t.Errorf("after %s: a service ran on a mixed set: %q", after, line)
		}
	}
	if want := fmt.Sprint(c.good); files[0] != want {
		c.t.Errorf("after %s the host is at generation %s, want the last good one, %s", after, files[0], want)
	}
	if left := c.leftovers(); left != "" {
		c.t.Errorf("after %s there are leftovers:\n%s", after, left)
	}
}

// leftovers lists siblings of managed files that no attempt needs any more.
func (c *crashes) leftovers() string {
	c.t.Helper()
	return c.host.Must("find", "/etc", "/usr/local", "/opt", "/srv", "-name", "*.evenkeel[~+]")
}

// kill -9 of the daemon at random moments of deploys and reverts: 50 of them on
// each release, on hosts side by side.
func TestDaemonKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	const hosts, kills = 5, 10
	for i := range hosts {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			onEachRelease(t, func(t *testing.T, h *lab.Host) {
				c := newCrashes(t, h)
				for n := range kills {
					c.commit()
					c.pause()
					h.WaitFor("a daemon that can be killed", soon, func() bool {
						_, err := h.Run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "evenkeel.service")
						return err == nil // between two starts there is none
					})
					c.judge(fmt.Sprintf("kill %d", n))
				}
			})
		})
	}
}

// Power cuts of the whole host at random moments of deploys and reverts.
func TestPowerCutAtRandomMoments(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		c := newCrashes(t, h)
		for n := range 10 {
			c.commit()
			c.pause()
			h.PowerCut()
			h.Boot()
			c.judge(fmt.Sprintf("power cut %d", n))
		}
	})
}
