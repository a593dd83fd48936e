package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"evenkeel/agent/source"
)

// origin is one of the places that commits come from: the repository, or a
// mirror. Each has a clone and a health of its own.
type origin struct {
	remote   source.Remote
	shown    string // its address, as people may see it
	dir      string // of its clone
	looker   *looker
	failures int // in a row
	retryAt  time.Time
	tip      source.Tip
	contact  time.Time // it last answered
	fault    string    // why it gives nothing, or nothing that counts; "" when it does

	anew   bool       // the clone is damaged: the next fetch makes another
	unread source.Tip // what could not be read in it
}

// seen is a commit and the origins that have it, in the order of the config.
type seen struct {
	tip  source.Tip
	from []*origin
	past bool     // a person went back to it, or it is the good one
	only []string // the paths whose contents alone are asked for; nil for the target
}

// clonePrefix begins the name of a clone's directory in the cache.
const clonePrefix = "clone-"

func newOrigins(cfg Config) []*origin {
	var list []*origin
	for _, remote := range cfg.remotes() {
		sum := sha256.Sum256([]byte(remote.URL))
		list = append(list, &origin{
			remote: remote, shown: remote.Shown(), looker: &looker{remote: remote},
			dir: filepath.Join(cfg.CacheDir, clonePrefix+hex.EncodeToString(sum[:6])),
		})
	}
	return list
}

// closeOrigins ends what the looks keep open.
func closeOrigins(list []*origin) {
	for _, o := range list {
		o.looker.Close()
	}
}

// failed remembers that an origin gave nothing. It is left alone for a while.
func (o *origin) failed(err error, interval time.Duration) {
	o.failures++
	o.fault = err.Error()
	wait := backoff(o.failures, interval)
	var own *source.Error
	if errors.As(err, &own) {
		wait = max(wait, own.RetryAfter)
	}
	o.retryAt = time.Now().Add(jitter(wait))
}

func (o *origin) answered(tip source.Tip) {
	o.failures, o.retryAt, o.fault = 0, time.Time{}, ""
	o.tip, o.contact = tip, time.Now()
}

// backoff is the time to leave alone what failed so many times in a row.
func backoff(failures int, interval time.Duration) time.Duration {
	return min(interval<<min(failures-1, 10), max(maxDelay, interval))
}

// head asks the origins where they stand, and gives the newest commit that
// counts: that of all of them, as a rule.
func (d *daemon) head(ctx context.Context) (seen, error) {
	newest, err := d.newest(ctx)
	d.tellOrigins()
	if err != nil {
		return seen{}, err
	}
	now := time.Now()
	d.board.change(func(s *Status) {
		s.Contact = now.UTC()
		if commitOf(s.Target) != newest.tip.Commit {
			s.Target = &CommitStatus{Commit: newest.tip.Commit, Since: now.UTC()}
		}
	})
	// A commit that could not be had is no answer until it is.
	if newest.tip != d.unfetched {
		d.sourceAnswered(now)
	}
	return newest, nil
}

// sourceAnswered ends a time of failures.
func (d *daemon) sourceAnswered(now time.Time) {
	d.failures, d.unfetched = 0, source.Tip{}
	d.metrics.SourceAnswered(now)
	d.board.change(func(s *Status) { s.ContactError = "" })
}

// newest is head for who has nobody to tell.
func (d *daemon) newest(ctx context.Context) (seen, error) {
	all, err := d.lookAround(ctx)
	if err != nil {
		return seen{}, err
	}
	if len(all) > 1 {
		return d.choose(ctx, all)
	}
	return all[0], nil
}

// lookAround asks every origin that is not being left alone, or all of them when
// all are. The error is the first one's, and given only when nobody answered.
func (d *daemon) lookAround(ctx context.Context) ([]seen, error) {
	var all []seen
	var first error
	due := d.dueOrigins()
	for _, o := range due {
		tip, err := o.looker.Tip(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			o.failed(err, d.cfg.Interval)
			first = cmpErr(first, err)
			continue
		}
		o.answered(tip)
		all = addSeen(all, tip, o)
	}
	if len(all) == 0 {
		return nil, first
	}
	return all, nil
}

func cmpErr(first, err error) error {
	if first != nil {
		return first
	}
	return err
}

func (d *daemon) dueOrigins() []*origin {
	var due []*origin
	now := time.Now()
	for _, o := range d.origins {
		if !now.Before(o.retryAt) {
			due = append(due, o)
		}
	}
	if len(due) == 0 {
		return d.origins
	}
	return due
}

