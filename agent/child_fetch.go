package agent

import (
	"context"
	"encoding/json"
	"errors"

	"evenkeel/agent/source"
)

// FetchRequest asks a child for what a remote follows.
type FetchRequest struct {
	Remote source.Remote   `json:"remote"`
	Dir    string          `json:"dir"`   // cache directory; deleting it is always safe
	Anew   bool            `json:"anew"`  // the clone that is there is damaged
	About  source.Question `json:"about"` // what will be asked of the history
	Files  descriptors     `json:"files"` // set by FetchChild
}

// fetchAnswer is what travels through the pipe.
type fetchAnswer struct {
	Tip     source.Tip    `json:"tip"`
	Failure *source.Error `json:"failure,omitempty"`
}

// FetchChild fetches in a child, which is not root. The error is a
// *source.Error, also when the child died of what the server sent, unless ctx
// ended or no child could be started.
func FetchChild(ctx context.Context, request FetchRequest) (source.Tip, error) {
	as, err := accountFor(fetchUser, request.Remote)
	if err != nil {
		return source.Tip{}, err
	}
	if err := as.ownDir(request.Dir, request.Remote); err != nil {
		return source.Tip{}, err
	}
	files, done, err := openFor(request.Remote)
	if err != nil {
		return source.Tip{}, err
	}
	defer done()
	request.Files = describe(files)
	var answer fetchAnswer
	err = runChild(ctx, job{kind: "child-fetch", doing: "fetch from the repository", request: request, files: files, as: as}, &answer)
	var died *ChildError
	switch {
	case errors.As(err, &died):
		return source.Tip{}, &source.Error{Reason: source.Limit, Text: died.Error()}
	case err != nil:
		return source.Tip{}, err
	case answer.Failure != nil:
		return source.Tip{}, answer.Failure
	}
	return answer.Tip, nil
}

func fetchInChild(ctx context.Context, input []byte) (any, error) {
	var request FetchRequest
	if err := json.Unmarshal(input, &request); err != nil {
		return nil, err
	}
	request.Remote.Auth.Open = request.Files.open
	fetch := source.Fetch
	if request.Anew {
		fetch = source.FetchAnew
	}
	got, err := fetch(ctx, request.Remote, request.Dir)
	if err == nil {
		err = source.Reach(ctx, request.Remote, request.Dir, got, request.About)
	}
	if err != nil {
		return fetchAnswer{Failure: asSourceError(err)}, nil
	}
	return fetchAnswer{Tip: got}, nil
}

// asSourceError keeps the reason of an error that has one.
func asSourceError(err error) *source.Error {
	var own *source.Error
	if errors.As(err, &own) {
		return own
	}
	return &source.Error{Reason: source.Garbage, Text: err.Error()}
}
