package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"evenkeel/agent"
)

// A comment on a pull request says that a secret changes, and who restarts, and
// shows nothing of it: not what it was encrypted as, not what stands in for it.
func TestDiffOfASecretSaysOnlyThatItChanges(t *testing.T) {
	_, recipient, err := agent.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	seal := func(text string) string {
		sealed, err := agent.Encrypt([]string{recipient}, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return string(sealed)
	}
	c := newClone(t, map[string]string{
		"fleet.yaml":                            "hosts:\n  - {match: web-1, roles: [app]}\n",
		"vars.yaml":                             asVar("pw", seal("hunter2")) + "port: 80\n",
		"roles/app/role.yaml":                   "services: {app.service: {}}\n",
		"roles/app/units/app.service":           "[Service]\nExecStart=/bin/app /etc/app/key /etc/app/env /etc/app/port\n",
		"roles/app/files/etc/app/key.age":       seal("the old key"),
		"roles/app/files/etc/app/env.tmpl":      "PW={{ .vars.pw }}\nPORT={{ .vars.port }}\n",
		"roles/app/files/etc/app/port.tmpl":     "{{ .vars.port }}\n",
		"roles/app/files/etc/app/was.open.tmpl": "in the open\n",
	})
	c.write(map[string]string{
		"vars.yaml":                             asVar("pw", seal("hunter3")) + "port: 80\n",
		"roles/app/files/etc/app/key.age":       seal("the new key"),
		"roles/app/files/etc/app/was.open.tmpl": "{{ .vars.pw }}\n",
	})
	r, err := check(context.Background(), c.dir, baseline{"HEAD", false}, subject{}, nil)
	if err != nil || len(r.Problems) > 0 || len(r.Changes.Groups) != 1 {
		t.Fatal(err, r)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	page := r.Changes.markdown(nil, nil)
	for _, path := range []string{"/etc/app/key", "/etc/app/env", "/etc/app/was.open"} {
		if !strings.Contains(page, path+": <secret changed>") {
			t.Errorf("the page does not say that %s changes", path)
		}
	}
	if !strings.Contains(page, "restart app.service: /etc/app/env changed; /etc/app/key changed") {
		t.Error("the page does not say who restarts")
	}
	for _, word := range []string{"BEGIN AGE", "[secret", "in the open", "hunter", "PORT="} {
		if strings.Contains(page, word) || strings.Contains(string(text), word) {
			t.Errorf("what is secret is shown: %q", word)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}
