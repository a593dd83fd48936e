package plan

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what Diff gives now as the wanted plans")

// Each case is a file: the two states, the suspect where there is one, and the
// plan between them. The comment in front says what is shown.
//
// A line of a state is a path or a unit:
//
//	file /etc/a v1 [mode=0640] [owner=app]
//	dir /etc/d
//	link /etc/l -> target
//	unit a.service up|down|moving [ran] [run=1] [reads=/etc/a:v1,...] [soft=/etc/a] [after=b.service] [binds=b.service] [triggers=c.service]
//
// "reads=/etc/a:?" is a version that nobody knows. A line of the suspect is a
// unit, and "reloaded" when the attempt may have reloaded it.
func TestDiff(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string]string{}
			for _, f := range archive.Files {
				parts[f.Name] = string(f.Data)
			}
			from, to := parseState(t, parts["from"]), parseState(t, parts["to"])
			var suspect Suspect
			if text, ok := parts["suspect"]; ok {
				suspect = Suspect{}
				for line := range strings.Lines(text) {
					unit, reloaded, _ := strings.Cut(strings.TrimSpace(line), " ")
					suspect[unit] = reloaded == "reloaded"
				}
			}
			got := show(Diff(from, to, suspect))
			if *update {
				last := &archive.Files[len(archive.Files)-1]
				if last.Name != "plan" {
					t.Fatal("the plan must come last")
				}
				last.Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != parts["plan"] {
				t.Errorf("%s\ngot\n%s\nwant\n%s", bytes.TrimSpace(archive.Comment), got, parts["plan"])
			}
		})
	}
}

// show is the plan with its waves apart.
func show(p Plan) string {
	text := Plan{Stop: p.Stop, Paths: p.Paths, Reload: p.Reload}.String()
	for i, wave := range p.Waves {
		for _, s := range wave {
			text += fmt.Sprintf("%d. %s %s: %s\n", i+1, s.Verb, s.Unit, strings.Join(s.Why, "; "))
		}
	}
	if p.Empty() {
		text += "nothing\n"
	}
	return text
}

