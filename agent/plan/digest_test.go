package plan

import (
	"fmt"
	"strings"
	"testing"
)

func TestDigestsSayNothingWithoutTheKey(t *testing.T) {
	const ofHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	var none DigestKey
	a, b := DigestKey("key of one host"), DigestKey("key of another")
	if got := none.Digest([]byte("hello")); got != ofHello {
		t.Errorf("without a key the digest is %s, not the SHA-256 that every tool gives", got)
	}
	if a.Digest([]byte("hello")) == ofHello || a.Digest([]byte("hello")) == b.Digest([]byte("hello")) {
		t.Error("a keyed digest can be worked out without the key")
	}
	if again := DigestKey("key of one host"); a.Digest([]byte("hello")) != again.Digest([]byte("hello")) || a.Digest([]byte("hello")) == a.Digest([]byte("hullo")) {
		t.Error("a keyed digest does not name its content")
	}
	for _, format := range []string{"%v", "%s", "%+v"} {
		if got := fmt.Sprintf(format, struct{ K DigestKey }{a}); strings.Contains(got, "key of") {
			t.Errorf("%s prints the key: %s", format, got)
		}
	}
}
