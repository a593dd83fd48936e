package agent

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"evenkeel/agent/plan"
)

// TestWhatPeopleWroteIsKept: the last ten, each once, and nothing of a secret.
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
	if len(got) != maxKept || got[0] != "/etc/motd: 11" || got[maxKept-1] != "/etc/motd: 2" {
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