func parseState(t *testing.T, text string) State {
	t.Helper()
	s := State{Paths: map[string]Path{}, Units: map[string]Unit{}}
	versions := map[string]string{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		name, attrs := words[1], words[2:]
		switch words[0] {
		case "file":
			versions[name] = words[2]
			s.Paths[name] = withAttributes(Path{Kind: File, Mode: 0o644, Owner: "root", Group: "root", Digest: words[2]}, attrs[1:])
		case "dir":
			s.Paths[name] = withAttributes(Path{Kind: Directory, Mode: 0o755, Owner: "root", Group: "root"}, attrs)
		case "link":
			s.Paths[name] = Path{Kind: Link, Link: words[3]}
		case "unit":
			s.Units[name] = parseUnit(t, attrs)
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	return s
}

func withAttributes(p Path, attrs []string) Path {
	for _, attr := range attrs {
		switch key, value, _ := strings.Cut(attr, "="); key {
		case "mode":
			fmt.Sscanf(value, "%o", &p.Mode)
		case "owner":
			p.Owner = value
		}
	}
	return p
}

func parseUnit(t *testing.T, attrs []string) Unit {
	t.Helper()
	u := Unit{Active: attrs[0] == "up", Moving: attrs[0] == "moving"}
	for _, attr := range attrs[1:] {
		key, value, _ := strings.Cut(attr, "=")
		list := strings.Split(value, ",")
		switch key {
		case "ran":
			u.Ran = true
		case "run":
			u.Invocation = value
		case "reads":
			u.Inputs = map[string]string{}
			for _, input := range list {
				path, version, _ := strings.Cut(input, ":")
				u.Inputs[path] = Path{Kind: File, Mode: 0o644, Owner: "root", Group: "root", Digest: version}.Fingerprint()
				if version == "?" {
					u.Inputs[path] = ""
				}
			}
		case "soft":
			u.Soft = map[string]bool{}
			for _, path := range list {
				u.Soft[path] = true
			}
		case "after":
			u.After = list
		case "binds":
			u.Binds = list
		case "triggers":
			u.Triggers = list
		default:
			t.Fatalf("what is %q?", attr)
		}
	}
	return u
}

// A state needs nothing to become itself, and what a plan does leads to where it
// should: every path that differs has its step, each once, parents before what
// stands in them and removals the other way round.
func TestDiffOfRandomStates(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	for round := range 2000 {
		from, to := randomState(rng), randomState(rng)
		if p := Diff(to, to, nil); !p.Empty() {
			t.Fatalf("seed %d, round %d: a state is not its own goal:\n%s", seed, round, p)
		}
		p := Diff(from, to, nil)
		at := maps.Clone(from.Paths)
		for _, step := range p.Paths {
			if at[step.Path] != step.From {
				t.Fatalf("seed %d, round %d: %s starts from something else", seed, round, step)
			}
			parent := at[filepath.Dir(step.Path)]
			if step.To.Kind != Absent && parent.Kind != Directory {
				t.Fatalf("seed %d, round %d: %s has no directory to stand in", seed, round, step)
			}
			if at[step.Path] = step.To; step.To.Kind == Absent {
				delete(at, step.Path)
			}
			if step.From.Kind == Directory && step.To.Kind == Absent && slices.ContainsFunc(slices.Collect(maps.Keys(at)), func(p string) bool {
				return strings.HasPrefix(p, step.Path+"/")
			}) {
				t.Fatalf("seed %d, round %d: %s while something stands in it", seed, round, step)
			}
		}
		if !maps.Equal(at, to.Paths) {
			t.Fatalf("seed %d, round %d: the steps lead to\n%v\nand not to\n%v", seed, round, at, to.Paths)
		}
		checkUnits(t, round, from, to, p)
	}
}

// checkUnits: each unit has at most one stop and one step, each with a reason,
// and none comes in a wave before what it is to come after.
func checkUnits(t *testing.T, round int, from, to State, p Plan) {
	t.Helper()
	wave := map[string]int{}
	for i, steps := range p.Waves {
		for _, s := range steps {
			if _, twice := wave[s.Unit]; twice || len(s.Why) == 0 {
				t.Fatalf("round %d: %s twice, or without a reason:\n%s", round, s.Unit, p)
			}
			wave[s.Unit] = i
		}
	}
	for name, i := range wave {
		for _, first := range to.Units[name].After {
			if j, both := wave[first]; both && j >= i {
				t.Fatalf("round %d: %s is not after %s:\n%s", round, name, first, p)
			}
		}
	}
	for name, want := range to.Units {
		_, steps := wave[name]
		if want.Active && !from.Units[name].Active && !steps {
			t.Fatalf("round %d: nothing starts %s:\n%s", round, name, p)
		}
	}
}

func randomState(rng *rand.Rand) State {
	s := State{Paths: map[string]Path{"/e": {Kind: Directory, Mode: 0o755}}, Units: map[string]Unit{}}
	for _, dir := range []string{"/e", "/e/a", "/e/a/b"} {
		if s.Paths[dir].Kind != Directory {
			continue
		}
		for _, name := range []string{"a", "b", "c"} {
			p := dir + "/" + name
			switch rng.IntN(4) {
			case 0:
				s.Paths[p] = Path{Kind: Directory, Mode: 0o755}
			case 1:
				s.Paths[p] = Path{Kind: File, Mode: 0o644, Digest: fmt.Sprint(rng.IntN(3))}
			case 2:
				s.Paths[p] = Path{Kind: Link, Link: fmt.Sprint(rng.IntN(2))}
			}
		}
	}
	names := []string{"a.service", "b.service", "c.service", "d.service"}
	for i, name := range names {
		if rng.IntN(4) == 0 {
			continue
		}
		u := Unit{Active: rng.IntN(3) > 0, Inputs: map[string]string{}}
		for p, at := range s.Paths {
			if rng.IntN(3) == 0 {
				u.Inputs[p] = at.Fingerprint()
			}
		}
		for _, first := range names[:i] {
			if rng.IntN(3) == 0 {
				u.After = append(u.After, first)
				if rng.IntN(2) == 0 {
					u.Binds = append(u.Binds, first)
				}
			}
		}
		s.Units[name] = u
	}
	return s
}
