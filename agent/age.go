package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"
)

// This file alone knows age. Everybody else has a function from what stands in
// the repository to what it says.

// errNotForUs says that a secret is encrypted, and to somebody else.
var errNotForUs = errors.New("it is not encrypted to this host")

// identity is one private key with its public side.
type identity struct {
	key       age.Identity
	recipient string
}

// parseIdentities reads a file of age identities, or one ssh key. Errors never
// quote the text: it is private.
func parseIdentities(text []byte) ([]identity, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN")) {
		key, err := parseSSHIdentity(text)
		return []identity{key}, err
	}
	keys, err := age.ParseIdentities(bytes.NewReader(text))
	if err != nil {
		return nil, errors.New("it holds neither age identities nor an ssh key")
	}
	var list []identity
	for _, key := range keys {
		switch key := key.(type) {
		case *age.X25519Identity:
			list = append(list, identity{key, key.Recipient().String()})
		case *age.HybridIdentity:
			list = append(list, identity{key, key.Recipient().String()})
		}
	}
	return list, nil
}

// parseSSHIdentity reads a private ssh key, such as that of the host's sshd.
func parseSSHIdentity(text []byte) (identity, error) {
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return identity{}, errors.New("its ssh key has a passphrase, which nobody could type at boot")
	case err != nil:
		return identity{}, errors.New("its ssh key cannot be read")
	}
	key, err := agessh.ParseIdentity(text)
	if err != nil {
		return identity{}, fmt.Errorf("its ssh key is of type %s: age takes ssh-ed25519 and ssh-rsa", signer.PublicKey().Type())
	}
	return identity{key, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))}, nil
}

// isEncrypted reports whether a text begins as age files do, armoured or not.
func isEncrypted(text []byte) (encrypted, armoured bool) {
	armoured = bytes.HasPrefix(text, []byte(armor.Header))
	return armoured || bytes.HasPrefix(text, []byte("age-encryption.org/v1\n")), armoured
}

// decrypt opens what Encrypt made. It is no longer than the sealed text.
func decrypt(keys []identity, sealed []byte) ([]byte, error) {
	sealed = bytes.TrimSpace(sealed)
	encrypted, armoured := isEncrypted(sealed)
	if !encrypted {
		return nil, errors.New("it is not encrypted with age")
	}
	var in io.Reader = bytes.NewReader(sealed)
	if armoured {
		in = armor.NewReader(in)
	}
	var ids []age.Identity
	for _, key := range keys {
		ids = append(ids, key.key)
	}
	out, err := age.Decrypt(in, ids...)
	var others *age.NoIdentityMatchError
	switch {
	case errors.As(err, &others) && slices.Contains(others.StanzaTypes, "scrypt"):
		return nil, errors.New("it is encrypted with a passphrase, which no host has")
	case errors.As(err, &others):
		return nil, errNotForUs
	case err != nil:
		return nil, errors.New("it is damaged")
	}
	text, err := io.ReadAll(out)
	if err != nil {
		return nil, errors.New("it is damaged")
	}
	return text, nil
}

// NewIdentity makes a private key, as the text of its file, and gives what
// others encrypt to.
func NewIdentity() (text []byte, recipient string, err error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, "", fmt.Errorf("cannot make an identity: %v", err)
	}
	recipient = key.Recipient().String()
	return fmt.Appendf(nil, "# encrypt to this host with: evenkeel secret encrypt -r %s\n%s\n", recipient, key), recipient, nil
}

// Encrypt gives a text that each of the recipients can read, armoured. They are
// age1... or public ssh keys.
func Encrypt(recipients []string, text []byte) ([]byte, error) {
	var to []age.Recipient
	for _, r := range recipients {
		recipient, err := parseRecipient(r)
		if err != nil {
			return nil, err
		}
		to = append(to, recipient)
	}
	var sealed bytes.Buffer
	lines := armor.NewWriter(&sealed)
	out, err := age.Encrypt(lines, to...)
	if err == nil {
		_, err = out.Write(text)
	}
	if err == nil {
		err = out.Close()
	}
	if err == nil {
		err = lines.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt: %v", err)
	}
	return sealed.Bytes(), nil
}

// parseRecipient reads a public key. A private one is not quoted back.
func parseRecipient(text string) (age.Recipient, error) {
	text = strings.TrimSpace(text)
	switch {
	case strings.Contains(strings.ToUpper(text), "AGE-SECRET-KEY-"):
		return nil, errors.New("that is a private key, not a recipient: show it to nobody, and encrypt to the age1... that belongs to it")
	case strings.HasPrefix(text, "ssh-"):
		if r, err := agessh.ParseRecipient(text); err == nil {
			return r, nil
		}
	default:
		if list, err := age.ParseRecipients(strings.NewReader(text)); err == nil && len(list) == 1 {
			return list[0], nil
		}
	}
	return nil, fmt.Errorf("%q is no recipient: it begins with age1, ssh-ed25519 or ssh-rsa", text)
}
