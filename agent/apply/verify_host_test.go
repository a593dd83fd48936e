//go:build e2e_host

package apply

import (
	"slices"
	"strings"
	"testing"
)

// The real systemd-analyze, as root and away from the live units.
func TestVerifyAwayFromHomeOnHost(t *testing.T) {
	analyze, err := FindAnalyze(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	faults, err := analyze.Verify(t.Context(), sketchOf(map[string]string{
		"/etc/systemd/system/good.service":               "[Unit]\nRequires=gone.service\nAfter=gone.service\n[Service]\nExecStart=/usr/bin/from-a-package\nUser=nobody-yet\n",
		"/etc/systemd/system/bad.service":                "[Service]\nType=oneshot\n",
		"/etc/systemd/system/typo.service":               "[Service]\nExecStart=/usr/local/bin/app\nRestrt=no\n",
		"/etc/systemd/system/gone.service.d/limits.conf": "[Service]\nMemoryMxa=1\n",
		"/etc/systemd/system/gone.service.d/right.conf":  "[Service]\nMemoryMax=1G\n",
		"/etc/systemd/system/each@.service":              "[Service]\nExecStart=/usr/local/bin/app %i\n",
		"/usr/local/bin/app":                             "no script, so not executable",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"/etc/systemd/system/bad.service: Service has no ExecStart=",
		"/etc/systemd/system/typo.service:3: Unknown key",
		"/etc/systemd/system/typo.service: Command /usr/local/bin/app is not executable: Permission denied",
		"/etc/systemd/system/each@.service: Command /usr/local/bin/app is not executable: Permission denied",
		"/etc/systemd/system/gone.service.d/limits.conf:2: Unknown key",
	} {
		at := slices.IndexFunc(faults, func(i Invalid) bool { return strings.HasPrefix(i.String(), want) })
		if at < 0 {
			t.Errorf("missing: %s", want)
			continue
		}
		faults = slices.Delete(faults, at, at+1)
	}
	for _, f := range faults {
		t.Errorf("not a fault of the repository: %s", f)
	}
}
