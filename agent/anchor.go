package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"evenkeel/agent/apply"
)

// Anchor is the commit that every later one must contain, so that nobody who
// holds the branch, or the network, can put an old state back. It is kept apart
// from the cache, which may be deleted, and from the ledger, which may be lost.
type Anchor struct {
	Commit  string `json:"commit"`
	Minimum string `json:"minimum,omitempty"` // minimum_commit of the host's config when Commit was proven to contain it
	Sum     string `json:"sum"`               // of the fields above, so that a torn file is not taken for another commit
}

const anchorFile = "anchor.json"

func (a Anchor) sum() string {
	sum := sha256.Sum256([]byte("evenkeel anchor\n" + a.Commit + "\n" + a.Minimum + "\n"))
	return hex.EncodeToString(sum[:])
}

// loadAnchor reads the anchor; nil is none.
func loadAnchor(dir apply.Dir) (*Anchor, error) {
	data, err := dir.Read(anchorFile, apply.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the rollback anchor, %s in the state directory, cannot be read: %v", anchorFile, err)
	}
	a := new(Anchor)
	if err := json.Unmarshal(data, a); err != nil || a.Sum != a.sum() || !commitHash.MatchString(a.Commit) {
		return nil, fmt.Errorf("the rollback anchor, %s in the state directory, is damaged", anchorFile)
	}
	return a, nil
}

// moveAnchor makes a commit the one that later ones must contain. It comes before
// the ledger says that the commit is good: a anchor that is ahead is safe.
func (h *Host) moveAnchor(commit, minimum string) error {
	a := Anchor{Commit: commit, Minimum: minimum}
	if h.Anchor != nil && h.Anchor.Commit == a.Commit && h.Anchor.Minimum == a.Minimum {
		return nil
	}
	a.Sum = a.sum()
	data, err := json.Marshal(a)
	if err == nil {
		err = writeState(h.State, anchorFile, data)
	}
	if err != nil {
		return fmt.Errorf("cannot write the rollback anchor: %w", err)
	}
	h.Anchor, h.anchorFault = &a, ""
	h.Ledger.Anchored = true
	return nil
}

// moveAnchorFor is moveAnchor for what follows the branch. A person who goes back
// leaves the anchor where it is, so that nobody else can bring up what lies between.
func (h *Host) moveAnchorFor(past bool, commit, minimum string) error {
	if past {
		return nil
	}
	return h.moveAnchor(commit, minimum)
}

// readAnchor looks at the anchor when the daemon starts. What is wrong with it
// keeps the host where it is until a person says so; it is no reason not to
// start, because an open attempt must still be ended.
func (h *Host) readAnchor() {
	anchor, err := loadAnchor(h.State)
	h.Anchor, h.anchorFault = anchor, ""
	switch {
	case err != nil:
		h.anchorFault = err.Error()
	case anchor == nil && h.Ledger.Anchored && h.Ledger.Good != nil:
		h.anchorFault = fmt.Sprintf("the rollback anchor, %s, is missing from the state directory", anchorFile)
	}
}

// anchored holds while the anchor is missing or damaged.
func (d *daemon) anchored() (Outcome, bool) {
	h := d.host
	if h.anchorFault == "" {
		return Outcome{}, false
	}
	from := "the newest commit, whatever it is"
	if good := h.Ledger.Good; good != nil {
		from = fmt.Sprintf("commit %s, the last good one by the ledger", good.Commit)
	}
	return d.holdAsking(Hold{
		Reason: fmt.Sprintf("%s, so an old commit could come back; \"evenkeel retry\" begins a new anchor with %s", h.anchorFault, from),
		Do:     "find out how it came to that, then run \"evenkeel retry\"",
	}), true
}

// renewAnchor is what a person's retry does about it.
func (h *Host) renewAnchor() error {
	if h.anchorFault == "" {
		return nil
	}
	if good := h.Ledger.Good; good != nil {
		return h.moveAnchor(good.Commit, "")
	}
	if err := h.State.Remove(anchorFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the damaged rollback anchor: %w", err)
	}
	h.Anchor, h.anchorFault = nil, ""
	return nil
}

// prior is the commit that a new one must continue from, "" for none.
func (h *Host) prior() string {
	switch {
	case h.Anchor != nil:
		return h.Anchor.Commit
	case h.Ledger.Good != nil:
		return h.Ledger.Good.Commit
	}
	return ""
}
