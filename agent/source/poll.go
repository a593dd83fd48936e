package source

import (
	"context"
	"errors"
	"time"
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
	at     *place // the remote's URL taken apart, nil when that was not done yet
	http   *httpServer
}

// NewPoller makes a Poller. Nothing is read or dialled before Tip.
func NewPoller(remote Remote) *Poller { return &Poller{remote: remote} }

// Tip gives the commit that is followed, as it is now. Errors are of type *Error.
func (p *Poller) Tip(ctx context.Context) (Tip, error) {
	seen, err := p.look(ctx)
	if err != nil {
		if reasonOf(err) == AuthFailed {
			p.Close() // the CA file is read when the client is made
		}
		user := ""
		if p.at != nil {
			user = p.at.user
		}
		secrets, _ := p.remote.credentials(user)
		return Tip{}, public("look at", p.remote.shown(), secrets, err)
	}
	return seen.public(), nil
}

// look asks in the short way, where there is one.
func (p *Poller) look(ctx context.Context) (tip, error) {
	if p.http != nil {
		if seen, known, err := p.http.again(ctx); known {
			return seen, err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, pollTime, errDeadline)
	defer cancel()
	at, err := p.place()
	if err != nil {
		return tip{}, err
	}
	return p.tip(ctx, at)
}

func (p *Poller) place() (place, error) {
	if p.at != nil {
		return *p.at, nil
	}
	at, err := p.remote.place()
	if err == nil {
		p.at = &at
	}
	return at, err
}

func (p *Poller) tip(ctx context.Context, at place) (tip, error) {
	switch {
	case at.scheme == "local":
		return localTip(at.path, p.remote)
	case at.scheme == "ssh":
		s, err := newSSHServer(p.remote, at)
		if err != nil {
			return tip{}, err
		}
		return s.tip(ctx)
	}
	if p.http == nil {
		s, err := newHTTPServer(p.remote, at)
		if err != nil {
			return tip{}, err
		}
		p.http = s
	}
	return p.http.tip(ctx)
}

// Close ends the connection that Tip keeps; Tip may be called again.
func (p *Poller) Close() {
	if p.http != nil {
		p.http.close()
		p.http = nil
	}
}

// Head asks once, and gives the commit alone. Whoever asks again and again wants
// a Poller.
func Head(ctx context.Context, remote Remote) (string, error) {
	p := NewPoller(remote)
	defer p.Close()
	seen, err := p.Tip(ctx)
	return seen.Commit, err
}
