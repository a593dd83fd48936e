package source

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sys/unix"
)

// hostKeys reads a known_hosts file: the check of the server's key, and the
// algorithms to ask for. Without the latter a server may show its ecdsa key to
// a host that was told only the ed25519 one.
func (a Auth) hostKeys(host string) (ssh.HostKeyCallback, []string, error) {
	file := a.KnownHostsFile
	if file == "" {
		return nil, nil, fail(AuthFailed, "ssh needs known_hosts_file: a server's key is never taken on trust")
	}
	content, err := a.read("known_hosts", file, maxSystemRoots)
	if err != nil {
		return nil, nil, err
	}
	check, err := knownHosts(content)
	if err != nil {
		return nil, nil, fail(AuthFailed, "known_hosts file %q cannot be read: %s", file, printable(err.Error(), 200))
	}
	var answer *knownhosts.KeyError
	if err := check(host, &net.TCPAddr{IP: net.IPv4zero}, noKey{}); !errors.As(err, &answer) || len(answer.Want) == 0 {
		return nil, nil, fail(AuthFailed, "known_hosts file %q has no key for %q; add one with ssh-keyscan and compare its fingerprint",
			file, knownhosts.Normalize(host))
	}
	strict := func(hostname string, address net.Addr, key ssh.PublicKey) error {
		if err := check(hostname, address, key); err != nil {
			return hostKeyRefused(file, key, err)
		}
		return nil
	}
	return strict, algorithmsFor(answer.Want, bytes.Split(content, []byte("\n"))), nil
}

func hostKeyRefused(file string, key ssh.PublicKey, err error) error {
	var revoked *knownhosts.RevokedError
	if errors.As(err, &revoked) {
		return fail(AuthFailed, "the server's key %s is revoked in known_hosts file %q", ssh.FingerprintSHA256(key), file)
	}
	if cert, is := key.(*ssh.Certificate); is {
		return fail(AuthFailed, "the server's certificate, signed by %s, is not accepted by known_hosts file %q: %s",
			ssh.FingerprintSHA256(cert.SignatureKey), file, printable(err.Error(), 200))
	}
	return fail(AuthFailed, "the server's key %s is not the one in known_hosts file %q", ssh.FingerprintSHA256(key), file)
}

// algorithmsFor asks for keys of the kinds that are known, and for certificates
// where an authority is.
func algorithmsFor(known []knownhosts.KnownKey, lines [][]byte) []string {
	var keys, certs []string
	for _, k := range known {
		if k.Line <= len(lines) && bytes.HasPrefix(bytes.TrimSpace(lines[k.Line-1]), []byte("@cert-authority")) {
			certs = append(certs, ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
				ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01)
			continue
		}
		if kind := k.Key.Type(); kind != ssh.KeyAlgoRSA {
			keys = append(keys, kind)
			continue
		}
		keys = append(keys, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
	}
	slices.Sort(keys)
	slices.Sort(certs)
	return append(slices.Compact(certs), slices.Compact(keys)...)
}

// knownHosts hands a content to a parser that wants a file name: the process may
// not be allowed to open the real one.
func knownHosts(content []byte) (ssh.HostKeyCallback, error) {
	fd, err := unix.MemfdCreate("known_hosts", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "known_hosts")
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return nil, err
	}
	return knownhosts.New(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
}

// noKey is a key that no server has: the question "which keys do you know for this host?".
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return nil }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("not a key") }
