//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"evenkeel/e2e/lab"
)

// One commit brings a user, files that belong to it and a service that runs as it.
func TestCommitBringsTheUserItsFilesBelongTo(t *testing.T) {
	onEachRelease(t, func(t *testing.T, h *lab.Host) {
		s := newSite(t, h)
		good := s.settled()
		passwd := h.ReadFile("/etc/passwd")

		s.repo.WriteTree(`-- roles/shop/role.yaml --
files:
  /etc/sysusers.d/shop.conf: {feeds: none}
  /etc/keeper.conf: {mode: "0640", owner: keeper, group: shop}
services:
  keeper.service: {settle: 500ms}
-- roles/shop/files/etc/sysusers.d/shop.conf --
g shop
u keeper - "Keeps the shop"
m keeper shop
-- roles/shop/files/etc/keeper.conf --
open
-- roles/shop/units/keeper.service --
[Service]
User=keeper
Type=exec
ExecStart=/bin/sh -c 'cat /etc/keeper.conf && exec sleep infinity'

[Install]
WantedBy=multi-user.target
`)
		s.repo.Edit("fleet.yaml", "roles: [base, db, app, proxy]", "roles: [base, db, app, proxy, shop]")
		commit := s.repo.Commit("a shop and its keeper")
		s.waitGood(commit)
		if got := h.Must("stat", "-c", "%U:%G %a", "/etc/keeper.conf"); got != "keeper:shop 640" {
			t.Errorf("/etc/keeper.conf is %s", got)
		}

		// What sysusers.d(5) does not allow is found before anything is touched.
		before := h.Snapshot()
		s.repo.Write("roles/shop/files/etc/sysusers.d/shop.conf", "g shop\nu keeper - \"Keeps the shop\"\nm keeper shop\nu 1not%good -\n")
		bad := s.repo.Commit("a name that no user may have")
		st := s.waitRefused(bad)
		if !strings.Contains(strings.Join(st.Refused, "\n"), "roles/shop/files/etc/sysusers.d/shop.conf:4") {
			t.Errorf("the refusal does not name the line: %q", st.Refused)
		}
		if touched := before.Touched(h.Snapshot()); touched != "" {
			t.Errorf("a refused commit touched files:\n%s", touched)
		}

		// The account stays when the role goes; nothing else of it does.
		s.repo.Edit("fleet.yaml", "roles: [base, db, app, proxy, shop]", "roles: [base, db, app, proxy]")
		gone := s.repo.Commit("no shop")
		s.waitGood(gone)
		if now := h.ReadFile("/etc/passwd"); now == passwd || !strings.Contains(now, "keeper:") {
			t.Errorf("the account is gone after %s, which followed %s", gone, good)
		}
		if h.Exists("/etc/keeper.conf") {
			t.Error("/etc/keeper.conf is still there")
		}
	})
}
