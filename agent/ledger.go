package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

// Bounds of what the ledger remembers.
const (
	maxRejected = 200
	maxHistory  = 50
	maxAside    = 100
	maxEvidence = 2000 // bytes
	maxAsked    = 50
	maxGoods    = 20
)

// ledgerVersion is the layout of ledger.json. A program that does not know the
// version it finds stops instead of guessing.
const ledgerVersion = 1

// Ledger is the durable record of what happened here. What an open attempt
// does is in its own file, see Attempt.
type Ledger struct {
	Version     int                    `json:"version"`
	Machine     string                 `json:"machine"` // derived from the machine id; another one means a cloned image
	Host        string                 `json:"host"`
	Roles       []string               `json:"roles,omitempty"`
	Attempts    int                    `json:"attempts"`      // number of the last attempt
	Key         string                 `json:"key,omitempty"` // of the last pass that was decided
	Good        *Good                  `json:"good,omitempty"`
	Anchored    bool                   `json:"anchored,omitempty"` // an Anchor was written: from then on there must be one
	Owned       shelved[Owned]         `json:"owned,omitzero"`     // every path that a kept target brought here
	Found       map[string]bool        `json:"found,omitempty"`    // unit -> was it active before evenkeel first ran it
	Runs        map[string]Started     `json:"runs,omitempty"`
	CameUp      map[string]string      `json:"came_up,omitempty"` // unit that the open attempt touched -> its invocation right after the job
	Rejected    []Rejection            `json:"rejected,omitempty"`
	Retried     []Rejection            `json:"retried,omitempty"` // what a person asked to try again, until that commit has another verdict, or another one is good
	Tries       map[string]int         `json:"tries,omitempty"`   // commit -> attempts that were interrupted
	Hold        *Hold                  `json:"hold,omitempty"`
	Approved    *Approval              `json:"approved,omitempty"`    // a person's answer to a question, until it is used
	Override    *Override              `json:"override,omitempty"`    // a person's word to apply what is kept back, until it is used
	Goods       []PastGood             `json:"goods,omitempty"`       // commits that were good here, newest last, Good included
	Pin         *Pin                   `json:"pin,omitempty"`         // a person went back to one of them
	History     []Entry                `json:"history,omitempty"`     // newest last
	Aside       []string               `json:"aside,omitempty"`       // files of others that a revert had to move out of the way
	Corrections map[string]Corrections `json:"corrections,omitempty"` // of drift, by path or unit
	Sysctl      map[string]string      `json:"sysctl,omitempty"`      // value of the kernel that a kept target sets -> what it was before evenkeel first did
}

// Good is the last commit that was seen healthy.
type Good struct {
	Commit   string                  `json:"commit"`
	Subject  string                  `json:"subject,omitempty"`
	Signer   string                  `json:"signer,omitempty"`
	Digest   string                  `json:"digest"` // of the target
	When     time.Time               `json:"when"`
	State    goodState               `json:"state"`
	Services map[string]plan.Service `json:"services,omitempty"`
	Except   []string                `json:"except,omitempty"` // checks that were red before it and still are
	Secret   map[string]bool         `json:"secret,omitempty"` // paths whose content is nobody's business
	Drift    map[string]plan.OnDrift `json:"drift,omitempty"`  // see Target.Drift
	Made     map[string]string       `json:"made,omitempty"`   // see Target.Made
	DropIns  []string                `json:"drop_ins"`         // of its services, not evenkeel's, that were there before; null: nobody looked
}

// PastGood is a commit that proved itself here once.
type PastGood struct {
	Commit  string    `json:"commit"`
	Subject string    `json:"subject,omitempty"`
	Digest  string    `json:"digest"`
	When    time.Time `json:"when"`
}

// Pin keeps the host at a commit that a person went back to, until the branch
// moves.
type Pin struct {
	Commit string    `json:"commit"`
	Head   string    `json:"head,omitempty"` // of the branch then; "" when nobody could say
	Since  time.Time `json:"since"`
}

