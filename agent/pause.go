package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"evenkeel/agent/apply"
)

// A pause keeps new commits off the host while people work on it. What is open goes
// on: a watch comes to its verdict, a failed commit goes back, a crash is mended. A
// host between two commits is nothing to work on.

// pauseFile in the state directory is the pause itself, not a request for one: it
// is in force as soon as it is there, also for a pass that is under way and has not
// begun to change anything. The daemon never removes it, so it cannot take a newer
// one for the one that it read.
const pauseFile = "pause"

// maxReason bounds what a person says about a pause, in bytes.
const maxReason = 500

// freezeFile is a pause of another kind: commits come, and what drifts stays as it is.
const freezeFile = "freeze"

// Pause is a person's word that no new commit shall be applied, or, as a freeze, that
// nothing that drifts shall be corrected.
type Pause struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: until somebody says resume
	Reason string    `json:"reason"`
}

// RequestPause keeps new commits off this host for a time, or, when that is zero,
// until RequestResume. It replaces a pause that is in force, and outlasts restarts
// of the daemon and of the host.
func RequestPause(cfg Config, length time.Duration, reason string) (Pause, error) {
	p, err := requestPause(cfg, pauseFile, length, reason)
	if err != nil {
		return p, fmt.Errorf("cannot pause: %w", err)
	}
	return p, nil
}

// RequestFreeze is RequestPause for corrections: what drifts on this host is only told
// of, and commits come as ever.
func RequestFreeze(cfg Config, length time.Duration, reason string) (Pause, error) {
	p, err := requestPause(cfg, freezeFile, length, reason)
	if err != nil {
		return p, fmt.Errorf("cannot freeze: %w", err)
	}
	return p, nil
}

func requestPause(cfg Config, file string, length time.Duration, reason string) (Pause, error) {
	reason, err := checkReason(reason)
	if err == nil && length < 0 {
		err = fmt.Errorf("%s is no length of time", length)
	}
	if err != nil {
		return Pause{}, err
	}
	p := Pause{Since: time.Now().UTC().Truncate(time.Second), Reason: reason}
	if length > 0 {
		p.Until = p.Since.Add(length)
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil { // a host may be paused before its first start
		return Pause{}, err
	}
	return p, inState(cfg, func(dir apply.Dir) error { return writeJSON(dir, file, p) })
}

// endPause ends the pause in a file and gives it, nil when none is in force.
func endPause(cfg Config, file string) (ended *Pause, err error) {
	err = inState(cfg, func(dir apply.Dir) error {
		ended = readPause(dir, file, time.Now())
		if err := dir.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return dir.Sync()
	})
	return ended, err
}

// checkReason gives a reason as one line that status and log can show.
func checkReason(reason string) (string, error) {
	reason = strings.TrimSpace(reason)
	switch {
	case reason == "":
		return "", errors.New("a reason is needed: whoever looks at this host next must know why")
	case len(reason) > maxReason:
		return "", fmt.Errorf("the reason has %d bytes, more than %d", len(reason), maxReason)
	case !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl):
		return "", errors.New("the reason must be one line of plain text")
	}
	return reason, nil
}

// inState does something in the state directory for a verb.
func inState(cfg Config, do func(apply.Dir) error) error {
	disk, err := apply.NewDisk("/")
	if err != nil {
		return err
	}
	defer func() { _ = disk.Close() }()
	dir, err := disk.OpenDir(cfg.StateDir)
	if err != nil {
		return fmt.Errorf("cannot open the state directory: %w", err)
	}
	defer func() { _ = dir.Close() }()
	return do(dir)
}

// writeJSON replaces a file of the state directory whole.
func writeJSON(dir apply.Dir, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeState(dir, name, data)
}

// readPause gives the pause of a file that is in force, nil when there is none. One that
// cannot be read is in force: somebody wanted hands off.
func readPause(dir apply.Dir, file string, now time.Time) *Pause {
	data, err := dir.Read(file, maxRequest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	p := new(Pause)
	if err == nil {
		err = json.Unmarshal(data, p)
	}
	if err != nil {
		return &Pause{Reason: fmt.Sprintf("the file %s of the state directory cannot be read: %v", file, err)}
	}
	if !p.Until.IsZero() && !now.Before(p.Until) {
		return nil
	}
	return p
}

// String says it as status and log do.
func (p *Pause) String() string { return p.as("paused") }

func (p *Pause) as(word string) string {
	if !p.Until.IsZero() {
		word += " until " + clock(p.Until)
	}
	return word + ": " + p.Reason
}

func (p *Pause) status() *PauseStatus {
	if p == nil {
		return nil
	}
	return &PauseStatus{Since: p.Since, Until: p.Until, Reason: p.Reason}
}

// clock is a time of day as people read it in a sentence.
func clock(t time.Time) string { return t.Format("2006-01-02 15:04 MST") }

// pause is the one that is in force now.
func (h *Host) pause() *Pause { return h.pauseIn(pauseFile) }

// freeze is the one that is in force now.
func (h *Host) freeze() *Pause { return h.pauseIn(freezeFile) }

func (h *Host) isFrozen() bool { return h.freeze() != nil }

func (h *Host) pauseIn(file string) *Pause {
	if h.State == nil { // a preview on a host where the daemon never ran
		return nil
	}
	return readPause(h.State, file, h.Now())
}

// handsOff says why nothing that drifts is corrected on this host now, "" when it is.
func (h *Host) handsOff() string {
	if p := h.freeze(); p != nil {
		return "the host is " + p.as("frozen")
	}
	if p := h.pause(); p != nil {
		return "the host is " + p.String()
	}
	return ""
}

// tellPause logs once that a pause or a freeze is in force, and once that it is over.
func (d *daemon) tellPause() {
	d.tellOne(&d.paused, d.host.pause(), "paused: new commits are not applied", "the pause")
	d.tellOne(&d.frozen, d.host.freeze(), "frozen: what drifts is not corrected", "the freeze")
}

func (d *daemon) tellOne(told **Pause, is *Pause, begins, name string) {
	was := *told
	*told = is
	if (is == nil) != (was == nil) {
		d.lookout.again(0) // for what drifted meanwhile, and for what is said of it
	}
	switch {
	case is != nil && (was == nil || *was != *is):
		attributes := []any{"reason", is.Reason, "since", is.Since}
		if !is.Until.IsZero() {
			attributes = append(attributes, "until", is.Until)
		}
		d.log.Warn(begins, attributes...)
	case is == nil && was != nil && !was.Until.IsZero() && !d.host.Now().Before(was.Until):
		d.log.Info(name+" is over: its time has come", "reason", was.Reason)
	case is == nil && was != nil:
		d.log.Info(name+" is over: a person resumes", "reason", was.Reason)
	}
}
