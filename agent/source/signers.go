package source

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// allowedSigners is an allowed_signers file, see ssh-keygen(1), and the keys that
// count for nothing.
type allowedSigners struct {
	lines   []allowedSigner
	revoked []ssh.PublicKey
}

// allowedSigner is one line of the file.
type allowedSigner struct {
	principals string
	namespaces string // patterns, "" for all
	after      time.Time
	before     time.Time
	key        ssh.PublicKey
}

// gitNamespace is what git signs under; a signature made for mail, say, is none.
const gitNamespace = "git"

// maxSigners bounds both files, in lines.
const maxSigners = 10_000

// readAllowedSigners reads both files. OpenSSH passes over lines that it does not
// understand; here they are errors, because somebody meant something by them.
func readAllowedSigners(content, revoked []byte) (allowedSigners, error) {
	var a allowedSigners
	var faults []string
	for n, line := range textLines(content) {
		signer, err := parseAllowedSigner(line)
		if err != nil {
			faults = append(faults, fmt.Sprintf("line %d of the allowed signers: %v", n, err))
			continue
		}
		a.lines = append(a.lines, signer)
	}
	if bytes.HasPrefix(revoked, []byte("SSHKRL\n\x00")) {
		faults = append(faults, "the revoked keys are a binary KRL; list the public keys instead, one a line")
		revoked = nil
	}
	for n, line := range textLines(revoked) {
		key, err := parseRevoked(line)
		if err != nil {
			faults = append(faults, fmt.Sprintf("line %d of the revoked keys: %v", n, err))
			continue
		}
		a.revoked = append(a.revoked, key)
	}
	switch {
	case len(faults) > 0:
		if more := len(faults) - 5; more > 0 {
			faults = append(faults[:5], fmt.Sprintf("and %d more", more))
		}
		return a, fail(BadSignature, "%s", strings.Join(faults, "; "))
	case len(a.lines) == 0:
		return a, fail(BadSignature, "the allowed signers file names nobody")
	case len(a.lines)+len(a.revoked) > maxSigners:
		return a, fail(BadSignature, "the allowed signers and revoked keys are more than %d lines", maxSigners)
	}
	return a, nil
}

// textLines gives the lines that say something, with their numbers.
func textLines(content []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.Lines(string(content)) {
			n++
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if !yield(n, line) {
				return
			}
		}
	}
}

// parseAllowedSigner reads "principals [options] type key [comment]".
func parseAllowedSigner(line string) (allowedSigner, error) {
	var s allowedSigner
	principals, rest := cutWord(line)
	if s.principals = unquote(principals); s.principals == "" {
		return s, errors.New("it names no principal")
	}
	word, after := cutWord(rest)
	if !isKeyType(word) {
		if err := s.takeOptions(word); err != nil {
			return s, err
		}
		rest = after
	}
	key, err := parseKey(rest)
	s.key = key
	return s, err
}

func (s *allowedSigner) takeOptions(text string) error {
	for _, option := range splitOptions(text) {
		name, value, _ := strings.Cut(option, "=")
		value = unquote(value)
		var err error
		switch strings.ToLower(name) {
		case "namespaces":
			s.namespaces = value
		case "valid-after":
			s.after, err = parseKeyTime(value)
		case "valid-before":
			s.before, err = parseKeyTime(value)
		case "cert-authority":
			err = errors.New("cert-authority is not supported; list each signer's own key")
		default:
			err = fmt.Errorf("%q is neither an option nor a kind of key", printable(name, 40))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cutWord takes the first word, in which quotes may hold blanks.
func cutWord(text string) (word, rest string) {
	text = strings.TrimLeft(text, " \t")
	quoted := false
	for i := range len(text) {
		switch {
		case text[i] == '"' && (i == 0 || text[i-1] != '\\'):
			quoted = !quoted
		case !quoted && (text[i] == ' ' || text[i] == '\t'):
			return text[:i], strings.TrimLeft(text[i:], " \t")
		}
	}
	return text, ""
}

// splitOptions splits at commas outside of quotes.
func splitOptions(text string) []string {
	var list []string
	start, quoted := 0, false
	for i := range len(text) {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == ',' && !quoted:
			list = append(list, text[start:i])
			start = i + 1
		}
	}
	return append(list, text[start:])
}

func unquote(text string) string {
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		return text[1 : len(text)-1]
	}
	return text
}

// keyTypes are the kinds of keys that may sign.
func keyTypes() []string {
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSA,
		ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
	}
}

func isKeyType(word string) bool {
	return slices.Contains(keyTypes(), word) || word == "ssh-dss" || strings.Contains(word, "-cert-v01@")
}

// minRSA is the shortest RSA key that counts.
const minRSA = 2048