// Owned says what stood at a path before evenkeel first wrote there.
type Owned struct {
	Original *plan.Path `json:"original,omitempty"` // nil: it goes when nothing asks for it any more
	Packaged string     `json:"packaged,omitempty"` // MD5 of the configuration file as a package shipped it at that time
}

// ownedFrom is a path at which something stood, or nothing.
func ownedFrom(before plan.Path, packaged string) Owned {
	o := Owned{Packaged: packaged}
	if before.Kind != plan.Absent {
		o.Original = &before
	}
	return o
}

func (o Owned) original() plan.Path {
	if o.Original == nil {
		return plan.Path{}
	}
	return *o.Original
}

// Started is what a unit was last started with.
type Started struct {
	Invocation string            `json:"invocation"`
	Inputs     map[string]string `json:"inputs,omitempty"`
}

// Rejection is a commit that failed here after its first effect. Neither it nor
// another commit that renders the same target is tried again until a person
// says so.
type Rejection struct {
	Commit   string    `json:"commit"`
	Digest   string    `json:"digest"`
	Reason   string    `json:"reason"`
	Evidence string    `json:"evidence,omitempty"`
	When     time.Time `json:"when"`
}

// Hold says why evenkeel stopped acting.
type Hold struct {
	Reason   string    `json:"reason"`
	Evidence string    `json:"evidence,omitempty"`
	Commit   string    `json:"commit,omitempty"` // a newer one ends the hold
	Since    time.Time `json:"since"`
	Do       string    `json:"do,omitempty"` // what ends it; "" means what ends most of them
	// Asks says that a person has to answer. Without a Question no commit ends it.
	Asks     bool      `json:"asks,omitempty"`
	Question *Question `json:"question,omitempty"`
}

// Question is what a commit that has no fault makes evenkeel ask. It goes away
// with the commit that raised it.
type Question struct {
	Commit string   `json:"commit"`
	Digest string   `json:"digest"`          // of its target: an answer is for no other one
	Paths  []string `json:"paths,omitempty"` // what it is about, sorted, at most maxAsked
	Back   []string `json:"back,omitempty"`  // those of Paths at which what stood there before evenkeel will stand
	More   int      `json:"more,omitempty"`  // how many paths are not listed
}

// Approval is the answer to a Question. It is used up by the verdict on the
// target that it is for.
type Approval struct {
	Commit string    `json:"commit"`
	Digest string    `json:"digest"`
	When   time.Time `json:"when"`
}

// Entry is one line of the history.
type Entry struct {
	When     time.Time `json:"when"`
	Commit   string    `json:"commit"`
	Attempt  int       `json:"attempt,omitempty"`
	Result   Result    `json:"result"`
	Reason   string    `json:"reason,omitempty"`
	Evidence string    `json:"evidence,omitempty"` // the first lines of what was seen
	Restarts []string  `json:"restarts,omitempty"` // "restart app.service: /etc/app.conf changed"
}

// Reject remembers a commit and the target it rendered.
func (l *Ledger) Reject(r Rejection) {
	r.Evidence = shorten(r.Evidence)
	l.Rejected = slices.DeleteFunc(l.Rejected, func(old Rejection) bool { return old.Commit == r.Commit })
	l.Rejected = append(l.Rejected, r)
	if n := len(l.Rejected) - maxRejected; n > 0 {
		l.Rejected = l.Rejected[n:]
	}
	l.Retried = slices.DeleteFunc(l.Retried, func(old Rejection) bool { return old.Commit == r.Commit })
}

// Retry lets everything be tried once more.
func (l *Ledger) Retry() {
	l.Retried = append(l.Retried, l.Rejected...)
	if n := len(l.Retried) - maxRejected; n > 0 {
		l.Retried = l.Retried[n:]
	}
	l.Rejected = nil
}

