package agent

import (
	"context"
	"math/rand/v2"
	"slices"
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
