package agent

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// kernel is the kernel's values in memory. Locked takes no value.
type kernel struct {
	values map[string]string
	locked string
}

func (k *kernel) Read(keys []string) map[string]string {
	found := map[string]string{}
	for _, key := range keys {
		if value, there := k.values[key]; there {
			found[key] = value
		}
	}
	return found
}

func (k *kernel) Write(_ context.Context, values map[string]string) error {
	for key, value := range values {
		if key == k.locked && k.values[key] != value {
			return errors.New(key + " is locked")
		}
		k.values[key] = value
	}
	return nil
}

// Names lists what is in a directory of them.
func (k *kernel) Names(dir string) []string {
	var names []string
	for key := range k.values {
		if rest, below := strings.CutPrefix(path.Join("/", key), strings.TrimSuffix(path.Join("/", dir), "/")+"/"); below {
			name, _, _ := strings.Cut(rest, "/")
			names = append(names, name)
		}
	}
	return names
}

const forward, martians = "net/ipv4/ip_forward", "net/ipv4/conf/all/log_martians"

// sysctlTarget is a commit with one file of sysctl.d.
func sysctlTarget(w *world, commit, text string) *plan.Target {
	t := (&spec{app: 1, db: 1}).target(commit, w)
	if text != "" {
		(&spec{}).file(t, 1, "/etc/sysctl.d/a.conf", "", text)
	}
	return t
}

// deploySysctl deploys a commit; once it is applied the kernel has other values, as
// systemd-sysctl would have set them.
func deploySysctl(t *testing.T, w *world, k *kernel, target *plan.Target, set map[string]string) (*Host, Outcome) {
	t.Helper()
	h := mustHost(t, w)
	h.Sysctl = k
	h.Phase = func(stage Stage, _ string) {
		if stage == StageWatching {
			maps.Copy(k.values, set)
		}
	}
	outcome, err := deployTarget(h, target)
	if err != nil {
		t.Fatal(err)
	}
	return h, outcome
}

func TestRevertWritesTheKernelsValuesBack(t *testing.T) {
	w := newWorld(plainScenario())
	k := &kernel{values: map[string]string{forward: "0", martians: "1"}}
	w.s.sick["bad"] = true
	deploySysctl(t, w, k, sysctlTarget(w, "good", ""), nil)
	_, outcome := deploySysctl(t, w, k, sysctlTarget(w, "bad", "net.ipv4.ip_forward = 1\n"), map[string]string{forward: "1"})
	if outcome.Result != ResultRejected || k.values[forward] != "0" || k.values[martians] != "1" {
		t.Errorf("it ends as %q: %s; the values are %v", outcome.Result, outcome.Reason, k.values)
	}
}

