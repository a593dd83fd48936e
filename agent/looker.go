package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"evenkeel/agent/source"
)

// looker asks one remote where it stands: in this process when that is not root,
// else through a child. It is for one goroutine at a time.
type looker struct {
	remote source.Remote
	direct *source.Poller
	child  *pollChild
	has    *heard        // what the child said by itself, until Tip gives it
	every  time.Duration // in which the child looks by itself
	took   time.Time     // when it was taken
}

// Tip is that of source.Poller. What the child said by itself, see take, is given once.
func (l *looker) Tip(ctx context.Context) (source.Tip, error) {
	fresh := l.child == nil
	if err := l.open(); err != nil {
		return source.Tip{}, err
	}
	if l.direct != nil {
		return l.direct.Tip(ctx)
	}
	seen, err := l.ask(ctx)
	var own *source.Error
	if errors.As(err, &own) && own.Reason == source.AuthFailed {
		// It holds the files as they were; they may have been replaced since.
		l.Close()
		if !fresh && l.open() == nil && l.child != nil {
			return l.ask(ctx)
		}
	}
	return seen, err
}

// open decides who looks, and gets him ready.
func (l *looker) open() error {
	if l.direct != nil || l.child != nil {
		return nil
	}
	as, err := accountFor(fetchUser, l.remote)
	switch {
	case err != nil:
		return err
	case as == nil:
		l.direct = source.NewPoller(l.remote)
		return nil
	}
	l.child, err = startPollChild(l.remote, as)
	return err
}

func (l *looker) ask(ctx context.Context) (source.Tip, error) {
	var said heard
	if l.has != nil {
		said, l.has = *l.has, nil
	} else {
		said.tip, said.err = l.child.ask(ctx)
	}
	var own *source.Error
	if said.err != nil && !errors.As(said.err, &own) { // it is gone, or must go
		l.Close()
		if ctx.Err() != nil {
			return source.Tip{}, context.Cause(ctx)
		}
		said.err = &source.Error{Reason: source.Limit, Text: fmt.Sprintf("cannot look at the repository: %v", said.err)}
	}
	return said.tip, said.err
}

// keep makes the child go on looking by itself, if there is one, and reports whether it does.
func (l *looker) keep(every, phase time.Duration) bool {
	l.has, l.every = nil, every
	if l.child == nil {
		return false
	}
	if l.child.keeps {
		return true
	}
	if l.child.tell(fmt.Appendf(nil, "%s %d %d\n", orderKeep, every, phase), pollOrderTime) != nil {
		l.Close() // it does not even read
		return false
	}
	l.child.keeps = true
	return true
}

// rest ends that, and forgets what the child said by itself.
func (l *looker) rest() {
	l.has = nil
	if l.child == nil || !l.child.keeps {
		return
	}
	l.child.keeps = false
	if l.child.tell([]byte(orderRest+"\n"), pollOrderTime) != nil {
		l.Close()
	}
}

// says is what the child says by itself; nil when nobody told it to go on.
func (l *looker) says() chan heard {
	if l.child == nil || !l.child.keeps {
		return nil
	}
	return l.child.said
}

// take keeps for Tip what came from says. It reports whether that is of use. What comes too
// soon after the last is not: several were waiting, or the child, which nobody trusts, would
// keep the daemon busy. Then the child rests.
func (l *looker) take(said heard, open bool, now time.Time) bool {
	soon := now.Sub(l.took) < l.every/3
	l.took = now
	switch {
	case !open:
		said = heard{err: l.child.lost, news: true}
	case soon, said.looks != l.child.looks:
		l.rest()
		return false
	}
	l.has, l.child.keeps = &said, !said.news
	return true
}

// Close ends the child or the connection; Tip may be called again.
func (l *looker) Close() {
	l.has = nil
	if l.direct != nil {
		l.direct.Close()
		l.direct = nil
	}
	if l.child != nil {
		l.child.end()
		l.child = nil
	}
}

// pollChild is the daemon's side of a child that asks; see pollAsker.
type pollChild struct {
	ends  func() // kills it, and waits until it is gone
	in    *os.File
	out   *os.File
	say   source.Quiet // to in
	said  chan heard   // what comes out; closed when there will be nothing more
	lost  error        // why not
	gone  chan struct{}
	looks int  // that it was told to make
	keeps bool // it looks by itself
}

func startPollChild(remote source.Remote, as *account) (*pollChild, error) {
	files, done, err := openFor(remote)
	if err != nil {
		return nil, err
	}
	defer done()
	input, err := json.Marshal(pollRequest{remote, describe(files)})
	if err != nil {
		return nil, err
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	defer theirOut.Close()
	p := &pollChild{in: in, out: out, said: make(chan heard), gone: make(chan struct{})}
	hear, err := source.NewQuiet(out)
	if err == nil {
		p.say, err = source.NewQuiet(in)
	}
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	if p.ends, err = startChild(childPoll, job{files: files, as: as}, theirIn, theirOut); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	go p.hear(bufio.NewReaderSize(hear, maxPollAnswer))
	if err := p.tell(append(input, '\n'), pollAnswerTime); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// hear hands on what the child says. What was said and not taken keeps the next answer in
// the pipe.
func (p *pollChild) hear(text *bufio.Reader) {
	defer close(p.said)
	var got answers
	for {
		line, err := text.ReadSlice('\n')
		if err != nil {
			p.lost = fmt.Errorf("the child that asks gave no answer: %w", err)
			return
		}
		said, err := got.read(line)
		if err != nil {
			p.lost = err
			return
		}
		select {
		case p.said <- said:
		case <-p.gone:
			return
		}
	}
}

func (p *pollChild) tell(text []byte, within time.Duration) error {
	if err := p.in.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err := p.say.Write(text)
	return err
}

// ask makes it look now.
func (p *pollChild) ask(ctx context.Context) (source.Tip, error) {
	if ctx.Err() != nil {
		return source.Tip{}, ctx.Err()
	}
	p.looks++
	p.keeps = false
	if err := p.tell([]byte(orderLook+"\n"), pollAnswerTime); err != nil {
		return source.Tip{}, err
	}
	late := time.NewTimer(pollAnswerTime)
	defer late.Stop()
	for range maxOlderAnswers {
		select {
		case said, open := <-p.said:
			switch {
			case !open:
				return source.Tip{}, p.lost
			case said.looks == p.looks:
				return said.tip, said.err
			}
		case <-ctx.Done():
			return source.Tip{}, ctx.Err()
		case <-late.C:
			return source.Tip{}, fmt.Errorf("the child that asks gave no answer: %w", os.ErrDeadlineExceeded)
		}
	}
	return source.Tip{}, errors.New("the child that asks says more than it was asked")
}

// maxOlderAnswers bounds what the child may have said before it heard of a look: as much as
// a pipe holds, when the daemon stood still for a while.
const maxOlderAnswers = 2000

// end kills the child, which has nothing to lose, and waits until it is gone.
func (p *pollChild) end() {
	close(p.gone)
	_ = p.in.Close()
	p.ends()
	_ = p.out.Close()
}
