package agent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Standard Webhooks (standardwebhooks.com), with which GitLab signs where a hook has a
// signing token: the sum is over id, time and body, and the token is a key in base64.
const (
	signingToken   = "whsec_"
	maxHookAge     = 5 * time.Minute // as the standard says; either way
	maxHookAnswers = 8               // signatures of one request; two while a key is replaced
)

// standardSum begins the sum of a request, nil when it is not signed that way, or
// when the secret is no signing token.
func standardSum(header http.Header, secret []byte, now time.Time) hash.Hash {
	text, is := strings.CutPrefix(string(secret), signingToken)
	key, err := base64.StdEncoding.DecodeString(text)
	if !is || err != nil || len(key) < minSecret || header.Get("Webhook-Signature") == "" {
		return nil
	}
	sent, err := strconv.ParseInt(header.Get("Webhook-Timestamp"), 10, 64)
	if err != nil || now.Sub(time.Unix(sent, 0)).Abs() > maxHookAge {
		return nil
	}
	sum := hmac.New(sha256.New, key)
	_, _ = io.WriteString(sum, header.Get("Webhook-Id")+"."+header.Get("Webhook-Timestamp")+".")
	return sum
}

// isStandard looks for a sum among the signatures of the request.
func isStandard(header http.Header, sum []byte) bool {
	for _, one := range strings.SplitN(header.Get("Webhook-Signature"), " ", maxHookAnswers) {
		text, is := strings.CutPrefix(one, "v1,")
		given, err := base64.StdEncoding.DecodeString(text)
		if is && err == nil && hmac.Equal(given, sum) {
			return true
		}
	}
	return false
}
