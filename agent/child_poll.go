package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"evenkeel/agent/source"
)

// A look at a server parses what it sends as well, so it is not made by root.
// But a process for each look would cost more than the look: this one stays, and
// keeps its connection.
//
//	daemon -- pollRequest, then an empty line for each look --> child
//	daemon <-- pollAnswer, a line for each --                   child

const (
	childPoll = "child-poll"

	// pollAnswerTime is longer than a look may take.
	pollAnswerTime = 45 * time.Second
	maxPollAnswer  = 64 << 10
)

type pollRequest struct {
	Remote source.Remote `json:"remote"`
	Files  descriptors   `json:"files"`
}

type pollAnswer struct {
	Tip     source.Tip    `json:"tip"`
	Failure *source.Error `json:"failure,omitempty"`
}

func pollInChild(stdin io.Reader, stdout io.Writer) error {
	runtime.GOMAXPROCS(1) // it does one thing at a time; a second thread would have to be woken
	if pipe, is := waitable(stdin); is {
		stdin = pipe
	}
	if pipe, is := waitable(stdout); is {
		stdout = pipe
	}
	in := json.NewDecoder(io.LimitReader(stdin, maxChildRequest))
	var request pollRequest
	if err := in.Decode(&request); err != nil {
		return err
	}
	request.Remote.Auth.Open = request.Files.open
	poller := source.NewPoller(request.Remote)
	defer poller.Close()
	var answers answers
	for looks := bufio.NewScanner(io.MultiReader(in.Buffered(), stdin)); looks.Scan(); {
		if len(looks.Bytes()) == 0 {
			continue // the end of the request's own line
		}
		line, err := answers.line(poller.Tip(context.Background()))
		if err != nil {
			return err
		}
		if _, err := stdout.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// answers remembers the last one, which most others repeat, as it is written and read.
type answers struct {
	tip     source.Tip
	written []byte // a line, nil when the last one was no tip
}

// line is an answer as it is written.
func (a *answers) line(seen source.Tip, failure error) ([]byte, error) {
	if failure == nil && a.written != nil && seen == a.tip {
		return a.written, nil
	}
	a.written = nil
	answer := pollAnswer{Tip: seen}
	if failure != nil {
		answer = pollAnswer{Failure: asSourceError(failure)}
	}
	line, err := json.Marshal(answer)
	line = append(line, '\n')
	if err == nil && failure == nil {
		a.tip, a.written = seen, line
	}
	return line, err
}

// read is the answer that a line is. The line may be overwritten afterwards.
func (a *answers) read(line []byte) (source.Tip, error) {
	if bytes.Equal(line, a.written) {
		return a.tip, nil
	}
	a.written = nil
	var answer pollAnswer
	if err := json.Unmarshal(line, &answer); err != nil {
		return source.Tip{}, errors.New("the answer of the child that asks cannot be read")
	}
	if answer.Failure != nil {
		return source.Tip{}, answer.Failure
	}
	a.tip, a.written = answer.Tip, bytes.Clone(line)
	return answer.Tip, nil
}

// waitable makes the Go runtime wait for a pipe as it waits for a connection. Else
// a read keeps a thread in the kernel, and each look wakes another one for its work.
func waitable(pipe any) (source.Quiet, bool) {
	file, is := pipe.(*os.File)
	if !is || unix.SetNonblock(int(file.Fd()), true) != nil {
		return source.Quiet{}, false
	}
	quiet, err := source.NewQuiet(os.NewFile(file.Fd(), file.Name()))
	return quiet, err == nil
}

// looker asks one remote where it stands: in this process when that is not root,
// else through a child. It is for one goroutine at a time.
type looker struct {
	remote source.Remote
	direct *source.Poller
	child  *pollChild
}

// Tip is that of source.Poller.
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
	seen, err := l.child.ask(ctx)
	var own *source.Error
	if err != nil && !errors.As(err, &own) { // it is gone, or must go
		l.Close()
		if ctx.Err() != nil {
			return seen, context.Cause(ctx)
		}
		err = &source.Error{Reason: source.Limit, Text: fmt.Sprintf("cannot look at the repository: %v", err)}
	}
	return seen, err
}

// Close ends the child or the connection; Tip may be called again.
func (l *looker) Close() {
	if l.direct != nil {
		l.direct.Close()
		l.direct = nil
	}
	if l.child != nil {
		l.child.end()
		l.child = nil
	}
}

type pollChild struct {
	ends func() // kills it, and waits until it is gone
	in   *os.File
	out  *os.File
	say  source.Quiet // to in
	text *bufio.Reader
	got  answers
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
	p := &pollChild{in: in, out: out}
	hear, err := source.NewQuiet(out)
	if err == nil {
		p.say, err = source.NewQuiet(in)
	}
	if err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	p.text = bufio.NewReaderSize(hear, maxPollAnswer)
	if p.ends, err = startChild(childPoll, job{files: files, as: as}, theirIn, theirOut); err != nil {
		return nil, errors.Join(err, in.Close(), out.Close())
	}
	if err := p.tell(append(input, '\n')); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

func (p *pollChild) tell(text []byte) error {
	if err := p.in.SetWriteDeadline(time.Now().Add(pollAnswerTime)); err != nil {
		return err
	}
	_, err := p.say.Write(text)
	return err
}

func (p *pollChild) ask(ctx context.Context) (source.Tip, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.out.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := p.out.SetReadDeadline(time.Now().Add(pollAnswerTime)); err != nil {
		return source.Tip{}, err
	}
	if ctx.Err() != nil {
		return source.Tip{}, ctx.Err()
	}
	if err := p.tell([]byte("look\n")); err != nil {
		return source.Tip{}, err
	}
	line, err := p.text.ReadSlice('\n')
	if err != nil {
		return source.Tip{}, fmt.Errorf("the child that asks gave no answer: %w", err)
	}
	return p.got.read(line)
}

// end kills the child, which has nothing to lose, and waits until it is gone.
func (p *pollChild) end() {
	_ = p.in.Close()
	p.ends()
	_ = p.out.Close()
}
