package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/agent/source"
)

// RenderRequest asks a child what a commit wants of this host.
type RenderRequest struct {
	Remote       source.Remote    `json:"remote"` // as in the FetchRequest; never dialled here
	Dir          string           `json:"dir"`
	Commit       string           `json:"commit"`
	Path         string           `json:"path"`          // directory of the repository that holds fleet.yaml
	Prior        string           `json:"prior"`         // the commit that was applied last, "" when there is none
	Ancestry     source.Ancestry  `json:"ancestry"`      // what the fetch found out about Prior, for when the cache does not reach back to it
	AllowRewrite bool             `json:"allow_rewrite"` // the host's config follows a branch that does not continue from Prior
	Facts        manifest.Facts   `json:"facts"`
	Options      manifest.Options `json:"options"`
	Faults       []string         `json:"faults,omitempty"`     // why identities cannot be used
	Identities   int              `json:"identities,omitempty"` // how many files with identities the child gets as descriptors
}

// RenderReply is a target, or what keeps the commit from having one. Exactly
// one of Target and Problems is set.
type RenderReply struct {
	Info     source.Info       `json:"info"`
	Target   *plan.Target      `json:"target,omitempty"`
	Problems manifest.Problems `json:"problems,omitempty"`
}

// renderAnswer is what travels through the pipe.
type renderAnswer struct {
	RenderReply
	Failure *source.Error `json:"failure,omitempty"`
}

// RenderChild opens a fetched commit, proves it, and renders it for this host,
// all in a child. The error is a *source.Error when the repository cannot be
// used, a *ChildError when rendering died of its limits; else ctx ended or no
// child could be started. The identities are files that stay the caller's.
func RenderChild(ctx context.Context, request RenderRequest, identities ...*os.File) (RenderReply, error) {
	var answer renderAnswer
	doing := fmt.Sprintf("render commit %q", request.Commit)
	request.Identities = len(identities)
	if err := runChild(ctx, "child-render", doing, request, &answer, identities...); err != nil {
		return RenderReply{}, err
	}
	if answer.Failure != nil {
		return RenderReply{Info: answer.Info}, answer.Failure
	}
	return answer.RenderReply, nil
}

func renderInChild(_ context.Context, input []byte) (any, error) {
	var request RenderRequest
	if err := json.Unmarshal(input, &request); err != nil {
		return nil, err
	}
	request.Options.Decrypt = (&locksmith{files: request.Identities, faults: request.Faults}).decrypt
	reply, err := request.render()
	answer := renderAnswer{RenderReply: reply}
	var problems manifest.Problems
	var faulty *source.TreeError
	switch {
	case errors.As(err, &problems):
		answer.Problems = problems
	case errors.As(err, &faulty):
		answer.Problems = problemsOf(faulty)
	case err != nil:
		answer.Failure = asSourceError(err)
	}
	return answer, nil
}

// render goes in the order of trust: the commit object, where it comes from,
// its tree as a whole, and only then what the files say.
func (r RenderRequest) render() (reply RenderReply, err error) {
	repo, err := source.OpenFetched(r.Remote, r.Dir)
	if err != nil {
		return reply, err
	}
	defer repo.Close()
	if r.Options.Limits.FileBytes > 0 {
		repo.Limits.Blob = r.Options.Limits.FileBytes
	}
	if reply.Info, err = repo.Commit(r.Commit); err != nil {
		return reply, err
	}
	if err := r.checkAncestry(repo); err != nil {
		return reply, err
	}
	tree, err := repo.Tree(r.Commit, r.Path)
	if err != nil {
		return reply, err
	}
	target, err := manifest.Load(tree, r.Facts, r.Options)
	if err != nil {
		return reply, err
	}
	target.Commit = r.Commit
	reply.Target = target
	return reply, nil
}

// checkAncestry refuses a branch that does not continue from what was applied:
// somebody may be putting an old state back.
func (r RenderRequest) checkAncestry(repo *source.Repo) error {
	if r.Prior == "" || r.AllowRewrite {
		return nil
	}
	ancestry, err := repo.Ancestry(r.Prior, r.Commit)
	if err != nil {
		return err
	}
	if ancestry == source.Unknown {
		ancestry = r.Ancestry
	}
	switch ancestry {
	case source.Same, source.Forward:
		return nil
	}
	return &source.Error{Reason: source.Rewritten, Text: fmt.Sprintf(
		"cannot use commit %q: the branch was rewritten: it does not continue from %q, which was applied here (allow_rewritten: true in the host's config follows it)",
		r.Commit, r.Prior)}
}

func problemsOf(faulty *source.TreeError) manifest.Problems {
	var problems manifest.Problems
	for _, f := range faulty.Faults {
		problems = append(problems, manifest.Problem{File: f.Path, Message: f.Message, Hint: f.Hint})
	}
	return problems
}
