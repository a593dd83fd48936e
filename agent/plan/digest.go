package plan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// DigestKey is a host's own key to the digests of contents. With it a digest in
// a record says nothing about a short secret: nobody can try words until one
// fits. Without a key, which is its zero value, digests are the same everywhere.
type DigestKey []byte

// Digest names a content, in hex: its SHA-256, or its HMAC with the key.
func (k DigestKey) Digest(content []byte) string {
	if len(k) == 0 {
		sum := sha256.Sum256(content)
		return hex.EncodeToString(sum[:])
	}
	mac := hmac.New(sha256.New, k)
	mac.Write(content)
	return hex.EncodeToString(mac.Sum(nil))
}

// String keeps the key out of whatever is printed.
func (k DigestKey) String() string { return "[redacted]" }
