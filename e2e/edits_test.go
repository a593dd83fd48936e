//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// How many random edits there are, and which; "make edits" does all 500.
var (
	editCount = flag.Int("edits.count", len(kindsOfEdits), "random edits by hand on each release; by default one of each kind")
	// Below a second on a machine that does nothing else, which "make test" is not.
	editMedian = flag.Duration("edits.median", 5*time.Second, "most that the median from an edit to its correction may be")
	editSeed   = flag.Uint64("edits.seed", 1, "seed of the random edits; 0 takes another one each time")
)

// editing is a host that somebody edits by hand at random, with what is known of it.
type editing struct {
	*site
	rng    *rand.Rand
	reader *reader

	good    map[string]thing // what the commit left at each path
	pools   map[string][]string
	used    map[string]int  // corrections of each path and unit since the last retry
	busy    map[string]bool // the same, with an edit that is not over
	counted int64           // what evenkeel_corrections_total must say
	quiet   []edit          // edits that nobody minds, to be looked at after the next look

	done   map[string]int // edits by what became of them
	back   []time.Duration
	listed []time.Duration
	faults []string // for the end
}

// edit is one thing that somebody does by hand.
type edit struct {
	name    string
	do      func()
	isBack  func() bool // of what is corrected
	count   int64       // how many paths and units are corrected
	listed  []string    // what is told of instead, and stays
	undo    func()      // takes back what stays
	inFine  int64       // how many corrections follow from that
	isStill func() bool // of what stays: whether it is as the edit left it
}

// Edits of all kinds, at random: each is put back, told of or left alone as the role says,
// none is missed, none is corrected twice, and nobody who reads the files ever sees half of
// one.
func TestRandomEdits(t *testing.T) {
	seed := *editSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	fmt.Fprintf(os.Stderr, "random edits: -edits.count=%d -edits.seed=%d\n", *editCount, seed)
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		e := newEditing(t, h, seed)
		var stop func()
		e.reader, stop = newReader(h, e.files())
		defer stop()
		found := e.labels()
		for _, batch := range e.draw(*editCount) {
			if e.run(batch); len(e.quiet) == 0 {
				e.reader.settled(found)
			}
		}
		e.finish()
		stop()
		e.tell()
	})
}

func newEditing(t *testing.T, h *lab.Host, seed uint64) *editing {
	t.Helper()
	e := &editing{
		site: newEditedSite(t, h), rng: rand.New(rand.NewPCG(seed, 0)),
		good: map[string]thing{}, pools: map[string][]string{}, used: map[string]int{}, busy: map[string]bool{}, done: map[string]int{},
	}
	e.settled()
	e.waitNoDrift()
	pool := func(name string, n int, item func(i int) string) {
		for i := range n {
			e.pools[name] = append(e.pools[name], item(i))
		}
	}
	pool("nest", editedNests, editedNest)
	pool("link", editedLinks, editedLink)
	pool("dir", editedDirs, editedDir)
	pool("vendor", fewEdited, packagedUnit)
	for _, role := range []string{kept, told, loose} {
		files, units := fewEdited, fewEdited
		if role == kept {
			files, units = editedFiles, editedServices
		}
		pool(role+" file", files, func(i int) string { return editedFile(role, i) })
		pool(role+" unit", units, func(i int) string { return editedUnit(role, i) })
	}
	for _, p := range e.managed() {
		e.good[p] = e.look(p)
	}
	return e
}

// managed are all paths that the commit brought; files are those that are read.
func (e *editing) managed() []string {
	list := slices.Concat(e.pools["link"], e.pools["dir"], e.pools["nest"], e.files())
	for _, role := range []string{kept, told, loose} {
		for _, unit := range e.pools[role+" unit"] {
			list = append(list, enablement(unit))
		}
	}
	return list
}

func (e *editing) files() (list []string) {
	for _, nest := range e.pools["nest"] {
		list = append(list, inNest(nest)...)
	}
	for _, role := range []string{kept, told, loose} {
		list = append(list, e.pools[role+" file"]...)
		for _, unit := range e.pools[role+" unit"] {
			list = append(list, unitFile(unit), editedEnv(unit))
		}
	}
	return list
}

// labels are what the reader finds while all is well.
func (e *editing) labels() map[string]string {
	labels := map[string]string{}
	for _, p := range e.files() {
		labels[p] = e.reader.find(p)
	}
	return labels
}

// thing is what stands at a path.
type thing struct {
	mode     fs.FileMode
	uid, gid uint32
	text     string // of a file, or what a link says
}

func (e *editing) look(p string) thing {
	at := e.host.Outside(p)
	info, err := os.Lstat(at)
	if err != nil {
		return thing{}
	}
	owner := info.Sys().(*syscall.Stat_t)
	found := thing{mode: info.Mode(), uid: owner.Uid, gid: owner.Gid}
	switch {
	case info.Mode().IsRegular():
		text, _ := os.ReadFile(at)
		found.text = string(text)
	case info.Mode()&fs.ModeSymlink != 0:
		found.text, _ = os.Readlink(at)
	}
	return found
}