// parseKey reads "type key [comment]".
func parseKey(text string) (ssh.PublicKey, error) {
	kind, _ := cutWord(text)
	if !slices.Contains(keyTypes(), kind) {
		return nil, fmt.Errorf("a key of kind %q cannot sign here", printable(kind, 40))
	}
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 || len(rest) > 0 || key.Type() != kind {
		return nil, errors.New("its key cannot be read")
	}
	return key, longEnough(key)
}

func longEnough(key ssh.PublicKey) error {
	if inner, is := key.(ssh.CryptoPublicKey); is {
		if number, is := inner.CryptoPublicKey().(*rsa.PublicKey); is && number.N.BitLen() < minRSA {
			return fmt.Errorf("its RSA key has %d bits, fewer than %d", number.N.BitLen(), minRSA)
		}
	}
	return nil
}

// parseRevoked reads a line of a list of keys, whose kind does not matter.
func parseRevoked(line string) (ssh.PublicKey, error) {
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(options) > 0 || len(rest) > 0 {
		return nil, errors.New("it is no public key")
	}
	return key, nil
}

// parseKeyTime reads YYYYMMDD[HHMM[SS]] with Z for UTC, else this host's time.
func parseKeyTime(text string) (time.Time, error) {
	zone := time.Local
	digits, utc := strings.CutSuffix(text, "Z")
	if utc {
		zone = time.UTC
	}
	layouts := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}
	when, err := time.ParseInLocation(layouts[len(digits)], digits, zone)
	if err != nil || layouts[len(digits)] == "" {
		return when, fmt.Errorf("%q is no time: write YYYYMMDD or YYYYMMDDHHMMSS, with a Z for UTC", printable(text, 40))
	}
	return when, nil
}

// check judges at the time of the commit, as git does: a key that is out of date
// now was good when it signed.
func (a allowedSigners) check(payload []byte, signature string, made time.Time) (string, error) {
	if !armoredAs(signature, sshsig.PEMType) {
		return "", otherOrBroken(signature, "-----BEGIN SSH SIGNATURE-----", SSH)
	}
	sig, err := sshsig.Unarmor([]byte(signature))
	if err != nil {
		return "", fail(BadSignature, "its signature cannot be read")
	}
	print := ssh.FingerprintSHA256(sig.PublicKey)
	switch {
	case sig.Namespace != gitNamespace:
		return "", fail(BadSignature, "its signature was made for %q and not for git", printable(sig.Namespace, 40))
	case !slices.Contains(keyTypes(), sig.PublicKey.Type()):
		return "", fail(BadSignature, "a key of kind %q cannot sign here", printable(sig.PublicKey.Type(), 60))
	case slices.ContainsFunc(a.revoked, func(key ssh.PublicKey) bool { return sameKey(key, sig.PublicKey) }):
		return "", fail(BadSignature, "the key it is signed with was revoked, %s", print)
	}
	who, err := a.find(sig.PublicKey, made)
	if err != nil {
		return "", err
	}
	if err := sshsig.Verify(bytes.NewReader(payload), sig, sig.PublicKey, sig.HashAlgorithm, gitNamespace); err != nil {
		return "", fail(BadSignature, "its signature does not fit: it was made over something else")
	}
	return fmt.Sprintf("%s (ssh %s)", printable(who.principals, 100), print), nil
}

// find gives the line that lets a key sign at a time.
func (a allowedSigners) find(key ssh.PublicKey, made time.Time) (allowedSigner, error) {
	print := ssh.FingerprintSHA256(key)
	why := fail(BadSignature, "it is signed with a key that is not among the allowed signers, %s", print)
	for _, line := range a.lines {
		switch {
		case !sameKey(line.key, key):
		case line.namespaces != "" && !matchesList(line.namespaces, gitNamespace):
			why = fail(BadSignature, "the key it is signed with may not sign for git, %s", print)
		case (!line.after.IsZero() || !line.before.IsZero()) && made.IsZero():
			why = fail(BadSignature, "it says no time at which its key, %s, could have been valid", print)
		case !line.after.IsZero() && made.Before(line.after):
			why = fail(BadSignature, "the key it is signed with was not valid yet, %s", print)
		case !line.before.IsZero() && made.After(line.before):
			why = fail(BadSignature, "the key it is signed with was not valid any more, %s", print)
		default:
			return line, nil
		}
	}
	return allowedSigner{}, why
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// matchesList reads a list of patterns as ssh does: one that begins with ! and
// matches ends it.
func matchesList(patterns, text string) bool {
	found := false
	for _, pattern := range strings.Split(patterns, ",") {
		pattern, not := strings.CutPrefix(strings.TrimSpace(pattern), "!")
		// ssh knows * and ? only.
		matched, err := path.Match(strings.NewReplacer("[", `\[`, `\`, `\\`).Replace(pattern), text)
		if err != nil || !matched {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}
