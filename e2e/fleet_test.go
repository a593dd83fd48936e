//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"evenkeel/e2e/lab"
)

// serversOfTheFleet are those of Debian's packages that examples/fleet manages.
var serversOfTheFleet = []string{"nginx.service", "redis-server.service", "postgresql@17-main.service"}

// accidents that happen to people with such servers. Each ends at the good commit.
var accidents = []struct {
	what   string
	make   func(s *site)
	reason string // is in the reason, whether the commit is refused or rejected
}{
	{
		what: "a port that is taken, by a server that answers the check",
		make: func(s *site) {
			s.repo.Edit("roles/cache/files/etc/redis/redis.conf.tmpl", "port 6379", "port 5432")
			s.repo.Edit("roles/cache/role.yaml", "127.0.0.1:6379", "127.0.0.1:5432")
		},
		reason: "Failed listening on port 5432",
	},
	{
		what: "a syntax error that a validator sees",
		make: func(s *site) {
			s.repo.Edit("roles/web/files/etc/nginx/sites-available/shop.tmpl", "listen 80", "lisden 80")
		},
		reason: `unknown directive "lisden"`,
	},
	{
		what: "a syntax error that only the server sees",
		make: func(s *site) {
			s.repo.Edit("roles/db/files/etc/postgresql/17/main/conf.d/20-memory.conf.tmpl", "max_connections =", "max_connectoins =")
		},
		reason: `unrecognized configuration parameter "max_connectoins"`,
	},
	{
		what: "a wrong owner of a data directory",
		make: func(s *site) {
			s.repo.Edit("roles/cache/role.yaml", `/srv/cache: {mode: "0750", owner: redis, group: redis}`, `/srv/cache: {mode: "0750"}`)
		},
		reason: "Permission denied",
	},
	{
		what: "a disk that is full",
		make: func(s *site) {
			s.repo.Edit("roles/cache/units/redis-server.service.d/60-data.conf", "[Service]",
				"[Service]\nExecStartPre=+/usr/bin/fallocate -l 16M /srv/small/reserve")
		},
		reason: "No space left on device",
	},
	{
		what: "a certificate that expired",
		make: func(s *site) {
			cert, key := certificate(s.t, time.Now().Add(-time.Hour))
			s.repo.Write("roles/web/files/etc/nginx/tls/shop.crt", cert)
			s.repo.Write("roles/web/files/etc/nginx/tls/shop.key", key)
		},
		reason: "certificate has expired",
	},
}

// The example fleet on one host, with the real servers: all of it is healthy, and
// stays so whatever a commit does to one of them.
func TestAccidentsOfARealFleetEndAtTheGoodCommit(t *testing.T) {
	t.Parallel()
	h := theLab.Host(t, "trixie-fleet", "demo-1")
	s := newFleet(t, h)
	h.Script("mkdir /srv/small && mount -t tmpfs -o size=4M tmpfs /srv/small")
	s.secure()
	good := s.settled()
	s.fleetIsWell("the example")
	for _, a := range accidents {
		begin, files := time.Now(), h.Snapshot("/etc", "/usr/local", "/opt") // /srv has the servers' data
		a.make(s)
		bad := s.repo.Commit(a.what)
		st := s.waitStatus(a.what+" to be found", func(st status) bool {
			return st.idle(bad) && (st.isRejected(bad) || len(st.Refused) > 0)
		})
		reason := strings.Join(st.Refused, " ")
		if st.isRejected(bad) {
			reason = st.Rejected[0].Reason + "; " + strings.Join(st.Rejected[0].Evidence, " ")
		}
		t.Logf("%v: %s: %s: %s", time.Since(begin).Round(time.Second), a.what, st.Result, reason)
		if !strings.Contains(reason, a.reason) {
			t.Errorf("%s: the reason is %q, without %q", a.what, reason, a.reason)
		}
		if st.Good.Commit != good {
			t.Errorf("%s: good is %s, want %s", a.what, st.Good.Commit, good)
		}
		if diff := files.Diff(h.Snapshot("/etc", "/usr/local", "/opt")); diff != "" {
			t.Errorf("%s: the host has other files than before:\n%s", a.what, diff)
		}
		s.fleetIsWell(a.what)

		s.repo.Reset(good)
		s.repo.CommitOnly("without " + a.what)
		s.repo.ForcePush()
		good = s.repo.Head()
		s.waitGood(good)
	}
}

// newFleet is newSite with examples/fleet.
func newFleet(t *testing.T, h *lab.Host) *site {
	t.Helper()
	s := &site{t: t, host: h, config: config{probation: 4 * time.Second, labels: map[string]string{"env": "prod"}}}
	t.Cleanup(s.tellIfFailed)
	s.repo = theLab.Repo(t, "config")
	s.repo.CopyTree("../examples/fleet")
	s.server = theLab.Serve(t, s.repo, "", "")
	h.Install(packageFile(t, "EVENKEEL_DEB"))
	s.configure()
	return s
}

// secure gives the shop https, with a check that verifies the certificate.
func (s *site) secure() {
	s.t.Helper()
	cert, key := certificate(s.t, time.Now().Add(time.Hour))
	s.repo.Write("roles/web/files/etc/nginx/tls/shop.crt", cert)
	s.repo.Write("roles/web/files/etc/nginx/tls/shop.key", key)
	s.repo.Edit("roles/web/files/etc/nginx/sites-available/shop.tmpl", "listen 80 default_server;",
		"listen 80 default_server;\n\tlisten 443 ssl;\n\tssl_certificate /etc/nginx/tls/shop.crt;\n\tssl_certificate_key /etc/nginx/tls/shop.key;")
	s.repo.Edit("roles/web/role.yaml", "      - http: http://127.0.0.1/healthz\n",
		"      - http: http://127.0.0.1/healthz\n      - {http: \"https://127.0.0.1/healthz\", ca_file: /etc/nginx/tls/shop.crt}\n")
	s.repo.Edit("roles/web/role.yaml", "files:\n", "files:\n  /etc/nginx/tls/shop.key: {mode: \"0600\"}\n")
}

// fleetIsWell asks each server for what it is there for.
func (s *site) fleetIsWell(after string) {
	s.t.Helper()
	for _, unit := range serversOfTheFleet {
		if got := s.host.Active(unit); got != "active" {
			s.t.Errorf("after %s: %s is %s", after, unit, got)
		}
	}
	if err := get(s.host, "http://127.0.0.1/", "Welcome (production)"); err != nil {
		s.t.Errorf("after %s: the shop does not answer: %v", after, err)
	}
	for _, ask := range [][]string{
		{"redis-cli", "set", "after", after},
		{"runuser", "-u", "postgres", "--", "psql", "-Atc", "create table if not exists t (x text); insert into t values ('x')"},
	} {
		if out, err := s.host.Run(ask...); err != nil || out == "" {
			s.t.Errorf("after %s: %q: %v: %s", after, ask, err, out)
		}
	}
}

// certificate for 127.0.0.1, its own authority, in PEM with its key.
func certificate(t *testing.T, until time.Time) (cert, key string) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(until.UnixNano()), Subject: pkix.Name{CommonName: "shop"},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &pair.PublicKey, pair)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(pair)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, data []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", private)
}
