package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"
	"unicode"
)

// Reason says in one word why the repository gave nothing. It is shown in
// status and is a metric label, so the set is closed.
type Reason string

// The reasons.
const (
	Unreachable Reason = "unreachable" // no answer, an answer cut short, or a server that says it cannot
	AuthFailed  Reason = "auth"        // who we are, or who the server is, was not accepted
	NoBranch    Reason = "no-branch"   // the repository has no such branch
	Garbage     Reason = "garbage"     // an answer or an object that is not what Git would write
	Limit       Reason = "limit"       // larger than we are willing, or this disk is able, to take
	Rewritten   Reason = "rewritten"   // the branch does not continue from the commit that was applied

	BadSignature Reason = "signature" // nobody whom the host's config names signed it
	TooOld       Reason = "too-old"   // it does not contain the commit that the host's config names as the oldest
)

// Error is why a commit could not be had. The text is a whole sentence of the
// form "cannot fetch ...: cause", holds no credential, and survives a pipe as
// JSON.
type Error struct {
	Reason Reason `json:"reason"`
	Text   string `json:"text"`

	// RetryAfter is how long the server asks to be left alone, 0 when it does not.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	// Answered says that the server was reached and is out of order itself.
	Answered bool `json:"answered,omitempty"`
}

// Error gives the text.
func (e *Error) Error() string { return e.Text }

// errStalled is the cause of a context that ended because no byte came.
var errStalled = errors.New("the server sent nothing for too long")

// fail makes an Error without the leading "cannot ...", which the exported
// functions put in front once.
func fail(reason Reason, format string, args ...any) error {
	return &Error{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// reasonOf sorts an error: one of ours keeps its reason, what comes from the
// network is Unreachable, a certificate that does not hold is AuthFailed, our own
// disk is Limit, and whatever is left was an answer we cannot read.
func reasonOf(err error) Reason {
	var own *Error
	var cert *tls.CertificateVerificationError
	var network net.Error
	var file *fs.PathError
	var refused *net.OpError
	switch {
	case errors.As(err, &own):
		return own.Reason
	case errors.As(err, &cert):
		return AuthFailed
	case errors.As(err, &refused) && refused.Op == "remote error" && strings.Contains(refused.Err.Error(), "certificate"):
		return AuthFailed // the server's word on our own certificate
	case errors.As(err, &file):
		return Limit // before the network: the numbers of the system look like errors of it
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, errStalled), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.As(err, &network):
		return Unreachable
	}
	return Garbage
}

// public turns any error into the *Error that leaves the package: what was
// tried in front, every form of the credentials taken out, those for proxies as well.
func public(verb, thing string, secrets credentials, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Reason: reasonOf(err), Text: fmt.Sprintf("cannot %s %q: %s", verb, thing, scrubProxies(secrets.scrub(err.Error())))}
	var own *Error
	if errors.As(err, &own) {
		e.RetryAfter, e.Answered = own.RetryAfter, own.Answered
	}
	return e
}

// cutOff is where a text was cut.
const cutOff = "..."

// printable is the first line of what a server or a commit says, cut to max
// bytes, without anything that a terminal would act on.
func printable(text string, max int) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	if len(text) > max {
		text = strings.ToValidUTF8(text[:max], "") + cutOff
	}
	return text
}
