package agent

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// StatusFile is where the daemon writes its Status. It is in /run, so a file
// from before a reboot is never taken for news.
const StatusFile = "/run/evenkeel/status.json"

// shownHistory bounds Status.History.
const shownHistory = 20

// maxPackageFiles bounds Status.PackageFiles.
const maxPackageFiles = 100

// Stage is what the daemon does at the moment.
type Stage string

// The stages, in the order of a pass.
const (
	StageIdle       Stage = "idle"
	StageFetching   Stage = "fetching"
	StageRendering  Stage = "rendering"
	StageObserving  Stage = "observing"
	StageValidating Stage = "validating"
	StageStaging    Stage = "staging"
	StageApplying   Stage = "applying"
	StageWatching   Stage = "watching"
	StageReverting  Stage = "reverting"
	StageHeld       Stage = "held"
)

// Result is how a pass ended.
type Result string

// The results.
const (
	ResultUnchanged  Result = "unchanged"  // nothing to do
	ResultGood       Result = "good"       // a commit was applied and proved itself
	ResultRefused    Result = "refused"    // problems found before anything was touched
	ResultWaiting    Result = "waiting"    // refused because something is not there yet
	ResultRejected   Result = "rejected"   // failed after the first effect, and put back
	ResultSuperseded Result = "superseded" // a newer commit ended the attempt
	ResultHeld       Result = "held"       // the agent stopped acting
	ResultRollback   Result = "rollback"   // in the history: a person went back to a commit
	ResultDeferred   Result = "deferred"   // it would be applied, and is kept back for now
	ResultOverride   Result = "override"   // in the history: a person had a commit applied that was kept back
	ResultCorrected  Result = "corrected"  // what drifted was put back to the good commit
	ResultFailed     Result = "failed"     // the pass itself did not get through: no remote, no memory
)

// isSettled reports whether only news can make the next pass end in another way.
func (r Result) isSettled() bool { return r == ResultUnchanged || r == ResultRejected }

// Status is what the daemon says about itself and its host, for people and for
// scripts. Anyone on the host can read it: it holds no secret and no content
// of a managed file.
type Status struct {
	Version  string    `json:"version"`
	PID      int       `json:"pid"`
	Written  time.Time `json:"written,omitzero"`
	Host     string    `json:"host"`
	Roles    []string  `json:"roles,omitempty"`
	Repo     string    `json:"repo"`             // without credentials
	Branch   string    `json:"branch,omitempty"` // one of these three is followed
	Tag      string    `json:"tag,omitempty"`
	Pinned   string    `json:"pinned,omitempty"` // a commit
	StateDir string    `json:"state_dir,omitempty"`

	Stage  Stage  `json:"stage"`
	Result Result `json:"result,omitempty"` // of the last pass
	Reason string `json:"reason,omitempty"` // of the last pass, one line

	Target  *CommitStatus `json:"target,omitempty"`  // the newest commit of the branch
	Applied *CommitStatus `json:"applied,omitempty"` // the commit whose files are on the host now
	Good    *CommitStatus `json:"good,omitempty"`    // the last commit that proved itself

	Attempt  *AttemptStatus  `json:"attempt,omitempty"`  // nil when none is open
	Refused  []string        `json:"refused,omitempty"`  // problems of the target commit, "file:line: what"
	Waiting  []string        `json:"waiting,omitempty"`  // what the target commit waits for
	Lock     *LockStatus     `json:"lock,omitempty"`     // of a package manager, while it keeps the target commit waiting
	Rejected []RejectedEntry `json:"rejected,omitempty"` // newest first
	Held     *HeldStatus     `json:"held,omitempty"`     // nil when the agent acts
	Rollback *RollbackStatus `json:"rollback,omitempty"` // nil when the host follows its branch
	Paused   *PauseStatus    `json:"paused,omitempty"`   // nil when new commits are applied
	Frozen   *PauseStatus    `json:"frozen,omitempty"`   // nil when what drifts is corrected
	Deferred *DeferredStatus `json:"deferred,omitempty"` // the target commit, when it is kept back for now
	Except   []string        `json:"except,omitempty"`   // checks that failed before the good commit and still did after it

	Drift      []DriftStatus `json:"drift,omitempty"`       // what is not as the good commit left it
	DriftMore  int           `json:"drift_more,omitempty"`  // how many are not listed
	DriftFault string        `json:"drift_fault,omitempty"` // why nobody could look, or correct, last time

	Config   *ConfigStatus `json:"config,omitempty"` // nil when the host's own configuration file is in force
	Units    []UnitStatus  `json:"units,omitempty"`  // the services of the good commit, sorted
	Warnings []string      `json:"warnings,omitempty"`

	PackageFiles []string `json:"package_files,omitempty"` // versions of managed files that package managers left beside them

	Contact      time.Time `json:"contact,omitzero"`        // the remote last answered
	ContactError string    `json:"contact_error,omitempty"` // why it does not now, "" when it does
	Looked       time.Time `json:"looked,omitzero"`         // the last pass, or the one that is under way, began then
	Passed       time.Time `json:"passed,omitzero"`         // the last pass ended then
	NextLook     time.Time `json:"next_look,omitzero"`

	Origins []OriginStatus `json:"origins,omitempty"` // when there is more than one, in the order of the config
	Stale   []string       `json:"stale,omitempty"`   // bounds of stale: that are exceeded

	History []HistoryEntry `json:"history,omitempty"` // newest first, at most 20
}

// CommitStatus is a commit and since when it has the role it is named for.
type CommitStatus struct {
	Commit  string    `json:"commit"`
	Subject string    `json:"subject,omitempty"` // first line of its message
	Signer  string    `json:"signer,omitempty"`  // "" when the host asks for no signature
	Since   time.Time `json:"since,omitzero"`
}

