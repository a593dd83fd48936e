package agent

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"evenkeel/agent/apply"
)

// NothingAsked is the error of RequestApproval when no commit waits for an
// answer, or another one than was named.
type NothingAsked struct{ Text string }

// Error says what is asked instead.
func (e *NothingAsked) Error() string { return e.Text }

// RequestApproval answers what the daemon asks about a commit, which may be given
// by the beginning of its hash; "" is the one that it asks about. The answer is
// for just what that commit renders here, and is used once. The daemon sees it at
// its next look.
func RequestApproval(cfg Config, commit string) (Question, error) {
	disk, err := apply.NewDisk("/")
	if err != nil {
		return Question{}, err
	}
	defer func() { _ = disk.Close() }()
	state, err := disk.OpenDir(cfg.StateDir)
	if err != nil {
		return Question{}, fmt.Errorf("cannot open the state directory: %w", err)
	}
	defer func() { _ = state.Close() }()
	l, err := loadLedger(state, nil)
	if err != nil {
		return Question{}, err
	}
	q, err := l.asked(commit)
	if err != nil {
		return Question{}, err
	}
	data, err := json.Marshal(Approval{Commit: q.Commit, Digest: q.Digest, When: time.Now().UTC()})
	if err == nil {
		err = writeState(state, approveFile, data)
	}
	if err != nil {
		return Question{}, fmt.Errorf("cannot write the approval: %w", err)
	}
	return q, nil
}

// minPrefix is the shortest beginning of a hash that names a commit.
const minPrefix = 4

// asked is the question that is open, if it is about the given commit.
func (l *Ledger) asked(commit string) (Question, error) {
	hold := l.Hold
	switch {
	case hold == nil || hold.Question == nil:
		return Question{}, &NothingAsked{"no commit waits for an approval here"}
	case commit != "" && (len(commit) < minPrefix || !strings.HasPrefix(hold.Question.Commit, strings.ToLower(commit))):
		return Question{}, &NothingAsked{fmt.Sprintf("commit %q does not wait for an approval here, but %.12s does", commit, hold.Question.Commit)}
	}
	return *hold.Question, nil
}
