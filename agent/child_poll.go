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
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"evenkeel/agent/source"
)

// A look at a server parses what it sends as well, so it is not made by root.
// But a process for each look would cost more than the look: this one stays, and
// keeps its connection.
//
//	daemon -- pollRequest, then an order, a line each -->      child
//	daemon <-- pollAnswer, a line for each look it is told of -- child
//
// The orders:
//
//	look              look now, and answer
//	keep EVERY PHASE  go on looking by your own clock (see untilPhase; nanoseconds), and
//	                  answer when there is news, or nothing was said for pollSilence
//	rest              do not go on
//
// So the daemon of a host without news sleeps while the child looks. News, and a look, end
// what keep began: how it goes on depends on what the daemon makes of them.

const (
	childPoll = "child-poll"

	orderLook = "look"
	orderKeep = "keep"
	orderRest = "rest"

	// pollAnswerTime is longer than two looks may take, of 40 s: one may be under way.
	pollAnswerTime = 90 * time.Second
	// pollLate is how much longer than it should a child that looks by itself may take.
	pollLate = time.Minute
	// pollOrderTime is for an order that nobody waits for the answer of.
	pollOrderTime = time.Second
	// pollSilence is how long the child says nothing when there is nothing to say. The daemon
	// takes what it says for its beat.
	pollSilence   = beat * 4 / 5
	maxPollAnswer = 64 << 10
)

type pollRequest struct {
	Remote source.Remote `json:"remote"`
	Files  descriptors   `json:"files"`
}

type pollAnswer struct {
	Looks   int           `json:"looks"` // that were ordered so far
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
	clock, err := newAlarm()
	if err != nil {
		return err
	}
	defer clock.close()
	a := &pollAsker{poller: source.NewPoller(request.Remote), out: stdout, clock: clock}
	defer a.poller.Close()
	failed := make(chan error, 2)
	go func() { failed <- a.heedOrders(io.MultiReader(in.Buffered(), stdin)) }()
	go func() { failed <- a.heedClock() }()
	return <-failed
}

// pollAsker is the child's side.
type pollAsker struct {
	poller *source.Poller
	out    io.Writer
	clock  *alarm

	mu      sync.Mutex // over a whole look
	answers answers
	looks   int           // that were ordered
	every   time.Duration // between two looks by the clock, 0 when there are none
	phase   time.Duration
	said    time.Time // the last answer
}

func (a *pollAsker) heedOrders(orders io.Reader) error {
	lines := bufio.NewScanner(orders)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue // the end of the request's own line
		}
		if err := a.heed(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (a *pollAsker) heed(order string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	verb, how, _ := strings.Cut(order, " ")
	a.every = 0
	switch verb {
	case orderLook:
		a.looks++
		return a.say(a.poller.Tip(context.Background()))
	case orderKeep:
		if _, err := fmt.Sscan(how, &a.every, &a.phase); err != nil || a.every <= 0 {
			return fmt.Errorf("cannot read the order %q", order)
		}
		return a.setClock()
	}
	return nil
}

func (a *pollAsker) heedClock() error {
	for {
		if err := a.clock.wait(); err != nil {
			return err
		}
		if err := a.lookByClock(); err != nil {
			return err
		}
	}
}

func (a *pollAsker) lookByClock() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.every == 0 {
		return nil
	}
	seen, failure := a.poller.Tip(context.Background())
	if failure != nil || !a.answers.isLast(seen) {
		a.every = 0
		return a.say(seen, failure)
	}
	if time.Since(a.said) >= pollSilence {
		if err := a.say(seen, nil); err != nil {
			return err
		}
	}
	return a.setClock()
}

func (a *pollAsker) setClock() error {
	return a.clock.set(jitter(untilPhase(time.Now(), a.every, a.phase)))
}

func (a *pollAsker) say(seen source.Tip, failure error) error {
	line, err := a.answers.line(a.looks, seen, failure)
	if err == nil {
		_, err = a.out.Write(line)
	}
	a.said = time.Now()
	return err
}

// answers remembers the last one, which most others repeat, as it is written and read.
type answers struct {
	looks   int
	tip     source.Tip
	written []byte // a line, nil when the last one was no tip
}

// isLast reports whether the last answer was this tip.
func (a *answers) isLast(seen source.Tip) bool { return a.written != nil && seen == a.tip }

// line is an answer as it is written.
func (a *answers) line(looks int, seen source.Tip, failure error) ([]byte, error) {
	if failure == nil && a.isLast(seen) && looks == a.looks {
		return a.written, nil
	}
	a.written = nil
	answer := pollAnswer{Looks: looks, Tip: seen}
	if failure != nil {
		answer = pollAnswer{Looks: looks, Failure: asSourceError(failure)}
	}
	line, err := json.Marshal(answer)
	line = append(line, '\n')
	if err == nil && failure == nil {
		a.looks, a.tip, a.written = looks, seen, line
	}
	return line, err
}

// heard is an answer, as the daemon takes it.
type heard struct {
	looks int
	tip   source.Tip
	err   error
	news  bool // it is another than the one before
}

// read is the answer that a line is. The line may be overwritten afterwards.
func (a *answers) read(line []byte) (heard, error) {
	if bytes.Equal(line, a.written) {
		return heard{looks: a.looks, tip: a.tip}, nil
	}
	a.written = nil
	var answer pollAnswer
	if err := json.Unmarshal(line, &answer); err != nil {
		return heard{}, errors.New("the answer of the child that asks cannot be read")
	}
	if answer.Failure != nil {
		return heard{looks: answer.Looks, err: answer.Failure, news: true}, nil
	}
	a.looks, a.tip, a.written = answer.Looks, answer.Tip, bytes.Clone(line)
	return heard{looks: answer.Looks, tip: answer.Tip, news: true}, nil
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