// retryNoMore takes back what Retry did for all that has no other verdict yet.
func (l *Ledger) retryNoMore() {
	for _, r := range slices.Clone(l.Retried) {
		l.Reject(r)
	}
}

// forgive forgets what a commit, and its target, failed for.
func (l *Ledger) forgive(commit, digest string) {
	for _, list := range []*[]Rejection{&l.Rejected, &l.Retried} {
		*list = slices.DeleteFunc(slices.Clone(*list), func(r Rejection) bool { return r.Commit == commit || digest != "" && r.Digest == digest })
	}
}

func shorten(evidence string) string {
	return strings.ToValidUTF8(evidence[:min(len(evidence), maxEvidence)], "")
}

// Proved remembers that a commit was good here. What it failed for earlier counts no more,
// and a retry is over.
func (l *Ledger) Proved(good PastGood) {
	l.forgive(good.Commit, good.Digest)
	l.Retried = nil
	if n := len(l.Goods); n > 0 && l.Goods[n-1].Commit == good.Commit {
		return // it is told once more, after a crash
	}
	others := slices.DeleteFunc(slices.Clone(l.Goods), func(old PastGood) bool { return old.Commit == good.Commit })
	l.Goods = append(others, good)
	if n := len(l.Goods) - maxGoods; n > 0 {
		l.Goods = l.Goods[n:]
	}
}

// IsRejected finds the rejection of a commit, or of the target it renders.
func (l *Ledger) IsRejected(commit, digest string) (Rejection, bool) {
	for _, r := range l.Rejected {
		if r.Commit == commit || digest != "" && r.Digest == digest {
			return r, true
		}
	}
	return Rejection{}, false
}

// Note adds a line to the history.
func (l *Ledger) Note(e Entry) {
	l.History = append(l.History, e)
	if n := len(l.History) - maxHistory; n > 0 {
		l.History = l.History[n:]
	}
}

const ledgerFile = "ledger.json"

// loadLedger reads the ledger. It fails closed: a ledger that cannot be read is
// an error, never an empty one, because an empty one would forget what failed.
func loadLedger(dir apply.Dir, decode decoder) (*Ledger, error) {
	data, err := dir.Read(ledgerFile, apply.MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &Ledger{Version: ledgerVersion}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the ledger: %w", err)
	}
	l := new(Ledger)
	if err := decode.read(data, l); err != nil {
		return nil, fmt.Errorf("cannot read the ledger %q: %v; \"evenkeel reset-state\" starts a new one, which forgets the rejected commits and adopts the host as it is", ledgerFile, err)
	}
	if l.Version != ledgerVersion {
		return nil, fmt.Errorf("cannot read the ledger %q: its version is %d, this program knows %d", ledgerFile, l.Version, ledgerVersion)
	}
	return l, nil
}

// decoder reads a record. Nil is json.Unmarshal; a test that starts ten million
// daemons from few records has one that remembers.
type decoder func(data []byte, into any) error

func (d decoder) read(data []byte, into any) error {
	if d == nil {
		return json.Unmarshal(data, into)
	}
	return d(data, into)
}

func (l *Ledger) save(dir apply.Dir) error {
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("cannot write the ledger: %w", err)
	}
	if err := writeState(dir, ledgerFile, data); err != nil {
		return fmt.Errorf("cannot write the ledger: %w", err)
	}
	return nil
}

// writeState replaces a file of the state directory whole: after a crash it is
// the old one or the new one.
func writeState(dir apply.Dir, name string, data []byte) error {
	temp := name + "+"
	if err := dir.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := dir.Create(temp, data, apply.Attr{Mode: 0o600}, ""); err != nil {
		return err
	}
	if err := dir.Replace(temp, name); err != nil {
		_ = dir.Remove(temp) // err is the cause; what stays is swept at the next start
		return err
	}
	return dir.Sync()
}
