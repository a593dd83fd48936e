package agent

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// newScenario makes up a story: what the host is like, which commits come, and
// how they fare.
func newScenario(seed uint64) *scenario {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &scenario{seed: seed, version: 252, overtaken: map[string]bool{}, sick: map[string]bool{}}
	s.disk.Space, s.disk.Inodes = -1, -1
	s.disk.NoExchange = rng.IntN(4) == 0
	if rng.IntN(2) == 0 {
		s.version = 257
	}
	s.vendorUnit = "[Service]\nType=notify\nEnvironmentFile=-/etc/vendor.d/a.conf\nExecStart=/usr/bin/vendor\n"
	if rng.IntN(2) == 0 {
		s.vendorUnit += "Restart=always\n"
	}
	s.sideUnit = []string{"Requires", "BindsTo"}[rng.IntN(2)]
	s.settle = []int{2, 2, 9}[rng.IntN(3)]
	s.noEarly = rng.IntN(8) == 0
	vendor := newWorld(s)
	var last *spec
	if rng.IntN(3) > 0 {
		last = newSpec(rng, nil)
		s.base = last.target("base", vendor)
	}
	n := []int{1, 1, 1, 2, 2, 2, 2, 3}[rng.IntN(8)]
	thin := rng.IntN(2) == 0 // little in each commit: more stories for the same number of crashes
	for i := range n {
		next := newSpec(rng, last)
		if thin {
			next.thin(rng)
		}
		commit := fmt.Sprint("commit", i)
		switch rng.IntN(5) {
		case 0:
			s.sick[commit] = true
		case 1, 2:
			next.breakOne(rng)
		}
		if i < n-1 {
			s.overtaken[commit] = true
		}
		s.commits = append(s.commits, next.target(commit, vendor))
		if rng.IntN(2) == 0 {
			last = next
		}
	}
	return s
}

// spec is a commit's wish in the terms of a scenario. Numbers are versions, 0 is
// "not there".
type spec struct {
	db, app, proxy, job, vendor  int // unit files; vendor is a drop-in
	dbConf, appConf, vendorConf  int
	motd, issue, deep, link, dir int
	mark                         map[string]string // unit or config path -> behave mark
}

func newSpec(rng *rand.Rand, last *spec) *spec {
	s := &spec{mark: map[string]string{}}
	if last != nil {
		*s = *last
		s.mark = map[string]string{}
	}
	for _, f := range s.fields() {
		if last == nil || rng.IntN(3) == 0 {
			*f = rng.IntN(4)
		}
	}
	s.complete()
	return s
}

func (s *spec) fields() []*int {
	return []*int{&s.db, &s.app, &s.proxy, &s.job, &s.vendor, &s.dbConf, &s.appConf, &s.vendorConf, &s.motd, &s.issue, &s.deep, &s.link, &s.dir}
}

// complete leaves out what would need something that is not there.
func (s *spec) complete() {
	if s.db == 0 {
		s.app = 0
	}
	if s.app == 0 {
		s.proxy = 0
	}
}

func (s *spec) thin(rng *rand.Rand) {
	for _, f := range s.fields() {
		if rng.IntN(2) == 0 {
			*f = 0
		}
	}
	s.complete()
}

func (s *spec) breakOne(rng *rand.Rand) {
	marks := []string{"fail", "loop", "crash 1", "crash 5", "crash-once 3", "hang", "fail-without:/etc/nowhere"}
	places := []string{"db.service", "app.service", "proxy.service", "vendor.service", "/etc/db.conf", "/etc/app/app.conf", "/etc/vendor.d/a.conf"}
	s.mark[places[rng.IntN(len(places))]] = marks[rng.IntN(len(marks))]
}

