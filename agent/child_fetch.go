package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"evenkeel/agent/source"
)

// FetchRequest asks a child for the newest commit of a branch.
type FetchRequest struct {
	Remote source.Remote `json:"remote"`
	Dir    string        `json:"dir"`   // cache directory; deleting it is always safe
	Prior  string        `json:"prior"` // the commit that was applied last, "" when there is none
}

// FetchReply is what was fetched.
type FetchReply struct {
	Commit   string          `json:"commit"`
	Ancestry source.Ancestry `json:"ancestry,omitempty"` // how Commit stands to Prior; "" without a Prior
}

// fetchAnswer is what travels through the pipe.
type fetchAnswer struct {
	FetchReply
	Failure *source.Error `json:"failure,omitempty"`
}

// FetchChild fetches in a child. The error is a *source.Error, also when the
// child died of what the server sent, unless ctx ended or no child could be
// started.
func FetchChild(ctx context.Context, request FetchRequest) (FetchReply, error) {
	var answer fetchAnswer
	doing := fmt.Sprintf("fetch branch %q", request.Remote.Branch)
	err := runChild(ctx, "child-fetch", doing, request, &answer)
	var died *ChildError
	switch {
	case errors.As(err, &died):
		return FetchReply{}, &source.Error{Reason: source.Limit, Text: died.Error()}
	case err != nil:
		return FetchReply{}, err
	case answer.Failure != nil:
		return FetchReply{}, answer.Failure
	}
	return answer.FetchReply, nil
}

func fetchInChild(ctx context.Context, input []byte) (any, error) {
	var request FetchRequest
	if err := json.Unmarshal(input, &request); err != nil {
		return nil, err
	}
	commit, err := source.Fetch(ctx, request.Remote, request.Dir)
	if err != nil {
		return fetchAnswer{Failure: asSourceError(err)}, nil
	}
	answer := fetchAnswer{FetchReply: FetchReply{Commit: commit}}
	if request.Prior != "" {
		answer.Ancestry, err = source.Relate(ctx, request.Remote, request.Dir, request.Prior, commit)
		if err != nil {
			return fetchAnswer{Failure: asSourceError(err)}, nil
		}
	}
	return answer, nil
}

// asSourceError keeps the reason of an error that has one.
func asSourceError(err error) *source.Error {
	var own *source.Error
	if errors.As(err, &own) {
		return own
	}
	return &source.Error{Reason: source.Garbage, Text: err.Error()}
}
