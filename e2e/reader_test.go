//go:build e2e

package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"evenkeel/e2e/lab"
)

// reader reads managed files of a host again and again, as services might at any time.
// It remembers each content that nobody ever wrote there as a whole.
type reader struct {
	host *lab.Host

	mu      sync.Mutex // held for each read together with its judgement
	all     []string
	allowed map[string]map[string]bool // path -> what may be found there
	focus   []string                   // what somebody is about to change
	wrong   []string
	reads   int
}

// What is found at a path besides a text.
const (
	foundNothing = "nothing"
	foundOther   = "no file"
)

// newReader reads until the stop that it gives.
func newReader(h *lab.Host, paths []string) (r *reader, stop func()) {
	r = &reader{host: h, all: paths, allowed: map[string]map[string]bool{}}
	for _, p := range paths {
		r.allowed[p] = map[string]bool{r.find(p): true}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			case <-time.After(50 * time.Microsecond): // the machine has others to look after
			}
			r.round(i)
		}
	}()
	return r, sync.OnceFunc(func() { close(end); <-ended })
}

// round reads all that is about to change, and one more.
func (r *reader) round(i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range append([]string{r.all[i%len(r.all)]}, r.focus...) {
		r.reads++
		if found := r.find(p); !r.allowed[p][found] && len(r.wrong) < 10 {
			r.wrong = append(r.wrong, fmt.Sprintf("%s: %s, read %d", p, found, r.reads))
		}
	}
}

// allow says what may be found at a path from now on besides what may be anyway.
func (r *reader) allow(p string, found ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.allowed[p] == nil {
		return
	}
	for _, one := range found {
		r.allowed[p][one] = true
	}
	r.focus = append(r.focus, p)
}

// aside does something to a file in place, which a read in the middle would see half done.
func (r *reader) aside(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}

// settled says that all the paths are as they were in the beginning, and stay so.
func (r *reader) settled(good map[string]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.focus {
		r.allowed[p] = map[string]bool{good[p]: true}
	}
	r.focus = nil
}

// result is how often it read, and what it saw that it should not.
func (r *reader) result() (reads int, wrong []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reads, r.wrong
}

// find is what a program gets that reads a path.
func (r *reader) find(p string) string {
	// A pipe that stands there must not keep the reader.
	f, err := os.OpenFile(r.host.Outside(p), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return foundNothing
	} else if err != nil {
		return foundOther
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return foundOther
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return foundText(string(text))
}

func foundText(text string) string {
	return fmt.Sprintf("%d bytes with the sum %x", len(text), sha256.Sum256([]byte(text)))
}
