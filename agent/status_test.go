package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestStatusComesBackAsWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "status.json")
	when := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	want := Status{
		Version: "1", PID: 7, Written: when, Host: "web-1", Repo: "https://h/r", Branch: "main",
		Stage: StageHeld, Result: ResultRejected, Reason: "app.service failed",
		Good:     &CommitStatus{Commit: "abc", Subject: "first", Since: when},
		Rejected: []RejectedEntry{{Commit: "def", Reason: "app.service failed", When: when, Evidence: []string{"exit code 1"}}},
		Held:     &HeldStatus{Since: when, Reason: "the revert failed", Do: "mend it, then run \"evenkeel retry\""},
		Units:    []UnitStatus{{Name: "app.service", Active: "active", Since: when}},
	}
	for range 2 { // the second time over the first
		if err := WriteStatus(file, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadStatus(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o644 {
		t.Errorf("mode %v, want 0644", info.Mode())
	}
	if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) != 1 {
		t.Errorf("files were left beside the status: %v", entries)
	}
}

func TestStatusHistoryIsBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "status.json")
	if err := WriteStatus(file, Status{History: make([]HistoryEntry, 50)}); err != nil {
		t.Fatal(err)
	}
	got, err := ReadStatus(file)
	if err != nil || len(got.History) != shownHistory {
		t.Errorf("got %d entries and %v, want %d", len(got.History), err, shownHistory)
	}
}

func TestReadStatusOfNoDaemon(t *testing.T) {
	if _, err := ReadStatus(filepath.Join(t.TempDir(), "status.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}
