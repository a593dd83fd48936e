package agent

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"evenkeel/agent/plan"
	"evenkeel/units"
)

// programs is a systemd on which some of the system's own programs run.
type programs struct {
	units.Manager
	details map[string]units.Detail
}

func (p programs) Show(_ context.Context, name string) (units.Detail, error) {
	d, known := p.details[name]
	if !known {
		d.Load, d.Active = "not-found", "inactive"
	}
	d.Name = name
	return d, nil
}

const journaldConf = "/etc/systemd/journald.conf.d/size.conf"

// wellKnownHost has a journald that runs and a networkd that does not, and a target
// with a file for each of them.
func wellKnownHost() (*Host, *wanted, *now) {
	running := units.Detail{Invocation: "1"}
	running.Load, running.Active = "loaded", "active"
	resting := running
	resting.Active = "inactive"
	h := &Host{Ledger: &Ledger{}, Manager: programs{details: map[string]units.Detail{
		"systemd-journald.service": running, "systemd-networkd.service": resting, "app.service": running,
	}}}
	file := plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: "two"}
	w := &wanted{target: &plan.Target{Quiet: map[string]bool{}, Services: map[string]plan.Service{"app.service": {}}}}
	w.to.Paths = map[string]plan.Path{journaldConf: file, "/etc/systemd/network/a.network": file}
	w.to.Units = map[string]plan.Unit{"app.service": {Active: true}}
	w.owned = map[string]Owned{journaldConf: {}, "/etc/systemd/network/a.network": {}}
	n := &now{details: map[string]units.Detail{}, state: plan.State{Paths: map[string]plan.Path{}, Units: map[string]plan.Unit{}}}
	return h, w, n
}

func wellKnownSteps(t *testing.T, h *Host, w *wanted, n *now) string {
	t.Helper()
	if err := h.observeUnit(t.Context(), "app.service", plan.Unit{}, n); err != nil {
		t.Fatal(err)
	}
	if err := h.wellKnown(t.Context(), w, n); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, s := range plan.Diff(n.state, w.to, nil).Steps() {
		steps = append(steps, string(s.Verb)+" "+s.Unit)
	}
	return strings.Join(steps, ", ")
}

func TestAProgramOfTheSystemReadsItsFileAgain(t *testing.T) {
	h, w, n := wellKnownHost()
	if got, want := wellKnownSteps(t, h, w, n), "restart systemd-journald.service"; got != want {
		t.Errorf("the steps are %q, want %q", got, want)
	}
	if after := w.to.Units["app.service"].After; !slices.Equal(after, []string{"systemd-journald.service"}) {
		t.Errorf("app.service comes after %q", after)
	}
}

func TestFeedsNoneWantsNothingDone(t *testing.T) {
	h, w, n := wellKnownHost()
	w.target.Quiet[journaldConf] = true
	if got := wellKnownSteps(t, h, w, n); got != "" {
		t.Errorf("the steps are %q", got)
	}
}

func TestWhatARoleSaysOfAWellKnownFileWins(t *testing.T) {
	h, w, n := wellKnownHost()
	inputs := map[string]string{journaldConf: w.to.Paths[journaldConf].Fingerprint()}
	w.target.Services["systemd-journald.service"] = plan.Service{}
	w.to.Units["systemd-journald.service"] = plan.Unit{Active: true, Inputs: inputs, Soft: map[string]bool{journaldConf: true}}
	if got, want := wellKnownSteps(t, h, w, n), "reload systemd-journald.service"; got != want {
		t.Errorf("the steps are %q, want %q", got, want)
	}
}

func TestAProgramThatShallNotRunIsLeftAlone(t *testing.T) {
	h, w, n := wellKnownHost()
	w.to.Units["systemd-journald.service"] = plan.Unit{}
	if got := wellKnownSteps(t, h, w, n); got != "" {
		t.Errorf("the steps are %q", got)
	}
}

func TestAFileThatGoesIsReadNoMore(t *testing.T) {
	h, w, n := wellKnownHost()
	h.Ledger.Owned = shelve(maps.Clone(w.owned))
	h.Ledger.Good = &Good{State: goodState{Units: map[string]plan.Unit{"systemd-journald.service": {Inputs: map[string]string{journaldConf: ""}}}}}
	n.state.Paths = maps.Clone(w.to.Paths)
	n.seen.Paths = n.state.Paths
	w.owned, w.to.Paths = map[string]Owned{}, map[string]plan.Path{}
	if got, want := wellKnownSteps(t, h, w, n), "restart systemd-journald.service"; got != want {
		t.Errorf("the steps are %q, want %q", got, want)
	}
}

// TestProgramOfTheSystemIsNotRestartedForWhatStays: a commit about the motd had journald
// take over what somebody had only written down, and is to be left alone.
func TestProgramOfTheSystemIsNotRestartedForWhatStays(t *testing.T) {
	h, w, n := wellKnownHost()
	h.Ledger.Runs = map[string]Started{"systemd-journald.service": {Invocation: "1", Inputs: map[string]string{journaldConf: "as Git has it"}}}
	w.leaves.Paths = map[string]plan.Path{journaldConf: {Kind: plan.File}}
	if got := wellKnownSteps(t, h, w, n); got != "" {
		t.Errorf("the steps are %q", got)
	}
}