func TestRevertHoldsWhenTheKernelDoesNotTakeAValueBack(t *testing.T) {
	w := newWorld(plainScenario())
	k := &kernel{values: map[string]string{forward: "0"}, locked: forward}
	w.s.sick["bad"] = true
	deploySysctl(t, w, k, sysctlTarget(w, "good", ""), nil)
	_, outcome := deploySysctl(t, w, k, sysctlTarget(w, "bad", "net.ipv4.ip_forward = 1\n"), map[string]string{forward: "1"})
	if outcome.Result != ResultHeld {
		t.Errorf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
}

func TestValueThatNoFileSetsAnyMoreGoesBack(t *testing.T) {
	w := newWorld(plainScenario())
	k := &kernel{values: map[string]string{forward: "0", martians: "0"}}
	both := "net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.log_martians = 1\n"
	deploySysctl(t, w, k, sysctlTarget(w, "one", both), map[string]string{forward: "1", martians: "1"})
	h, _ := deploySysctl(t, w, k, sysctlTarget(w, "two", "net.ipv4.ip_forward = 2\n"), map[string]string{forward: "2"})
	if k.values[forward] != "2" || k.values[martians] != "0" {
		t.Errorf("with one of them gone the values are %v", k.values)
	}
	if want := map[string]string{forward: "0"}; !maps.Equal(h.Ledger.Sysctl, want) {
		t.Errorf("the ledger has %v, want %v", h.Ledger.Sysctl, want)
	}
	// A commit that has nothing to do with it leaves all of it.
	other := sysctlTarget(w, "three", "net.ipv4.ip_forward = 2\n")
	(&spec{}).file(other, 1, "/etc/motd", "", "hello\n")
	if h, _ = deploySysctl(t, w, k, other, nil); k.values[forward] != "2" || len(h.Ledger.Sysctl) != 1 {
		t.Errorf("the values are %v, the ledger has %v", k.values, h.Ledger.Sysctl)
	}
	if h, _ = deploySysctl(t, w, k, sysctlTarget(w, "four", ""), nil); k.values[forward] != "0" || len(h.Ledger.Sysctl) != 0 {
		t.Errorf("with the file gone the values are %v, the ledger has %v", k.values, h.Ledger.Sysctl)
	}
}

func TestValuesOfAnotherBootAreNotWrittenBack(t *testing.T) {
	k := &kernel{values: map[string]string{forward: "1"}}
	h := &Host{Sysctl: k, Boot: "two"}
	if err := h.restoreSysctl(t.Context(), &Attempt{Boot: "one", Sysctl: map[string]string{forward: "0"}}); err != nil || k.values[forward] != "1" {
		t.Errorf("%v, the values are %v", err, k.values)
	}
}

func TestOvertakingCommitKnowsTheFirstValue(t *testing.T) {
	w := newWorld(plainScenario())
	w.s.overtaken["one"] = true
	k := &kernel{values: map[string]string{forward: "0"}}
	deploySysctl(t, w, k, sysctlTarget(w, "good", ""), nil)
	h, outcome := deploySysctl(t, w, k, sysctlTarget(w, "one", "net.ipv4.ip_forward = 1\n"), map[string]string{forward: "1"})
	if outcome.Result != ResultWatching {
		t.Fatalf("the first ends as %q", outcome.Result)
	}
	h.Phase = nil
	if _, err := deployTarget(h, sysctlTarget(w, "two", "net.ipv4.conf.all.log_martians = 1\n")); err != nil {
		t.Fatal(err)
	}
	if k.values[forward] != "0" {
		t.Errorf("the values are %v", k.values)
	}
}

// TestValueOfAFileThatStaysDeletedStaysAsItIs: a commit, or a correction, about another
// file of sysctl.d wrote the value back that a file set which somebody had deleted, and
// which is only reported; and what it was before evenkeel was forgotten.
func TestValueOfAFileThatStaysDeletedStaysAsItIs(t *testing.T) {
	w := newWorld(plainScenario())
	k := &kernel{values: map[string]string{forward: "0", martians: "0"}}
	with := func(commit, text string) *plan.Target {
		target := sysctlTarget(w, commit, text)
		(&spec{}).file(target, 1, "/etc/sysctl.d/b.conf", "", "net.ipv4.conf.all.log_martians = 1\n")
		target.Drift = map[string]plan.OnDrift{"/etc/sysctl.d/b.conf": plan.Report}
		return target
	}
	one := with("one", "net.ipv4.ip_forward = 1\n")
	deploySysctl(t, w, k, one, map[string]string{forward: "1", martians: "1"})
	w.disk.Delete("/etc/sysctl.d/b.conf")

	w.disk.Overwrite("/etc/sysctl.d/a.conf", "net.ipv4.ip_forward = 0\n")
	h := mustHost(t, w)
	h.Sysctl = k
	if _, outcome := putRight(t, h, one); outcome.Result != ResultCorrected || k.values[martians] != "1" {
		t.Errorf("a correction ends as %q: %s; the values are %v", outcome.Result, outcome.Reason, k.values)
	}
	k.values[martians] = "1"

	h, outcome := deploySysctl(t, w, k, with("two", "net.ipv4.ip_forward = 2\n"), map[string]string{forward: "2"})
	if outcome.Result != ResultGood || k.values[martians] != "1" {
		t.Errorf("a commit ends as %q: %s; the values are %v", outcome.Result, outcome.Reason, k.values)
	}
	if want := map[string]string{forward: "0", martians: "0"}; !maps.Equal(h.Ledger.Sysctl, want) {
		t.Errorf("the ledger has %v, want %v", h.Ledger.Sysctl, want)
	}
}

// TestValueThatAPersonAddedToAFileIsNotEvenkeels: it stays in the file, and what it is
// then counted as what it was before evenkeel.
func TestValueThatAPersonAddedToAFileIsNotEvenkeels(t *testing.T) {
	w := newWorld(plainScenario())
	k := &kernel{values: map[string]string{forward: "0", martians: "0"}}
	with := func(commit, text string) *plan.Target {
		target := sysctlTarget(w, commit, text)
		(&spec{}).file(target, 1, "/etc/sysctl.d/b.conf", "", "net.ipv4.ip_forward = 1\n")
		target.Drift = map[string]plan.OnDrift{"/etc/sysctl.d/b.conf": plan.Report}
		return target
	}
	deploySysctl(t, w, k, with("one", "# one\n"), map[string]string{forward: "1"})
	w.disk.Overwrite("/etc/sysctl.d/b.conf", "net.ipv4.conf.all.log_martians = 1\n")
	k.values[martians] = "1"
	h, outcome := deploySysctl(t, w, k, with("two", "# two\n"), nil)
	if want := map[string]string{forward: "0"}; outcome.Result != ResultGood || k.values[forward] != "1" || !maps.Equal(h.Ledger.Sysctl, want) {
		t.Errorf("it ends as %q: %s; the values are %v, the ledger has %v", outcome.Result, outcome.Reason, k.values, h.Ledger.Sysctl)
	}
}

// TestTypoInTheNameOfAKernelValueIsToldOf: systemd-sysctl passes over it, and the commit was
// good without a word.
func TestTypoInTheNameOfAKernelValueIsToldOf(t *testing.T) {
	k := &kernel{values: map[string]string{forward: "0", martians: "0"}}
	target := sysctlTarget(newWorld(plainScenario()), "one", "net.ipv4.ip_fowrard = 1\nnet/ipv4/ip_forward=1\n-net.ipv4.ip_frward = 1\n"+
		"net.ipv5.ip_forward = 1\nnet.ipv4.conf.eth7.log_martians = 1\nnet.ipv4.conf.*.log_martians = 1\nfs.nr_open = 5\n# a comment\nnet.ipv4.conf.all.log_martians = 1\n")
	target.Origin["/etc/sysctl.d/a.conf"] = plan.Place{File: "a.conf", Line: 1}
	const says = ": the kernel of this host has no such value now, so the line sets nothing "
	want := []string{
		"a.conf:1: net.ipv4.ip_fowrard" + says + `(did you mean "ip_forward"?)`,
		"a.conf:4: net.ipv5.ip_forward" + says + `(did you mean "ipv4"?)`,
		"a.conf:5: net.ipv4.conf.eth7.log_martians" + says + "(there is no interface eth7; systemd-udevd sets it when that comes)",
		"a.conf:7: fs.nr_open" + says + `(it may come with a module; a "-" before the name says that it may be missing)`,
	}
	if got := missingSysctls(k, manifest.SysctlNames(target)); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	target.Secret = map[string]bool{"/etc/sysctl.d/a.conf": true}
	if got := manifest.SysctlNames(target); len(got) > 0 {
		t.Errorf("of a secret file %v are told", got)
	}
}
