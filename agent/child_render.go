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
	Offer      Offer            `json:"offer"`
	Trust      Proof            `json:"trust"`
	Path       string           `json:"path"`           // directory of the repository that holds fleet.yaml
	Tree       string           `json:"tree,omitempty"` // a directory to render as it stands, in the place of all of the above
	Facts      manifest.Facts   `json:"facts"`
	Options    manifest.Options `json:"options"`
	Only       []string         `json:"only,omitempty"`       // the paths of which the contents, and nothing else, shall be in the target
	Faults     []string         `json:"faults,omitempty"`     // why identities cannot be used
	Identities int              `json:"identities,omitempty"` // how many files with identities the child gets as descriptors
}

// RenderReply is a target, or what keeps the commit from having one. Exactly
// one of Target and Problems is set.
type RenderReply struct {
	Info     source.Info       `json:"info"`
	Signer   string            `json:"signer,omitempty"` // "" when the host asks for no signature
	Minimum  string            `json:"-"`                // minimum_commit, which it was proven to contain
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
	as, err := request.account()
	if err != nil {
		return RenderReply{}, err
	}
	doing := fmt.Sprintf("render commit %q", request.Offer.Tip.Commit)
	if request.Tree != "" {
		doing = fmt.Sprintf("render the directory %q", request.Tree)
	}
	request.Identities = len(identities)
	if err := runChild(ctx, job{kind: "child-render", doing: doing, request: request, files: identities, as: as}, &answer); err != nil {
		return RenderReply{}, err
	}
	if answer.Failure != nil {
		return RenderReply{Info: answer.Info}, answer.Failure
	}
	answer.Minimum = request.Trust.Policy.Minimum
	return answer.RenderReply, nil
}

// account is who renders. A directory is read as its owner, as a repository on
// this disk is.
func (r RenderRequest) account() (*account, error) {
	switch {
	case r.Tree == "":
		return accountFor(renderUser, r.Offer.Remote)
	case os.Geteuid() != 0:
		return nil, nil
	}
	return ownerOf(r.Tree), nil
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

// render goes in the order of trust: the commit object, who signed it, where it
// comes from, its tree as a whole, and only then what the files say.
func (r RenderRequest) render() (reply RenderReply, err error) {
	if r.Tree != "" {
		reply.Target, err = manifest.Load(os.DirFS(r.Tree), r.Facts, r.Options)
		return reply, err
	}
	repo, err := source.OpenFetched(r.Offer.Remote, r.Offer.Dir)
	if err != nil {
		return reply, err
	}
	defer repo.Close()
	if r.Options.Limits.FileBytes > 0 {
		repo.Limits.Blob = r.Options.Limits.FileBytes
	}
	commit := r.Offer.Tip.Commit
	if reply.Info, err = repo.Commit(commit); err != nil {
		return reply, err
	}
	if reply.Signer, err = r.Trust.prove(repo, r.Offer); err != nil {
		return reply, err
	}
	tree, err := repo.Tree(commit, r.Path)
	if err != nil {
		return reply, err
	}
	if len(r.Only) > 0 {
		content, err := manifest.Contents(tree, r.Facts, r.Options, r.Only)
		reply.Target = &plan.Target{Commit: commit, Content: content}
		return reply, err
	}
	target, err := manifest.Load(tree, r.Facts, r.Options)
	if err != nil {
		return reply, err
	}
	target.Commit = commit
	trailers, err := repo.Trailers(r.Trust.Prior, commit)
	if err != nil {
		return reply, err
	}
	if err := heedTrailers(target, trailers); err != nil {
		return reply, err
	}
	reply.Target = target
	return reply, nil
}

func problemsOf(faulty *source.TreeError) manifest.Problems {
	var problems manifest.Problems
	for _, f := range faulty.Faults {
		problems = append(problems, manifest.Problem{File: f.Path, Message: f.Message, Hint: f.Hint})
	}
	return problems
}
