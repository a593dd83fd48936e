package manifest

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestSysctlKeys(t *testing.T) {
	const file = `# comment
; comment
net.ipv4.ip_forward = 1
net/ipv4/conf/eth0.100/rp_filter=2
net.ipv4.conf.eth0/100.rp_filter=2
 -kernel.panic = 10
net.ipv4.conf.*.log_martians = 1
-net.ipv4.conf.lo.log_martians
/vm/swappiness = 1
vm.dirty_bytes = 100
`
	got := SysctlKeys([]byte(file))
	want := []string{"kernel/panic", "net/ipv4/conf/*/log_martians", "net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/ip_forward", "vm/dirty_bytes", "vm/dirty_ratio", "vm/swappiness"}
	if !slices.Equal(got, want) {
		t.Errorf("it sets %q, want %q", got, want)
	}
}

func TestLinesThatSetNothingAreProblems(t *testing.T) {
	const file = "net.ipv4.ip_forward = 1\nnet.ipv4.ip_forward 1\n\n= 1\nnet/../../x = 1\n-net.ipv4.conf.lo.log_martians\n"
	tree := fstest.MapFS{
		"fleet.yaml":                               {Data: []byte("hosts: [{match: a, roles: [web]}]\n")},
		"roles/web/files/etc/sysctl.d/a.conf":      {Data: []byte(file)},
		"roles/web/files/etc/sysctl.d/b.conf.tmpl": {Data: []byte("{{ \"x\" }}\n")},
	}
	_, err := Load(tree, Facts{Name: "a"}, Options{})
	if err == nil {
		t.Fatal("it is no problem")
	}
	for _, want := range []string{
		"roles/web/files/etc/sysctl.d/a.conf:2: it sets nothing",
		"roles/web/files/etc/sysctl.d/a.conf:4: it names no value",
		"roles/web/files/etc/sysctl.d/a.conf:5: it names no value",
		"roles/web/files/etc/sysctl.d/b.conf.tmpl: line 1 of what the template gives: it sets nothing",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "a.conf:6") {
		t.Errorf("a value that is taken out of a pattern is a problem: %v", err)
	}
}