// target renders a spec as the manifest would.
func (s *spec) target(commit string, vendor *world) *plan.Target {
	t := &plan.Target{
		Commit: commit, Host: "host", State: plan.State{Paths: map[string]plan.Path{}, Units: map[string]plan.Unit{}},
		Content: map[string][]byte{}, Origin: map[string]plan.Place{}, Services: map[string]plan.Service{}, Reads: map[string][]plan.Read{},
	}
	unit := func(version int, name, text string) {
		if version > 0 {
			s.file(t, version, "/etc/systemd/system/"+name, name, text+fmt.Sprintf("# %d\n", version))
			s.service(t, name)
		}
	}
	dbType := "" // simple; every other version tells when it is ready
	if s.db == 2 {
		dbType = "Type=notify\n"
	}
	const install = "[Install]\nWantedBy=multi-user.target\n"
	unit(s.db, "db.service", "[Service]\n"+dbType+"EnvironmentFile=-/etc/db.conf\nExecStart=/usr/bin/db\nRestart=always\n"+install)
	unit(s.app, "app.service", "[Unit]\nRequires=db.service\nAfter=db.service\n[Service]\nEnvironmentFile=-/etc/app/app.conf\nExecStart=/usr/bin/app\nRestart=on-failure\n"+install)
	unit(s.proxy, "proxy.service", "[Unit]\nBindsTo=app.service\nAfter=app.service\n[Service]\nExecStart=/usr/bin/proxy --config=/etc/app/deep/er/x\n"+install)
	remains := "RemainAfterExit=yes\n"
	if s.job == 2 {
		remains = "" // it has only run
	}
	unit(s.job, "job.service", "[Service]\nType=oneshot\n"+remains+"ExecStart=/usr/bin/job /etc/motd\n"+install)
	if s.vendor > 0 || s.vendorConf > 0 {
		s.service(t, "vendor.service")
	}
	if s.vendor > 0 {
		s.file(t, s.vendor, "/etc/systemd/system/vendor.service.d/x.conf", "vendor.service", fmt.Sprintf("[Service]\nNice=%d\n", s.vendor))
	}
	s.file(t, s.dbConf, "/etc/db.conf", "/etc/db.conf", fmt.Sprintf("db %d\n", s.dbConf))
	s.file(t, s.appConf, "/etc/app/app.conf", "/etc/app/app.conf", fmt.Sprintf("app %d\n", s.appConf))
	s.file(t, s.vendorConf, "/etc/vendor.d/a.conf", "/etc/vendor.d/a.conf", fmt.Sprintf("vendor %d\n", s.vendorConf))
	s.file(t, s.motd, "/etc/motd", "", fmt.Sprintf("motd %d\n", s.motd))
	s.file(t, s.issue, "/etc/issue", "", fmt.Sprintf("issue %d\n", s.issue/2))
	s.file(t, s.deep, "/etc/app/deep/er/x", "", fmt.Sprintf("deep %d\n", s.deep))
	if s.link > 0 {
		t.State.Paths["/etc/current"] = plan.Path{Kind: plan.Link, Link: fmt.Sprint("release", s.link)}
	}
	if s.dir > 0 {
		t.State.Paths["/etc/spool"] = plan.Path{Kind: plan.Directory, Mode: 0o750 + uint32(s.dir), Owner: "app", Group: "app"}
	}
	if err := manifest.Wire(t, vendorDefinitions(vendor)); err != nil {
		panic(err)
	}
	return t
}

func (*spec) service(t *plan.Target, name string) {
	t.State.Units[name] = plan.Unit{Active: true}
	t.Services[name] = plan.Service{Enabled: true}
}

func (s *spec) file(t *plan.Target, version int, path, marked, text string) {
	if version == 0 {
		return
	}
	if mark, broken := s.mark[marked]; broken && marked != "" {
		text += "# behave: " + mark + "\n"
	}
	p := plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: plan.DigestKey(nil).Digest([]byte(text))}
	if version == 3 && !strings.HasPrefix(path, "/etc/systemd") {
		p.Mode, p.Owner, p.Group = 0o640, "app", "app"
	}
	t.State.Paths[path] = p
	t.Content[p.Digest] = []byte(text)
}