func (e *editing) isGood(paths ...string) bool {
	for _, p := range paths {
		if e.look(p) != e.good[p] {
			return false
		}
	}
	return true
}

// pick takes one of a pool that was corrected least often, so that nothing is given up, and
// whose last edit is over: what somebody deleted has no mode.
func (e *editing) pick(pool string) string {
	list := slices.DeleteFunc(slices.Clone(e.pools[pool]), func(place string) bool { return e.busy[place] })
	if len(list) == 0 {
		e.t.Fatalf("all of %q are edited at once", pool)
	}
	e.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	least := slices.MinFunc(list, func(a, b string) int { return e.used[a] - e.used[b] })
	if e.used[least] >= 4 {
		e.host.Must("evenkeel", "retry")
		clear(e.used)
	}
	e.used[least]++
	e.busy[least] = true
	return least
}

// draw makes a random order of so many edits, each kind as often as the others. Now and then
// a few come at once.
func (e *editing) draw(n int) [][]func() edit {
	var deck []func() edit
	for i := range n {
		kind := kindsOfEdits[i%len(kindsOfEdits)]
		deck = append(deck, func() edit {
			x := kind.make(e)
			x.name = kind.name + ": " + x.name
			return x
		})
	}
	e.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	var batches [][]func() edit
	for len(deck) > 0 {
		size := 1
		if e.rng.IntN(6) == 0 {
			size = min(3, len(deck))
		}
		batches, deck = append(batches, deck[:size]), deck[size:]
	}
	return batches
}

// run does some edits at once, and waits until each of them is dealt with.
func (e *editing) run(batch []func() edit) {
	e.t.Helper()
	if len(e.quiet) >= fewEdited/2 { // so that places are left in each pool
		e.undo(nil)
	}
	var edits []edit
	var names []string
	for _, draw := range batch {
		edits = append(edits, draw())
	}
	// What nobody minds comes first, so that a look for the others sees it too.
	slices.SortStableFunc(edits, func(a, b edit) int { return len(b.becomes()) - len(a.becomes()) })
	began := make([]time.Time, len(edits))
	for i, x := range edits {
		names = append(names, x.name)
		began[i] = time.Now()
		x.do()
		e.done[x.becomes()]++
		e.counted += x.count
		if x.becomes() == leftAlone {
			e.quiet = append(e.quiet, x)
		}
	}
	if e.wait(names, edits, began) {
		e.rest(names, edits)
		e.undo(edits)
	}
}

// What becomes of an edit.
const (
	corrected = "corrected"
	toldOf    = "told of"
	leftAlone = "left alone"
)

func (x edit) becomes() string {
	switch {
	case x.count > 0:
		return corrected
	case x.listed != nil:
		return toldOf
	}
	return leftAlone
}

// wait waits until all edits are dealt with, and remembers how long each took. There may be
// nothing to wait for.
func (e *editing) wait(names []string, edits []edit, began []time.Time) (waited bool) {
	e.t.Helper()
	open := map[int]bool{}
	for i, x := range edits {
		if x.becomes() != leftAlone {
			open[i] = true
		}
	}
	waited = len(open) > 0
	if !pollOften(soon, func() bool {
		for i := range open {
			x, took := edits[i], &e.listed
			switch {
			case x.count > 0 && !x.isBack(), x.count == 0 && !e.lists(x.listed):
				continue
			case x.count > 0:
				took = &e.back
			}
			*took = append(*took, time.Since(began[i]))
			delete(open, i)
		}
		return len(open) == 0
	}) {
		e.t.Fatalf("on %s: %v after %q: %d of them are not dealt with; the status is %+v", e.host.Release, soon, names, len(open), e.site.status())
	}
	return waited
}

// pollOften is lab.Poll for what is measured in milliseconds.
func pollOften(bound time.Duration, yes func() bool) bool {
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for over := time.Now().Add(bound); time.Now().Before(over); <-tick.C {
		if yes() {
			return true
		}
	}
	return yes()
}

// lists reports whether the daemon tells of all the names.
func (e *editing) lists(names []string) bool {
	text, err := e.host.ReadLive(statusFile)
	if err != nil {
		return false
	}
	var drifted []string
	for _, x := range readStatus(text).Drift {
		drifted = append(drifted, x.Name)
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(drifted, name) })
}

