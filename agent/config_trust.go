package agent

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"evenkeel/agent/source"
)

// Trust says whose commits this host takes.
type Trust struct {
	Signatures         string // none, openpgp or ssh
	Verify             string // head, all or tag
	KeyringFile        string // OpenPGP public keys
	AllowedSignersFile string // see ssh-keygen(1)
	RevokedKeysFile    string // ssh public keys that count for nothing, one a line
	MinimumCommit      string // a commit that every other one must contain
}

// maxSigners bounds the files of a Trust.
const maxSigners = 1 << 20

func (t *Trust) keys() []configKey {
	return []configKey{
		text("signatures", &t.Signatures, "none, openpgp or ssh. Default: none."),
		text("verify", &t.Verify, "What must be signed: head, all or tag. Default: head."),
		file("keyring_file", &t.KeyringFile, "OpenPGP public keys."),
		file("allowed_signers_file", &t.AllowedSignersFile, "Who may sign with ssh, see ssh-keygen(1)."),
		file("revoked_keys_file", &t.RevokedKeysFile, "ssh public keys that count for nothing, one a line."),
		text("minimum_commit", &t.MinimumCommit, "A commit that every other one must contain."),
	}
}

func (t Trust) check(r *configReader, tag string) {
	for key, file := range map[string]string{
		"keyring_file": t.KeyringFile, "allowed_signers_file": t.AllowedSignersFile, "revoked_keys_file": t.RevokedKeysFile,
	} {
		r.readableFile("trust."+key, file, false)
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o022 != 0 {
			r.problem("trust."+key, "%s: others than its owner can change %q (mode %04o), and so whom this host trusts: run \"chmod go-w %s\"", key, file, info.Mode().Perm(), file)
		}
	}
	if t.MinimumCommit != "" && !commitHash.MatchString(t.MinimumCommit) {
		r.problem("trust.minimum_commit", "minimum_commit %q is no commit: write all 40 digits", t.MinimumCommit)
	}
	t.checkSignatures(r)
	switch t.Verify {
	case "", "head", "all":
	case "tag":
		if tag == "" {
			r.problem("trust.verify", "verify: tag needs a tag: to follow")
		}
	default:
		r.problem("trust.verify", "verify %q is unknown: write head, all or tag", t.Verify)
	}
}

func (t Trust) checkSignatures(r *configReader) {
	switch t.Signatures {
	case "", "none":
		for key, value := range map[string]string{
			"verify": t.Verify, "keyring_file": t.KeyringFile, "allowed_signers_file": t.AllowedSignersFile, "revoked_keys_file": t.RevokedKeysFile,
		} {
			if value != "" {
				r.problem("trust."+key, "%s does nothing without signatures: openpgp or ssh", key)
			}
		}
		return
	case "openpgp":
		if t.KeyringFile == "" || t.AllowedSignersFile != "" || t.RevokedKeysFile != "" {
			r.problem("trust.signatures", "signatures: openpgp needs a keyring_file, which also says what is revoked, and neither allowed_signers_file nor revoked_keys_file")
			return
		}
	case "ssh":
		if t.AllowedSignersFile == "" || t.KeyringFile != "" {
			r.problem("trust.signatures", "signatures: ssh needs an allowed_signers_file, and no keyring_file")
			return
		}
	default:
		r.problem("trust.signatures", "signatures %q is unknown: write none, openpgp or ssh", t.Signatures)
		return
	}
	policy, err := t.policy()
	if err == nil {
		err = policy.Check()
	}
	if err != nil {
		r.problem("trust.signatures", "%v", err)
	}
}

// policy reads the files, so that a child that may not open them has them.
func (t Trust) policy() (source.Policy, error) {
	p := source.Policy{Signatures: source.Signatures(t.Signatures), Scope: source.Scope(t.Verify), Minimum: t.MinimumCommit}
	if !p.Asks() {
		return p, nil
	}
	file := t.KeyringFile
	if p.Signatures == source.SSH {
		file = t.AllowedSignersFile
	}
	var err error
	if p.Signers, err = readSigners(file); err == nil && t.RevokedKeysFile != "" {
		p.Revoked, err = readSigners(t.RevokedKeysFile)
	}
	return p, err
}

func readSigners(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read whom to trust: %w", err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, maxSigners+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read whom to trust: %w", err)
	}
	if len(content) > maxSigners {
		return nil, fmt.Errorf("cannot read whom to trust: %q is longer than %d bytes", file, maxSigners)
	}
	return content, nil
}

// Stale says how long silence is no alarm; 0 means for ever.
type Stale struct {
	Contact time.Duration // since a repository last answered
	Head    time.Duration // since the newest commit was made
}

func (s *Stale) keys() []configKey {
	return []configKey{
		duration("contact", &s.Contact, "The longest time since a repository last answered. Default: no bound."),
		duration("head", &s.Head, "The greatest age of the newest commit. Default: no bound."),
	}
}

func (s Stale) check(r *configReader) {
	if s.Contact < 0 {
		r.problem("stale.contact", "contact %s is no age", s.Contact)
	}
	if s.Head < 0 {
		r.problem("stale.head", "head %s is no age", s.Head)
	}
}

// alarms are the bounds that are exceeded, as sentences.
func (s Stale) alarms(now, contact, head time.Time) []string {
	var list []string
	if s.Contact > 0 && !contact.IsZero() && now.Sub(contact) > s.Contact {
		list = append(list, fmt.Sprintf("no repository has answered since %s, longer than %s", contact.UTC().Format(time.RFC3339), s.Contact))
	}
	if s.Head > 0 && !head.IsZero() && now.Sub(head) > s.Head {
		list = append(list, fmt.Sprintf("the newest commit is of %s, longer ago than %s: is the repository a frozen mirror?", head.UTC().Format(time.RFC3339), s.Head))
	}
	return list
}

// Webhook says where and how a forge may ask for a look.
type Webhook struct {
	Listen     string
	SecretFile string
}

func (w *Webhook) keys() []configKey {
	return []configKey{
		text("listen", &w.Listen, "The address, such as 0.0.0.0:9974."),
		file("secret_file", &w.SecretFile, "What the forge signs its requests with."),
	}
}

func (w Webhook) check(r *configReader) {
	if w == (Webhook{}) {
		return
	}
	r.address("webhook.listen", "listen", w.Listen)
	if w.SecretFile == "" {
		r.problem("webhook", "webhook needs a secret_file: without a secret anybody could ask")
	}
	r.readableFile("webhook.secret_file", w.SecretFile, true)
	if secret, err := readSigners(w.SecretFile); err == nil && len(strings.TrimSpace(string(secret))) < minSecret {
		r.problem("webhook.secret_file", "secret_file: the secret must have at least %d characters", minSecret)
	}
}

// minSecret keeps a secret from being guessed; forges make longer ones.
const minSecret = 16
