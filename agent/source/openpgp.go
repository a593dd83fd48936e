package source

import (
	"bufio"
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// keyring is the OpenPGP keys whose signatures count.
type keyring struct {
	keys openpgp.EntityList
	now  time.Time
}

// clockSkew is how far the clock of the one who signs may be ahead of ours. A key
// ends that much earlier for it.
const clockSkew = 2 * time.Minute

// strongHashes are what a signature may be made over.
func strongHashes() []crypto.Hash {
	return []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA224, crypto.SHA3_256, crypto.SHA3_512}
}

// readKeyring reads what "gpg --export" writes, armored or not, also when several
// armored exports stand in one file.
func readKeyring(content []byte, now time.Time) (keyring, error) {
	ring := keyring{now: now}
	if !bytes.HasPrefix(bytes.TrimSpace(content), []byte("-----BEGIN ")) {
		keys, err := openpgp.ReadKeyRing(bytes.NewReader(content))
		return ring.with(keys, err)
	}
	in := bufio.NewReader(bytes.NewReader(content))
	for {
		block, err := armor.Decode(in)
		if err == io.EOF {
			break
		}
		if err != nil {
			return ring, fail(BadSignature, "the OpenPGP keyring cannot be read: %s", printable(err.Error(), 100))
		}
		if block.Type != openpgp.PublicKeyType {
			return ring, fail(BadSignature, "the OpenPGP keyring holds a %q; put public keys there, as \"gpg --export\" writes them", printable(block.Type, 40))
		}
		keys, err := openpgp.ReadKeyRing(block.Body)
		if ring, err = ring.with(keys, err); err != nil {
			return ring, err
		}
		// Its checksum and last line come before the next block.
		if _, err := io.Copy(io.Discard, block.Body); err != nil {
			return ring, fail(BadSignature, "the OpenPGP keyring cannot be read: %s", printable(err.Error(), 100))
		}
	}
	return ring.with(nil, nil)
}

func (k keyring) with(keys openpgp.EntityList, err error) (keyring, error) {
	if err != nil {
		return k, fail(BadSignature, "the OpenPGP keyring cannot be read: %s", printable(err.Error(), 100))
	}
	k.keys = append(k.keys, keys...)
	if len(k.keys) == 0 {
		return k, fail(BadSignature, "the OpenPGP keyring holds no key")
	}
	if slices.ContainsFunc(k.keys, func(e *openpgp.Entity) bool { return e.PrivateKey != nil }) {
		return k, fail(BadSignature, "the OpenPGP keyring holds a private key; put public keys there, as \"gpg --export\" writes them")
	}
	return k, nil
}

// check judges at the present time, as gpg does: a key that has expired or was
// revoked since is not good for an old signature either.
func (k keyring) check(payload []byte, signature string, _ time.Time) (string, error) {
	if !armoredAs(signature, "PGP SIGNATURE") {
		return "", otherOrBroken(signature, "-----BEGIN PGP SIGNATURE-----", OpenPGP)
	}
	raw, err := unarmored(signature)
	if err != nil {
		return "", err
	}
	conf := &packet.Config{Time: func() time.Time { return k.now.Add(clockSkew) }}
	_, signer, err := openpgp.VerifyDetachedSignatureAndHash(k.keys, bytes.NewReader(payload), bytes.NewReader(raw), strongHashes(), conf)
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "", fail(BadSignature, "it is signed with a key that is not in the keyring, %s", issuer(raw))
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return "", fail(BadSignature, "the key it is signed with has expired, %s", issuer(raw))
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "", fail(BadSignature, "the key it is signed with was revoked, %s", issuer(raw))
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return "", fail(BadSignature, "its signature has expired, or was made in the future")
	case err != nil:
		return "", fail(BadSignature, "its signature does not fit: %s", printable(err.Error(), 100))
	}
	return nameOf(signer), nil
}

// otherOrBroken says why a text is no signature of the kind that is asked for.
func otherOrBroken(signature, begin string, want Signatures) error {
	if strings.HasPrefix(signature, begin) {
		return fail(BadSignature, "its signature is broken, or there are two")
	}
	return otherKind(signature, want)
}

// unarmored gives the one signature packet of an armored text. Two would be two
// signatures, of which one that fits were enough for the library.
func unarmored(text string) ([]byte, error) {
	broken := fail(BadSignature, "its signature cannot be read")
	block, err := armor.Decode(strings.NewReader(text))
	if err != nil {
		return nil, broken
	}
	raw, err := io.ReadAll(block.Body)
	if err != nil {
		return nil, broken
	}
	packets := packet.NewReader(bytes.NewReader(raw))
	first, err := packets.Next()
	if err != nil {
		return nil, broken
	}
	sig, is := first.(*packet.Signature)
	if !is || sig.IssuerKeyId == nil || sig.SigType != packet.SigTypeBinary {
		return nil, broken
	}
	if _, err := packets.Next(); err != io.EOF {
		return nil, fail(BadSignature, "it has more than one signature, and must have one")
	}
	return raw, nil
}

// issuer names the key that a signature says it was made with.
func issuer(raw []byte) string {
	p, err := packet.NewReader(bytes.NewReader(raw)).Next()
	if sig, is := p.(*packet.Signature); err == nil && is && sig.IssuerKeyId != nil {
		return fmt.Sprintf("key id %016X", *sig.IssuerKeyId)
	}
	return "key id unknown"
}

func nameOf(e *openpgp.Entity) string {
	name := "unnamed"
	if id := e.PrimaryIdentity(); id != nil {
		name = printable(id.Name, 100)
	}
	return fmt.Sprintf("%s (openpgp %X)", name, e.PrimaryKey.Fingerprint)
}
