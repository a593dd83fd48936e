package agent

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// Bounds of what a forge, or anybody else who reaches the address, can cost.
const (
	maxHookBody    = 1 << 20
	maxHookHeaders = 16 << 10
	maxHookTime    = 10 * time.Second
	maxHooksAtOnce = 4
	hooksPerMinute = 10
	hookSpread     = 5 * time.Second // a fleet that is told at once does not look at once
)

// webhook hears that somebody pushed. Whoever knows the secret can make the next
// look come sooner, and nothing else: the body is not read but to check its
// signature, so nothing in it can matter.
type webhook struct {
	secret func() ([]byte, error)
	wake   func()
	now    func() time.Time
	busy   chan struct{}

	mu     sync.Mutex
	heeded []time.Time // within the last minute
}

// listenForNudges opens the address for forges, if there is one.
func (d *daemon) listenForNudges() (stop func()) {
	at := d.cfg.Webhook
	if at.Listen == "" || at.SecretFile == "" {
		return func() {}
	}
	timers := &spreader{wake: func() {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}}
	hook := newWebhook(func() ([]byte, error) { return readSecretFile(at.SecretFile) }, timers.soon)
	closeServer := d.serve(forWebhooks, at.Listen, &http.Server{
		Handler: hook, ReadTimeout: maxHookTime, WriteTimeout: maxHookTime, IdleTimeout: maxHookTime, MaxHeaderBytes: maxHookHeaders,
	})
	return func() { closeServer(); timers.stop() }
}

func newWebhook(secret func() ([]byte, error), wake func()) *webhook {
	return &webhook{secret: secret, wake: wake, now: time.Now, busy: make(chan struct{}, maxHooksAtOnce)}
}

// readSecretFile reads the secret at each request, so that it can be changed.
func readSecretFile(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	secret := []byte(strings.TrimSpace(string(content)))
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret has fewer than %d characters", minSecret)
	}
	return secret, nil
}

// ServeHTTP answers 202 when a look will come.
func (h *webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.WriteHeader(h.judge(r.Header, http.MaxBytesReader(w, r.Body, maxHookBody)))
}

// judge gives the status code of a request.
func (h *webhook) judge(header http.Header, body io.Reader) int {
	secret, err := h.secret()
	if err != nil {
		return http.StatusServiceUnavailable
	}
	mac, standard := hmac.New(sha256.New, secret), standardSum(header, secret, h.now())
	to := io.Writer(mac)
	if standard != nil {
		to = io.MultiWriter(mac, standard)
	}
	if _, err := io.Copy(to, body); err != nil {
		return http.StatusRequestEntityTooLarge
	}
	signed := isSigned(header, secret, mac.Sum(nil)) || standard != nil && isStandard(header, standard.Sum(nil))
	switch {
	case !signed:
		return http.StatusUnauthorized
	case !h.take():
		return http.StatusTooManyRequests
	}
	h.wake()
	return http.StatusAccepted
}

// isSigned looks for the header of any forge: GitHub's, Gitea's and Forgejo's hold
// the sum over the body; GitLab's holds the secret itself, where it has no signing token.
func isSigned(header http.Header, secret, sum []byte) bool {
	for name, prefix := range map[string]string{
		"X-Hub-Signature-256": "sha256=", "X-Gitea-Signature": "", "X-Forgejo-Signature": "",
	} {
		text, whole := strings.CutPrefix(header.Get(name), prefix)
		given, err := hex.DecodeString(text)
		if whole && err == nil && hmac.Equal(given, sum) {
			return true
		}
	}
	// Over digests, so that the time says nothing about the length either.
	given, want := sha256.Sum256([]byte(header.Get("X-Gitlab-Token"))), sha256.Sum256(secret)
	return subtle.ConstantTimeCompare(given[:], want[:]) == 1
}

// take counts a request that is signed, and refuses the eleventh of a minute.
func (h *webhook) take() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for len(h.heeded) > 0 && now.Sub(h.heeded[0]) >= time.Minute {
		h.heeded = h.heeded[1:]
	}
	if len(h.heeded) >= hooksPerMinute {
		return false
	}
	h.heeded = append(h.heeded, now)
	return true
}

// spreader makes one look of what comes within a few seconds.
type spreader struct {
	wake func()

	mu      sync.Mutex
	pending *time.Timer
	stopped bool
}

func (s *spreader) soon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending != nil || s.stopped {
		return
	}
	s.pending = time.AfterFunc(rand.N(hookSpread), func() {
		s.mu.Lock()
		s.pending = nil
		s.mu.Unlock()
		s.wake()
	})
}

func (s *spreader) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	if s.pending != nil {
		s.pending.Stop()
	}
}
