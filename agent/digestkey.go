package agent

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"evenkeel/agent/apply"
	"evenkeel/agent/plan"
)

const (
	digestKeyFile = "digest.key"
	digestKeySize = 32
)

// readDigestKey reads the host's own key to its digests, nil when there is none
// yet: then there is no record either that was made with one.
func readDigestKey(state apply.Dir) (plan.DigestKey, error) {
	key, err := state.Read(digestKeyFile, digestKeySize+1)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot read the key of the digests: %w", err)
	case len(key) != digestKeySize:
		return nil, fmt.Errorf("cannot use the key of the digests: %q is damaged; \"evenkeel reset-state\" starts anew", digestKeyFile)
	}
	return key, nil
}

// digestKey is readDigestKey, and makes the key at the first start.
func digestKey(state apply.Dir) (plan.DigestKey, error) {
	key, err := readDigestKey(state)
	if err != nil || key != nil {
		return key, err
	}
	key = make(plan.DigestKey, digestKeySize)
	_, _ = rand.Read(key) // it never fails
	if err := writeState(state, digestKeyFile, key); err != nil {
		return nil, fmt.Errorf("cannot write the key of the digests: %w", err)
	}
	return key, nil
}