// rest waits until the daemon has nothing more to do, and tells of nothing but what stays.
// By then it has counted each correction, and once.
func (e *editing) rest(names []string, edits []edit) {
	e.t.Helper()
	var want []string
	for _, x := range edits {
		want = append(want, x.listed...)
	}
	slices.Sort(want)
	want = slices.Compact(want) // a place may have been edited twice
	var st status
	counted := int64(-1)
	if !lab.Poll(soon, func() bool {
		text, err := e.host.ReadLive(statusFile)
		if err != nil {
			return false
		}
		st = readStatus(text)
		if st.Attempt != nil || st.Stage != "idle" || !slices.Equal(st.drifted(), want) {
			return false
		}
		counted = e.corrections()
		return counted >= e.counted
	}) {
		e.t.Fatalf("on %s: no rest after %q: told of are %q, want %q; %d corrections are counted, want %d; the status is %+v", e.host.Release, names, st.drifted(), want, counted, e.counted, st)
	}
	if counted > e.counted {
		e.faults = append(e.faults, fmt.Sprintf("%q: %d corrections too many", names, counted-e.counted))
		e.counted = counted
	}
	for _, x := range e.andQuiet(edits) {
		if x.isStill != nil && !x.isStill() {
			e.faults = append(e.faults, x.name+": it did not stay")
		}
	}
}

// andQuiet are some edits, and those that nobody minded since the last look.
func (e *editing) andQuiet(edits []edit) []edit {
	others := slices.DeleteFunc(slices.Clone(edits), func(x edit) bool { return x.becomes() == leftAlone })
	return append(others, e.quiet...)
}

func (st status) drifted() (names []string) {
	for _, x := range st.Drift {
		names = append(names, x.Name)
	}
	slices.Sort(names)
	return names
}

// undo takes back what stays, and what nobody minded. What follows from that is a
// correction where something was in the way.
func (e *editing) undo(edits []edit) {
	e.t.Helper()
	again := false
	var names []string
	for _, x := range e.andQuiet(edits) {
		if x.undo == nil {
			continue
		}
		x.undo()
		names = append(names, "the end of "+x.name)
		again = again || x.listed != nil
		e.counted += x.inFine
	}
	e.quiet = nil
	clear(e.busy)
	if again {
		e.rest(names, nil)
	}
}

// finish makes a last edit, after which nothing of any other may be left.
func (e *editing) finish() {
	e.t.Helper()
	e.run([]func() edit{func() edit { return onFile(e, kept, fileChanges[0]) }})
	e.reader.settled(e.labels())
	e.waitPolls(3)
	e.rest([]string{"all"}, nil)
	if out, err := e.host.Run("evenkeel", "drift"); err != nil {
		e.t.Errorf("evenkeel drift says: %v: %s", err, out)
	}
	for p, want := range e.good {
		if got := e.look(p); got != want {
			e.t.Errorf("in the end %s is %v %d:%d %.40q, want %v %d:%d %.40q", p, got.mode, got.uid, got.gid, got.text, want.mode, want.uid, want.gid, want.text)
		}
	}
	for pool, items := range e.pools {
		for _, unit := range items {
			if (strings.HasSuffix(pool, "unit") || pool == "vendor") && e.host.Active(unit) != "active" {
				e.t.Errorf("in the end %s is %s", unit, e.host.Active(unit))
			}
		}
	}
}

// tell says how it went.
func (e *editing) tell() {
	reads, wrong := e.reader.result()
	measured("%s: %d edits corrected (%s), %d told of (%s), %d left alone; %d reads of managed files saw %d that were half",
		e.host.Release, e.done[corrected], spread(e.back), e.done[toldOf], spread(e.listed), e.done[leftAlone], reads, len(wrong))
	for _, fault := range append(e.faults, wrong...) {
		e.t.Error(fault)
	}
	if median := percentile(e.back, 50); median > *editMedian {
		e.t.Errorf("the median from edit to correction is %v, more than %v", median, *editMedian)
	}
}

func spread(took []time.Duration) string {
	return fmt.Sprintf("median %v, p95 %v, longest %v", percentile(took, 50), percentile(took, 95), percentile(took, 100))
}

func percentile(took []time.Duration, p int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	took = slices.Sorted(slices.Values(took))
	return took[(len(took)-1)*p/100].Round(time.Millisecond)
}

// must is for what a test does to a host from outside.
func (e *editing) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("cannot edit by hand: %v", err)
	}
}

// restore puts back what the commit left at a path, in one step.
func (e *editing) restore(p string) {
	e.t.Helper()
	good := e.good[p]
	beside := e.host.Outside(path.Join(path.Dir(p), ".by-hand"))
	_ = os.Remove(beside)
	if good.mode&fs.ModeSymlink != 0 {
		e.must(os.Symlink(good.text, beside))
	} else {
		e.must(os.WriteFile(beside, []byte(good.text), 0o600))
		e.must(os.Chmod(beside, good.mode.Perm()))
	}
	e.must(os.Lchown(beside, int(good.uid), int(good.gid)))
	e.must(os.Rename(beside, e.host.Outside(p)))
}
