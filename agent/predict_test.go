package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"evenkeel/agent/plan"
)

// A random commit is deployed in the world of the sweep, and the steps of the
// next one are predicted and then taken. The predicted plan must be the one that
// the daemon made, word for word.
func TestPredictIsWhatTheDaemonDoes(t *testing.T) {
	const pairs = 400
	steps, empty, asked := 0, 0, 0
	for seed := range uint64(pairs) {
		rng := rand.New(rand.NewPCG(seed, 7))
		s := &scenario{seed: seed, version: 252, overtaken: map[string]bool{}, sick: map[string]bool{}}
		s.disk.Space, s.disk.Inodes = -1, -1
		w := newWorld(s)
		first := ownOnly(newSpec(rng, nil))
		next := ownOnly(newSpec(rng, first))
		if seed%10 == 0 {
			next = &spec{} // asks for nothing: a person is asked first
		}
		base, to := first.target("base", w), next.target("next", w)

		fresh := Predict(nil, base)
		h, err := w.host()
		if err != nil {
			t.Fatal(err)
		}
		comparePlans(t, seed, "a fresh host", fresh.Plan, planOf(t, h, base), nil, base)
		if _, err := deployTarget(h, base); err != nil {
			t.Fatal(err)
		}
		if h.Ledger.Good == nil {
			t.Fatalf("seed %d: the base commit is not good", seed)
		}
		predicted := Predict(base, to)
		comparePlans(t, seed, "the next commit", predicted.Plan, planOf(t, h, to), base, to)
		n, err := h.observe(context.Background(), to)
		if err != nil {
			t.Fatal(err)
		}
		if asks := h.Ledger.pruning(h.complete(to, "digest", "key", n)).asks(); asks != predicted.Asks {
			t.Errorf("seed %d: predicted the question %q, the daemon asks %q", seed, predicted.Asks, asks)
		} else if asks != "" {
			asked++
		}
		steps += len(predicted.Steps()) + len(predicted.Paths)
		if predicted.Empty() {
			empty++
		}
	}
	if steps < 4*pairs || empty == 0 || asked == 0 {
		t.Errorf("%d steps in %d pairs, %d of them without any, %d asked about: the test proves too little", steps, pairs, empty, asked)
	}
}

// ownOnly leaves out what a repository cannot know: files and units that the
// host had before.
func ownOnly(s *spec) *spec {
	s.vendor, s.vendorConf, s.motd, s.issue, s.link = 0, 0, 0, 0, 0
	return s
}

// planOf is the plan that the daemon makes on the host as it is.
func planOf(t *testing.T, h *Host, to *plan.Target) plan.Plan {
	ctx := context.Background()
	n, err := h.observe(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	w := h.complete(to, "digest", "key", n)
	p := plan.Diff(n.state, w.to, nil)
	if _, err := h.suspects(ctx, p, w.to, &n); err != nil {
		t.Fatal(err)
	}
	return plan.Diff(n.state, w.to, nil)
}

func comparePlans(t *testing.T, seed uint64, what string, predicted, made plan.Plan, from, to *plan.Target) {
	t.Helper()
	made.Paths = slices.DeleteFunc(made.Paths, func(s plan.PathStep) bool {
		return isDirectory(s) && !names(from, s.Path) && !names(to, s.Path)
	})
	if predicted.String() != made.String() {
		t.Errorf("seed %d, %s: predicted:\n%s\nthe daemon does:\n%s", seed, what, predicted, made)
	}
}

// What a file in a well-known directory does is predicted too, of units that no role
// lists and of those that one does.
func TestPredictKnowsTheUnitsOfWellKnownDirectories(t *testing.T) {
	w := newWorld(plainScenario())
	const sysctl, journald, site = "/etc/sysctl.d/a.conf", "/etc/systemd/journald.conf.d/a.conf", "/etc/nginx/conf.d/a.conf"
	target := func(commit string, versions map[string]int, listed ...string) *plan.Target {
		to := (&spec{db: 1}).target(commit, w)
		for p, version := range versions {
			(&spec{}).file(to, version, p, "", fmt.Sprintf("a = %d\n", version))
		}
		for _, name := range listed {
			(&spec{}).service(to, name)
		}
		return to
	}
	none := target("none", nil)
	some := target("some", map[string]int{sysctl: 1, site: 1})
	listed := target("listed", map[string]int{site: 1}, "nginx.service")
	const systemd = "systemd-journald.service"
	for _, c := range []struct {
		what     string
		from, to *plan.Target
		want     []string
	}{
		{"files come", none, some, []string{"reload nginx.service: " + site + " is new", "restart systemd-sysctl.service: " + sysctl + " is new"}},
		{"a file goes", some, target("other", map[string]int{site: 1}), []string{"restart systemd-sysctl.service: " + sysctl + " is gone"}},
		{"nothing changes", some, target("same", map[string]int{sysctl: 1, site: 1}), nil},
		{"another one changes", some, target("also", map[string]int{sysctl: 1, site: 1, journald: 1}), []string{"restart " + systemd + ": " + journald + " is new"}},
		{"a role lists the unit", none, listed, []string{"start nginx.service: it is not running"}},
		{"and its file changes", listed, target("next", map[string]int{site: 2}, "nginx.service"), []string{"reload nginx.service: " + site + " changed"}},
	} {
		var got []string
		for _, s := range Predict(c.from, c.to).Steps() {
			got = append(got, fmt.Sprintf("%s %s: %s", s.Verb, s.Unit, strings.Join(s.Why, "; ")))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: it predicts %q, want %q", c.what, got, c.want)
		}
	}
}
