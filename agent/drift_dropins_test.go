package agent

import (
	"testing"

	"evenkeel/agent/plan"
)

const handDropIn = "/etc/systemd/system/app.service.d/hand.conf"

// TestDropInByHandIsToldOfAfterTheNextCommitToo: the next commit took it for one that had
// been there before evenkeel, and nobody heard of it any more.
func TestDropInByHandIsToldOfAfterTheNextCommitToo(t *testing.T) {
	says := map[string]plan.OnDrift{"": plan.Report}
	w, _ := keptWorld(t, func(t *plan.Target) { t.Drift = says })
	w.disk.PutFile(handDropIn, "[Service]\nEnvironment=BY=hand\n", rootFile)
	mustDrift(t, mustHost(t, w), handDropIn)
	next := &spec{db: 1, app: 1, dbConf: 1, appConf: 1, vendorConf: 1, motd: 2, deep: 1, link: 1, dir: 1}
	for i, name := range []string{"next", "third"} {
		next.motd, next.appConf = 2+i, 1+i
		target := next.target(name, w)
		target.Drift = says
		if outcome, err := deployTarget(mustHost(t, w), target); err != nil || outcome.Result != ResultGood {
			t.Fatalf("the commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
		}
		mustDrift(t, mustHost(t, w), handDropIn)
	}
	w.disk.Delete(handDropIn)
	mustDrift(t, mustHost(t, w))
}

// What was there before the service is no drift, after any number of commits.
func TestDropInFromBeforeTheServiceIsNoDrift(t *testing.T) {
	w := newWorld(plainScenario())
	w.disk.PutFile(handDropIn, "[Service]\nEnvironment=BY=hand\n", rootFile)
	s := &spec{db: 1, dbConf: 1, motd: 1}
	for i, name := range []string{"without it", "with it", "next"} {
		s.motd = 1 + i
		if i > 0 {
			s.app, s.appConf = 1, 1
		}
		if outcome, err := deployTarget(mustHost(t, w), s.target(name, w)); err != nil || outcome.Result != ResultGood {
			t.Fatalf("the commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
		}
		mustDrift(t, mustHost(t, w))
	}
}
