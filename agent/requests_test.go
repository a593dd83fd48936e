package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"evenkeel/agent/source"
)

// A pass looks at the state directory once, and at what people ask for only when a name
// came or went in it. Whatever they ask for is heard by the next pass all the same.
func TestRequestsAreHeardByTheNextPass(t *testing.T) {
	d := anchoredDaemon(t, t.TempDir())
	d.lookout = newLookout(time.Minute, nil)
	long := time.Now().Add(-time.Hour)
	hear := func(want bool, about string) {
		t.Helper()
		// As long ago as before, so that only the directory's ctime tells.
		if err := os.Chtimes(d.cfg.StateDir, long, long); err != nil {
			t.Fatal(err)
		}
		for pass := range 3 {
			if err := d.hear(); err != nil {
				t.Fatal(err)
			}
			if heard := d.paused != nil; heard != want {
				t.Errorf("%s: by pass %d, paused is %t", about, pass, heard)
			}
		}
		if d.asks.nothing == want {
			t.Errorf("%s: nothing is asked: %t", about, d.asks.nothing)
		}
	}
	hear(false, "nobody asks")
	if _, err := RequestPause(d.cfg, 0, "new disks"); err != nil {
		t.Fatal(err)
	}
	hear(true, "a pause begins")
	if _, err := endPause(d.cfg, pauseFile); err != nil {
		t.Fatal(err)
	}
	hear(false, "the pause is over")
	d.refused.key = "a commit"
	if err := RequestRetry(d.cfg); err != nil {
		t.Fatal(err)
	}
	if err := d.hear(); err != nil || d.refused.key != "" {
		t.Errorf("a retry is not heard (%v)", err)
	}
	hear(false, "the retry was heard")
}

// File systems count time in steps: a request may come in the very step in which the
// directory was looked at.
func TestRequestIsHeardThatComesRightAfterAnotherChange(t *testing.T) {
	d := anchoredDaemon(t, t.TempDir())
	d.lookout = newLookout(time.Minute, nil)
	for range 3 {
		if err := d.hear(); err != nil {
			t.Fatal(err)
		}
		if d.asks.nothing {
			t.Error("a directory that has just changed counts as one that did not")
		}
	}
}

// What a pass depends on is written down anew when any of it is another.
func TestPassKeyIsOnlyRememberedWhileAllIsTheSame(t *testing.T) {
	d := &daemon{factsAt: time.Unix(1, 0)}
	tip := source.Tip{Commit: "a"}
	known := map[string]string{}
	is := func(about string) {
		t.Helper()
		key := d.keyOf(tip)
		if other, there := known[key]; there {
			t.Errorf("%s gives the key of %s", about, other)
		}
		known[key] = about
		if d.keyOf(tip) != key || d.passKey(tip, d.facts) != key {
			t.Errorf("%s: the key changes by itself", about)
		}
	}
	is("the beginning")
	tip.Commit = "b"
	is("another commit")
	tip.Tag = "c"
	is("a tag")
	d.trust.sum = "d"
	is("other signers")
	d.keys.Recipients = []string{"e"}
	is("another identity")
	d.keys = Keys{Recipients: []string{"e"}, Faults: []string{"f"}}
	is("a fault of an identity")
	d.facts.Name, d.factsAt = "g", time.Unix(2, 0)
	is("another fact")
}

// A record of an attempt was damaged: the daemon did not start and said so, and
// reset-state said that the daemon has to start first.
func TestResetStateForgetsWhatTheDaemonCannotEnd(t *testing.T) {
	for _, row := range []struct {
		about, name, text string
		refuses           bool
	}{
		{"no attempt", "ledger.json", "garbage", false},
		{"one that was only staging", "attempt.000007.stage.1", `{"number":7}`, false},
		{"one that is applied", "attempt.000007.apply.1", `{"number":7}`, true},
		{"one that is watched", "attempt.000007.watch.2", `{"number":7}`, true},
		{"one that is held", "attempt.000007.held.1", `{"number":7}`, false},
		{"an empty record", "attempt.000007.watch.1", "", false},
		{"garbage", "attempt.000007.revert.1", "garbage", false},
		{"the record of another attempt", "attempt.000007.watch.1", `{"number":8}`, false},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, row.name)
		if err := os.WriteFile(file, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := ResetState(Config{StateDir: dir})
		if refuses := err != nil; refuses != row.refuses {
			t.Errorf("%s: %v", row.about, err)
		}
		if _, err := os.Stat(file); (err == nil) != row.refuses {
			t.Errorf("%s: afterwards the file is there: %v", row.about, err == nil)
		}
	}
}
