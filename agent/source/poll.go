package source

import (
	"context"
	"errors"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// pollTime bounds one question for the head of the branch.
const pollTime = 30 * time.Second

var (
	errIsDir  = errors.New("is a directory")
	errNotDir = errors.New("is not a directory")
)

// Poller asks again and again where one branch points. Over http it keeps its
// connection and, where the server speaks protocol v2, asks for this branch
// alone. It is for one goroutine at a time.
type Poller struct {
	remote Remote
	http   *httpServer
}

// NewPoller makes a Poller. Nothing is read or dialled before Head.
func NewPoller(remote Remote) *Poller { return &Poller{remote: remote} }

// Head gives the commit that the branch points at now. Errors are of type *Error.
func (p *Poller) Head(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, pollTime, errDeadline)
	defer cancel()
	at, err := p.remote.place()
	head := plumbing.ZeroHash
	if err == nil {
		head, err = p.head(ctx, at)
	}
	if err != nil {
		if reasonOf(err) == AuthFailed {
			p.Close() // the CA file is read when the client is made
		}
		secrets, _ := p.remote.credentials(at.user)
		return "", public("look at", p.remote.shown(), secrets, err)
	}
	return head.String(), nil
}

func (p *Poller) head(ctx context.Context, at place) (plumbing.Hash, error) {
	switch {
	case at.scheme == "local":
		return localHead(at.path, p.remote.Branch)
	case at.scheme == "ssh":
		s, err := newSSHServer(p.remote, at)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		return s.head(ctx, p.remote.Branch)
	}
	if p.http == nil {
		s, err := newHTTPServer(p.remote, at)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		p.http = s
	}
	return p.http.head(ctx, p.remote.Branch)
}

// Close ends the connection that Head keeps; Head may be called again.
func (p *Poller) Close() {
	if p.http != nil {
		p.http.close()
		p.http = nil
	}
}

// Head asks once. Whoever asks again and again wants a Poller.
func Head(ctx context.Context, remote Remote) (string, error) {
	p := NewPoller(remote)
	defer p.Close()
	return p.Head(ctx)
}