// OriginStatus is one of the places that commits come from.
type OriginStatus struct {
	Repo    string    `json:"repo"`             // without credentials
	Commit  string    `json:"commit,omitempty"` // what it offered last
	Contact time.Time `json:"contact,omitzero"` // it last answered
	Error   string    `json:"error,omitempty"`  // why it gives nothing, or nothing that counts
}

// AttemptStatus is the attempt that is open.
type AttemptStatus struct {
	Commit     string    `json:"commit"`
	Since      time.Time `json:"since,omitzero"`
	Try        int       `json:"try"`
	WaitingFor string    `json:"waiting_for,omitempty"`
	Corrects   []string  `json:"corrects,omitempty"` // what drifted and is put right; none: it is for a new commit
}

// RejectedEntry is a commit that failed here and will not be tried again.
type RejectedEntry struct {
	Commit   string    `json:"commit"`
	Subject  string    `json:"subject,omitempty"`
	Reason   string    `json:"reason"`
	When     time.Time `json:"when,omitzero"`
	Evidence []string  `json:"evidence,omitempty"` // what was seen: a unit's result, a check's answer
}

// HeldStatus says why the agent stopped acting and how a person gets it going.
type HeldStatus struct {
	Since  time.Time `json:"since,omitzero"`
	Reason string    `json:"reason"`
	Do     string    `json:"do"`               // a sentence that names a command
	Commit string    `json:"commit,omitempty"` // what "evenkeel approve" would approve, "" when nothing is asked
	Paths  []string  `json:"paths,omitempty"`  // what that commit is asked about
	Back   []string  `json:"back,omitempty"`   // those of Paths at which what stood there before evenkeel will stand
	More   int       `json:"more,omitempty"`   // how many paths are not listed

	Evidence []string `json:"evidence,omitempty"` // what was seen
}

// RollbackStatus says that a person went back to a commit that was good before.
type RollbackStatus struct {
	Commit string    `json:"commit"`
	Since  time.Time `json:"since,omitzero"`
}

// LockStatus is the lock of a package manager that somebody holds.
type LockStatus struct {
	Path    string    `json:"path"`
	Holder  string    `json:"holder"`            // dpkg or rpm
	PID     int       `json:"pid,omitempty"`     // 0: nobody can tell
	Process string    `json:"process,omitempty"` // its name
	Since   time.Time `json:"since,omitzero"`    // it was first seen then
}

// PauseStatus says that a person keeps new commits, or corrections, off the host.
type PauseStatus struct {
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"` // zero: until somebody says resume
	Reason string    `json:"reason"`
}

// since is what metrics say of it.
func (p *PauseStatus) since() (on bool, since time.Time) {
	if p == nil {
		return false, time.Time{}
	}
	return true, p.Since
}

// DeferredStatus is a commit that would be applied, and what it would do.
type DeferredStatus struct {
	Commit string    `json:"commit"`
	Reason string    `json:"reason"`         // what keeps it back
	Until  time.Time `json:"until,omitzero"` // zero: nobody knows
	Steps  []string  `json:"steps,omitempty"`
	More   int       `json:"more,omitempty"` // how many steps are not listed
}

// UnitStatus is one service as systemd sees it.
type UnitStatus struct {
	Name      string    `json:"name"`
	Active    string    `json:"active"`             // systemd's word: active, failed, inactive, ...
	Since     time.Time `json:"since,omitzero"`     // of that state
	Restarted time.Time `json:"restarted,omitzero"` // when evenkeel last started or restarted it
	Why       string    `json:"why,omitempty"`      // the reason it had for that
	Problem   string    `json:"problem,omitempty"`  // why it is not as it should be, "" when it is

	Wave  int      `json:"wave,omitempty"`  // from 1: those of one wave start side by side, after those of the ones before
	After []string `json:"after,omitempty"` // the units of this list that come first
	With  []string `json:"with,omitempty"`  // those whose stop or restart systemd hands on to it
}

// HistoryEntry is one pass that changed something or failed.
type HistoryEntry struct {
	When     time.Time `json:"when"`
	Commit   string    `json:"commit"`
	Subject  string    `json:"subject,omitempty"`
	Result   Result    `json:"result"`
	Reason   string    `json:"reason,omitempty"`
	Evidence []string  `json:"evidence,omitempty"` // what was seen
	Restarts []string  `json:"restarts,omitempty"` // each with its reason: "restart app.service: /etc/app.conf changed"
}

// WriteStatus replaces the status file in one step, so a reader never sees half
// of one. It is not synced: nobody needs it after a crash.
func WriteStatus(path string, s Status) error {
	if len(s.History) > shownHistory {
		s.History = s.History[:shownHistory]
	}
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the status: %v", err)
	}
	// One fixed name beside it, so that being killed here leaves one file at most.
	temp := path + ".new"
	if err := os.WriteFile(temp, append(content, '\n'), 0o644); err != nil {
		return fmt.Errorf("cannot write the status: %v", err)
	}
	if err := os.Chmod(temp, 0o644); err != nil { // whatever the umask is
		return fmt.Errorf("cannot write the status: %v", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("cannot write the status: %v", err)
	}
	return nil
}

// ReadStatus reads a status file. The error satisfies errors.Is with
// fs.ErrNotExist when there is none.
func ReadStatus(path string) (Status, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Status{}, fmt.Errorf("cannot read the status: %w", err)
	}
	var s Status
	if err := json.Unmarshal(content, &s); err != nil {
		return Status{}, fmt.Errorf("cannot read the status %q: %v", path, err)
	}
	return s, nil
}
