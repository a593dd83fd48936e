package agent

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const hookSecret = "a secret that a forge made"

func hookSum(secret, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func TestWebhookHeedsSignedRequestsOnly(t *testing.T) {
	const body = `{"ref": "refs/heads/main"}`
	good := hookSum(hookSecret, body)
	for _, row := range []struct {
		about         string
		method        string
		header, value string
		body          string
		want          int
	}{
		{"GitHub's signature", "POST", "X-Hub-Signature-256", "sha256=" + good, body, 202},
		{"Gitea's signature", "POST", "X-Gitea-Signature", good, body, 202},
		{"Forgejo's signature", "POST", "X-Forgejo-Signature", good, body, 202},
		{"GitLab's token", "POST", "X-Gitlab-Token", hookSecret, body, 202},
		{"a body that is no JSON matters as little", "POST", "X-Gitea-Signature", hookSum(hookSecret, "\x00"), "\x00", 202},
		{"no signature", "POST", "X-Other", "1", body, 401},
		{"an empty signature", "POST", "X-Gitea-Signature", "", body, 401},
		{"GitHub's signature without its prefix", "POST", "X-Hub-Signature-256", good, body, 401},
		{"a signature by another secret", "POST", "X-Gitea-Signature", hookSum("another secret of that length", body), body, 401},
		{"a signature of another body", "POST", "X-Gitea-Signature", good, body + " ", 401},
		{"half a signature", "POST", "X-Gitea-Signature", good[:32], body, 401},
		{"a signature that is no number", "POST", "X-Gitea-Signature", strings.Repeat("x", 64), body, 401},
		{"another token", "POST", "X-Gitlab-Token", hookSecret + "x", body, 401},
		{"an empty token", "POST", "X-Gitlab-Token", "", body, 401},
		{"a question", "GET", "X-Gitea-Signature", good, "", 405},
		{"more than a forge sends", "POST", "X-Gitlab-Token", hookSecret, strings.Repeat("x", maxHookBody+1), 413},
	} {
		t.Run(row.about, func(t *testing.T) {
			woken := 0
			h := newWebhook(func() ([]byte, error) { return []byte(hookSecret), nil }, func() { woken++ })
			r := httptest.NewRequest(row.method, "/any/path", bytes.NewReader([]byte(row.body)))
			r.Header.Set(row.header, row.value)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != row.want || (woken == 1) != (row.want == 202) {
				t.Errorf("status %d, woken %d times; want status %d", w.Code, woken, row.want)
			}
			if w.Body.Len() > 0 {
				t.Errorf("it says %q", w.Body)
			}
		})
	}
}

// Values of the test of standardwebhooks.com's own libraries.
func TestWebhookHeedsStandardSignatures(t *testing.T) {
	const (
		token = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
		id    = "msg_p5jXN8AQM9LWM0D4loKWxJek"
		sent  = 1614265330
		body  = `{"test": 2432232314}`
		good  = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		other = "v1,Z0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	)
	for _, row := range []struct {
		about     string
		secret    string
		now       int64
		id        string
		signature string
		body      string
		want      int
	}{
		{"as it was sent", token, sent, id, good, body, 202},
		{"four minutes later", token, sent + 240, id, good, body, 202},
		{"a clock that is behind", token, sent - 240, id, good, body, 202},
		{"two signatures, while the key is replaced", token, sent, id, other + " " + good, body, 202},
		{"one of a kind that we do not know before it", token, sent, id, "v1a,x " + good, body, 202},
		{"heard again six minutes later", token, sent + 360, id, good, body, 401},
		{"from the future", token, sent - 360, id, good, body, 401},
		{"another signature", token, sent, id, other, body, 401},
		{"no version", token, sent, id, good[3:], body, 401},
		{"another id", token, sent, id + "x", good, body, 401},
		{"another body", token, sent, id, good, body + " ", 401},
		{"another key", "whsec_" + strings.Repeat("A", 32), sent, id, good, body, 401},
		{"a secret that is no signing token", token[len("whsec_"):], sent, id, good, body, 401},
		{"a signing token without a key", "whsec_", sent, id, good, body, 401},
		{"very many signatures", token, sent, id, strings.Repeat(other+" ", 1000) + good, body, 401},
	} {
		t.Run(row.about, func(t *testing.T) {
			h := newWebhook(func() ([]byte, error) { return []byte(row.secret), nil }, func() {})
			h.now = func() time.Time { return time.Unix(row.now, 0) }
			header := http.Header{}
			header.Set("webhook-id", row.id)
			header.Set("webhook-timestamp", "1614265330")
			header.Set("webhook-signature", row.signature)
			if got := h.judge(header, strings.NewReader(row.body)); got != row.want {
				t.Errorf("status %d, want %d", got, row.want)
			}
			header.Set("webhook-timestamp", "soon")
			if got := h.judge(header, strings.NewReader(row.body)); got != 401 {
				t.Errorf("without a time: status %d", got)
			}
		})
	}
}

func TestWebhookWithoutASecretHeedsNobody(t *testing.T) {
	h := newWebhook(func() ([]byte, error) { return nil, errors.New("no such file") }, func() { t.Error("it was heeded") })
	r := httptest.NewRequest("POST", "/", strings.NewReader(""))
	r.Header.Set("X-Gitlab-Token", "")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
	d := &daemon{cfg: Config{Webhook: Webhook{Listen: "127.0.0.1:0"}}}
	d.listenForNudges()()
}

func TestWebhookHeedsTenAMinute(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := newWebhook(nil, nil)
	h.now = func() time.Time { return now }
	taken := 0
	for range 25 {
		if h.take() {
			taken++
		}
	}
	if taken != hooksPerMinute {
		t.Errorf("%d were heeded at once", taken)
	}
	now = now.Add(59 * time.Second)
	if h.take() {
		t.Error("one more was heeded after 59 s")
	}
	now = now.Add(time.Second)
	if !h.take() {
		t.Error("none was heeded after a minute")
	}
}

func TestNudgesAreSpreadAndMakeOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		woken := 0
		s := &spreader{wake: func() { woken++ }}
		for range 10 {
			s.soon()
		}
		time.Sleep(hookSpread)
		synctest.Wait()
		if woken != 1 {
			t.Errorf("ten nudges made %d looks", woken)
		}
		s.soon()
		s.stop()
		time.Sleep(hookSpread)
		synctest.Wait()
		if woken != 1 {
			t.Error("a look came after the end")
		}
	})
}