func addSeen(all []seen, tip source.Tip, o *origin) []seen {
	for i := range all {
		if all[i].tip == tip {
			all[i].from = append(all[i].from, o)
			return all
		}
	}
	return append(all, seen{tip: tip, from: []*origin{o}})
}

// choose fetches what origins do not agree on, and takes the most advanced
// commit that is proven. The answer is remembered until one of them moves.
func (d *daemon) choose(ctx context.Context, all []seen) (seen, error) {
	key := d.chooseKey(all)
	if d.chosen.key == key {
		return all[d.chosen.index], nil
	}
	proof, err := d.proof()
	if err != nil {
		return seen{}, err
	}
	var offers []Offer
	var indices []int
	var first error
	for i, s := range all {
		offer, err := d.fetch(ctx, s, proof.question(otherCommits(all, i)...))
		if err != nil {
			first = cmpErr(first, err)
			continue
		}
		offers, indices = append(offers, offer), append(indices, i)
	}
	if len(offers) == 0 {
		return seen{}, first
	}
	reply, err := ChooseChild(ctx, ChooseRequest{Offers: offers, Trust: proof})
	if err != nil {
		return seen{}, err
	}
	for i, failure := range reply.Failures {
		if failure != nil {
			for _, o := range all[indices[i]].from {
				o.fault = failure.Error()
				if o.dir == offers[i].Dir {
					o.isDamaged(offers[i].Tip, failure)
				}
			}
			first = cmpErr(first, failure)
		}
	}
	if reply.Best < 0 {
		return seen{}, first
	}
	best := indices[reply.Best]
	// When a fetch failed the next look tries again.
	if len(offers) == len(all) {
		d.chosen.key, d.chosen.index = key, best
	}
	d.log.Info("the repositories do not agree", "taken", all[best].tip.Commit, "from", all[best].from[0].shown, "offered", len(all))
	return all[best], nil
}

func (d *daemon) chooseKey(all []seen) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %t %s", d.host.prior(), d.cfg.AllowRewritten, d.trust.sum)
	for _, s := range all {
		fmt.Fprintf(&b, " %s %s", s.tip.Commit, s.tip.Tag)
	}
	return b.String()
}

func otherCommits(all []seen, except int) []string {
	var list []string
	for i, s := range all {
		if i != except {
			list = append(list, s.tip.Commit)
		}
	}
	return list
}

// fetch brings a commit here from the first of its origins that gives it.
func (d *daemon) fetch(ctx context.Context, s seen, about source.Question) (Offer, error) {
	var first error
	for _, o := range s.from {
		d.board.progressed() // each may take its time
		tip, err := FetchChild(ctx, FetchRequest{Remote: o.remote, Dir: o.dir, Anew: o.anew, About: about})
		if err == nil {
			o.anew = false
			return Offer{Remote: o.remote, Dir: o.dir, Tip: tip}, nil
		}
		if ctx.Err() != nil {
			return Offer{}, err
		}
		o.failed(err, d.cfg.Interval)
		first = cmpErr(first, err)
	}
	return Offer{}, first
}

// isDamaged reports whether a clone turned out to lack objects, as after a power cut: a fetch
// into it would find nothing to do, so the next one makes another. It says so once for each
// commit: what the server itself has lost stays lost.
func (o *origin) isDamaged(tip source.Tip, err error) bool {
	var failure *source.Error
	if _, local := o.remote.Local(); local || !errors.As(err, &failure) || failure.Reason != source.Garbage || o.unread == tip {
		return false
	}
	o.unread, o.anew = tip, true
	return true
}

// tellOrigins brings the status and the metrics of the origins up to date.
func (d *daemon) tellOrigins() {
	var list []OriginStatus
	for _, o := range d.origins {
		d.metrics.Origin(o.shown, o.fault == "" && !o.contact.IsZero(), o.contact)
		if len(d.origins) > 1 { // else all of it is in the status already
			list = append(list, OriginStatus{Repo: o.shown, Commit: o.tip.Commit, Contact: o.contact.UTC(), Error: o.fault})
		}
	}
	d.board.change(func(s *Status) { s.Origins = list })
}

// leftAlone is how long it is until the first origin may be asked again.
func (d *daemon) leftAlone(now time.Time) time.Duration {
	var least time.Duration
	for i, o := range d.origins {
		if wait := o.retryAt.Sub(now); i == 0 || wait < least {
			least = wait
		}
	}
	return max(least, 0)
}