// TestProgramThatAPersonRestartedIsNotRestartedForWhatStays: it has read what is to stay,
// and a commit about the motd restarted it once more.
func TestProgramThatAPersonRestartedIsNotRestartedForWhatStays(t *testing.T) {
	h, w, n := wellKnownHost()
	byHand := w.to.Paths[journaldConf]
	n.state.Paths = map[string]plan.Path{journaldConf: byHand}
	n.seen.Paths = n.state.Paths
	h.Ledger.Runs = map[string]Started{"systemd-journald.service": {Invocation: "0", Inputs: map[string]string{journaldConf: "as Git has it"}}}
	w.leaves.Paths = map[string]plan.Path{journaldConf: {Kind: plan.File}}
	running := h.Manager.(programs).details["systemd-journald.service"]
	running.ActiveAt = time.Unix(1, 0)
	h.Manager.(programs).details["systemd-journald.service"] = running
	if got := wellKnownSteps(t, h, w, n); got != "" {
		t.Errorf("the steps are %q", got)
	}
	if read := w.to.Units["systemd-journald.service"].Inputs[journaldConf]; read != byHand.Fingerprint() {
		t.Errorf("it is said to run with %q", read)
	}
}

// TestProgramThatIsRestartedForAnotherFileReadsWhatStays: the record said that it had read
// what Git has, and so it was not restarted when that was put right.
func TestProgramThatIsRestartedForAnotherFileReadsWhatStays(t *testing.T) {
	h, w, n := wellKnownHost()
	const other = "/etc/systemd/journald.conf.d/other.conf"
	byHand := w.to.Paths[journaldConf]
	w.to.Paths[other], w.owned[other] = plan.Path{Kind: plan.File, Digest: "new"}, Owned{}
	n.state.Paths = map[string]plan.Path{journaldConf: byHand, other: {Kind: plan.File, Digest: "old"}}
	n.seen.Paths = n.state.Paths
	h.Ledger.Runs = map[string]Started{"systemd-journald.service": {Invocation: "1", Inputs: map[string]string{
		journaldConf: "as Git has it", other: n.state.Paths[other].Fingerprint(),
	}}}
	w.leaves.Paths = map[string]plan.Path{journaldConf: {Kind: plan.File}}
	if got, want := wellKnownSteps(t, h, w, n), "restart systemd-journald.service"; got != want {
		t.Errorf("the steps are %q, want %q", got, want)
	}
	if read := w.to.Units["systemd-journald.service"].Inputs[journaldConf]; read != byHand.Fingerprint() {
		t.Errorf("it is said to run with %q", read)
	}
}

// TestProgramThatReadWhatStayedReadsWhatIsRightAfterwards: nginx, started anew while its
// file was frozen, went on with what somebody had written when the file was put right.
func TestProgramThatReadWhatStayedReadsWhatIsRightAfterwards(t *testing.T) {
	asked := plan.Path{Kind: plan.File, Digest: "asked"}
	a := &Attempt{
		After: plan.State{
			Paths: map[string]plan.Path{journaldConf: {Kind: plan.File, Digest: "by hand"}},
			Units: map[string]plan.Unit{
				"nginx.service": {Active: true, Inputs: map[string]string{journaldConf: "by hand", "/etc/other": "x"}},
				"down.service":  {Inputs: map[string]string{"/etc/other": "x"}},
			},
		},
		Leaves: plan.State{Paths: map[string]plan.Path{journaldConf: asked}, Units: map[string]plan.Unit{"down.service": {Active: true}}},
	}
	good := a.asked()
	if in := good.Units["nginx.service"].Inputs; in[journaldConf] != asked.Fingerprint() || in["/etc/other"] != "x" || good.Paths[journaldConf] != asked {
		t.Errorf("the good state is %+v", good)
	}
	if u := good.Units["down.service"]; !u.Active || u.Inputs["/etc/other"] != "x" {
		t.Errorf("what is down is %+v", u)
	}
	if a.After.Units["nginx.service"].Inputs[journaldConf] != "by hand" {
		t.Error("the record of the attempt was written to")
	}
}

// A unit that starts only where there is a file for it, such as systemd-binfmt, does not
// run before the first one comes. A commit that leaves its files alone does not start it.
func TestAProgramThatWaitsForAFileIsStartedWithIt(t *testing.T) {
	h, w, n := wellKnownHost()
	waiting := units.Detail{ConditionAt: time.Unix(1, 0)}
	waiting.Load, waiting.Active = "loaded", "inactive"
	h.Manager.(programs).details["systemd-journald.service"] = waiting
	if got, want := wellKnownSteps(t, h, w, n), "start systemd-journald.service"; got != want {
		t.Errorf("the steps are %q, want %q", got, want)
	}
	if !w.system["systemd-journald.service"] {
		t.Error("its condition is a fault of the commit")
	}

	h, w, n = wellKnownHost()
	h.Manager.(programs).details["systemd-journald.service"] = waiting
	n.state.Paths = maps.Clone(w.to.Paths)
	n.seen.Paths = n.state.Paths
	if got := wellKnownSteps(t, h, w, n); got != "" {
		t.Errorf("with the same file the steps are %q", got)
	}
}
