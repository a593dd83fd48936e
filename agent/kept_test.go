package agent

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"evenkeel/agent/plan"
)

// TestWhatPeopleWroteIsKept: the last ten of each path, each once, and nothing of a secret.
func TestWhatPeopleWroteIsKept(t *testing.T) {
	w, target := keptWorld(t, func(t *plan.Target) { t.Secret = map[string]bool{"/etc/db.conf": true} })
	write := func(path, text string) {
		t.Helper()
		w.disk.Overwrite(path, text)
		h := mustHost(t, w)
		h.Ledger.Corrections = nil
		if _, outcome := putRight(t, h, target); outcome.Result != ResultCorrected {
			t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
		}
	}
	kept := func() (texts []string) {
		t.Helper()
		list, err := readAllKept(mustHost(t, w).State)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range list {
			texts = append(texts, k.Path+": "+string(k.Content))
		}
		return texts
	}
	write("/etc/db.conf", "password\n")
	write("/etc/motd", "first\n")
	for range 12 {
		write("/etc/app/app.conf", "a loop\n")
	}
	if got, want := kept(), []string{"/etc/app/app.conf: a loop\n", "/etc/motd: first\n"}; !slices.Equal(got, want) {
		t.Errorf("kept is %q, want %q", got, want)
	}
	for i := range 12 {
		write("/etc/motd", fmt.Sprint(i))
	}
	got := kept()
	if len(got) != maxKept+1 || got[0] != "/etc/motd: 11" || got[maxKept-1] != "/etc/motd: 2" || got[maxKept] != "/etc/app/app.conf: a loop\n" {
		t.Errorf("kept is %q", got)
	}
	for _, name := range w.disk.Names(stateDir) {
		data, _ := w.disk.ReadFile(stateDir + "/" + name)
		if strings.HasPrefix(name, keptPrefix) && !strings.HasPrefix(w.disk.Print(stateDir+"/"+name), "file 0600 0:0") {
			t.Errorf("%s is %s", name, w.disk.Print(stateDir+"/"+name))
		}
		if bytes.Contains(data, []byte("password")) || bytes.Contains(data, []byte("cGFzc3dvcmQ")) {
			t.Errorf("%s holds the secret", name)
		}
	}
}

// TestFileTooLargeToKeepIsLeftAlone: nothing that a person wrote is lost.
func TestFileTooLargeToKeepIsLeftAlone(t *testing.T) {
	w, target := keptWorld(t, nil)
	w.disk.Overwrite("/etc/motd", strings.Repeat("x", maxKeptFile+1))
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != "" {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if list := mustDrift(t, mustHost(t, w), "/etc/motd"); len(list) != 1 || !strings.Contains(list[0].Alone, "too large") {
		t.Errorf("it is %+v", list)
	}
}

// TestEditsOfManyFilesAtOnceAreAllKept: sed -i over a whole directory, put right in one
// correction, must not push its own beginning out of what is kept.
func TestEditsOfManyFilesAtOnceAreAllKept(t *testing.T) {
	const many = 30
	w, target := keptWorld(t, func(t *plan.Target) {
		for i := range many {
			text := fmt.Appendf(nil, "from Git %d\n", i)
			at := plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: plan.DigestKey(nil).Digest(text)}
			t.State.Paths[fmt.Sprintf("/etc/app/%d", i)], t.Content[at.Digest] = at, text
		}
	})
	for i := range many {
		w.disk.Overwrite(fmt.Sprintf("/etc/app/%d", i), fmt.Sprintf("by hand %d\n", i))
	}
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	if list, err := readAllKept(mustHost(t, w).State); err != nil || len(list) != many {
		t.Errorf("%d of %d are kept: %v", len(list), many, err)
	}

	// What together is too large to be kept is corrected as far as there is room.
	for i := range 5 {
		w.disk.Overwrite(fmt.Sprintf("/etc/app/%d", i), strings.Repeat("x", maxKeptFile-i))
	}
	h := mustHost(t, w)
	if _, outcome := putRight(t, h, target); outcome.Result != ResultCorrected {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	for _, x := range mustDrift(t, mustHost(t, w), "/etc/app/2", "/etc/app/3", "/etc/app/4") {
		if !strings.Contains(x.Alone, "could not be kept") {
			t.Errorf("it is %+v", x)
		}
	}
	list, err := readAllKept(h.State)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, k := range list {
		size += k.size
	}
	if size > maxKeptBytes || list[0].Path != "/etc/app/1" || list[1].Path != "/etc/app/0" {
		t.Errorf("%d bytes are kept, the newest of %s and %s", size, list[0].Path, list[1].Path)
	}
}

// TestCommitThatComesDuringAPauseDoesNotLoseWhatAPersonWrote: it waited for the end of the
// pause, and took the place of the edit before anybody had looked for drift.
func TestCommitThatComesDuringAPauseDoesNotLoseWhatAPersonWrote(t *testing.T) {
	w, _ := keptWorld(t, func(t *plan.Target) { t.Secret = map[string]bool{"/etc/db.conf": true} })
	w.disk.Overwrite("/etc/motd", "precious\n")
	w.disk.Overwrite("/etc/db.conf", "password\n")
	w.disk.Overwrite("/etc/app/app.conf", "app 2\n") // what the commit brings anyway
	next := (&spec{db: 1, app: 1, dbConf: 2, appConf: 2, vendorConf: 1, motd: 2, deep: 1, link: 1, dir: 1}).target("next", w)
	next.Secret = map[string]bool{"/etc/db.conf": true}
	h := mustHost(t, w)
	if outcome, err := deployTarget(h, next); err != nil || outcome.Result != ResultGood {
		t.Fatalf("the next commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	list, err := readAllKept(h.State)
	if err != nil || len(list) != 1 || list[0].Path != "/etc/motd" || string(list[0].Content) != "precious\n" {
		t.Errorf("kept is %+v, %v", list, err)
	}
}

// TestWhatWasWrittenInClearGoesWhenThePathBecomesASecret: no secret is in the state
// directory.
func TestWhatWasWrittenInClearGoesWhenThePathBecomesASecret(t *testing.T) {
	w, target := keptWorld(t, nil)
	w.disk.Overwrite("/etc/db.conf", "password\n")
	w.disk.Overwrite("/etc/motd", "by hand\n")
	if _, outcome := putRight(t, mustHost(t, w), target); outcome.Result != ResultCorrected {
		t.Fatalf("it ends as %q: %s", outcome.Result, outcome.Reason)
	}
	next := (&spec{db: 1, app: 1, dbConf: 2, appConf: 1, vendorConf: 1, motd: 1, deep: 1, link: 1, dir: 1}).target("next", w)
	next.Secret = map[string]bool{"/etc/db.conf": true}
	h := mustHost(t, w)
	if outcome, err := deployTarget(h, next); err != nil || outcome.Result != ResultGood {
		t.Fatalf("the next commit ends as %q: %s %v", outcome.Result, outcome.Reason, err)
	}
	if list, err := readAllKept(h.State); err != nil || len(list) != 1 || list[0].Path != "/etc/motd" {
		t.Errorf("kept is %+v, %v", list, err)
	}
}
