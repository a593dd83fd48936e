package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"evenkeel/agent/source"
)

// Offer is a commit that a remote has, and where it was fetched to.
type Offer struct {
	Remote source.Remote `json:"remote"` // as in the FetchRequest; never dialled here
	Dir    string        `json:"dir"`
	Tip    source.Tip    `json:"tip"`
}

// Proof is what a commit must prove before anything in it is read.
type Proof struct {
	Policy       source.Policy `json:"policy"`
	Prior        string        `json:"prior"`         // the commit that was applied last, "" when there is none
	Contains     bool          `json:"contains"`      // Prior contains the policy's minimum, which was proven before
	AllowRewrite bool          `json:"allow_rewrite"` // the host's config follows a branch that does not continue from Prior
}

// prove goes in order: who signed it, and where it comes from. What it believes
// are objects with their hashes, never what the fetch says about them.
func (p Proof) prove(repo *source.Repo, o Offer) (signer string, err error) {
	signer, err = repo.Verify(p.Policy, source.Candidate{Tip: o.Tip, TagName: o.Remote.Tag, Prior: p.Prior})
	if err != nil {
		return "", err
	}
	continues, err := p.continues(repo, o.Tip.Commit)
	if err != nil {
		return "", err
	}
	if !continues && !p.AllowRewrite {
		return "", &source.Error{Reason: source.Rewritten, Text: fmt.Sprintf(
			"cannot use commit %q: the branch was rewritten: it does not continue from %q, which was applied here (allow_rewritten: true in the host's config follows it)",
			o.Tip.Commit, p.Prior)}
	}
	return signer, p.checkMinimum(repo, o.Tip.Commit, continues)
}

func (p Proof) continues(repo *source.Repo, commit string) (bool, error) {
	if p.Prior == "" {
		return true, nil
	}
	ancestry, err := repo.Ancestry(p.Prior, commit)
	return ancestry == source.Same || ancestry == source.Forward, err
}

// checkMinimum asks for a commit that the host's config names. What continues
// from a commit that contains it contains it too.
func (p Proof) checkMinimum(repo *source.Repo, commit string, continues bool) error {
	minimum := p.Policy.Minimum
	if minimum == "" || p.Contains && continues && p.Prior != "" {
		return nil
	}
	ancestry, err := repo.Ancestry(minimum, commit)
	if err != nil {
		return err
	}
	if ancestry != source.Same && ancestry != source.Forward {
		return &source.Error{Reason: source.TooOld, Text: fmt.Sprintf(
			"cannot use commit %q: it does not contain %q, which the host's config names as minimum_commit, as far as its history can be had", commit, minimum)}
	}
	return nil
}

// question is what the proof will ask of the history.
func (p Proof) question(others ...string) source.Question {
	q := source.Question{Old: append([]string{p.Prior}, others...)}
	if !p.Contains {
		q.Old = append(q.Old, p.Policy.Minimum)
	}
	if p.Policy.Asks() && p.Policy.Scope == source.AllSigned {
		q.All = p.Prior
	}
	return q
}

// ChooseRequest asks a child which of several commits is the most advanced of
// those that are proven.
type ChooseRequest struct {
	Offers []Offer `json:"offers"` // in the order of the config
	Trust  Proof   `json:"trust"`
}

// ChooseReply is the answer.
type ChooseReply struct {
	Best     int             `json:"best"`     // -1 when none is proven
	Failures []*source.Error `json:"failures"` // for each offer, nil when it is proven
}

// ChooseChild lets a child judge commits that remotes do not agree on.
func ChooseChild(ctx context.Context, request ChooseRequest) (ChooseReply, error) {
	var reply ChooseReply
	as, err := accountFor(renderUser, request.Offers[0].Remote)
	for _, o := range request.Offers {
		if _, local := o.Remote.Local(); !local && err == nil {
			as, err = accountFor(renderUser, o.Remote)
		}
	}
	if err != nil {
		return reply, err
	}
	err = runChild(ctx, job{kind: "child-choose", doing: "compare what the repositories offer", request: request, as: as}, &reply)
	if err == nil && (reply.Best >= len(request.Offers) || len(reply.Failures) != len(request.Offers)) {
		err = &ChildError{"compare what the repositories offer", "the child's answer cannot be read"}
	}
	return reply, err
}

func chooseInChild(_ context.Context, input []byte) (any, error) {
	var request ChooseRequest
	if err := json.Unmarshal(input, &request); err != nil {
		return nil, err
	}
	return request.choose(), nil
}

// choose takes the first offer that is proven, and each later one that contains
// the one before. So remotes that have parted are an order of preference.
func (r ChooseRequest) choose() ChooseReply {
	reply := ChooseReply{Best: -1, Failures: make([]*source.Error, len(r.Offers))}
	for i, o := range r.Offers {
		further := false
		err := func() error {
			repo, err := source.OpenFetched(o.Remote, o.Dir)
			if err != nil {
				return err
			}
			defer repo.Close()
			if _, err := r.Trust.prove(repo, o); err != nil || reply.Best < 0 {
				return err
			}
			ancestry, err := repo.Ancestry(r.Offers[reply.Best].Tip.Commit, o.Tip.Commit)
			further = ancestry == source.Forward
			return err
		}()
		switch {
		case err != nil:
			reply.Failures[i] = asSourceError(err)
		case reply.Best < 0 || further:
			reply.Best = i
		}
	}
	return reply
}
