package agent

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func TestDeriveMachineID(t *testing.T) {
	const raw = "3d1219c7c4c5404aaa1f6d2a48adfda4"
	got, err := deriveMachineID(raw + "\n")
	if err != nil {
		t.Fatal(err)
	}
	// As systemd-id128 machine-id --app-specific= printed it on a host with that id.
	if want := "311622dab71a4e8f8315912f0add692a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, bad := range []string{"", "uninitialized\n", "3d12", strings.Repeat("0", 32)} {
		if id, err := deriveMachineID(bad); err == nil {
			t.Errorf("%q gave the id %s, want an error", bad, id)
		}
	}
	if _, err := deriveMachineID(raw + "x"); err == nil || strings.Contains(err.Error(), raw) {
		t.Errorf("got %v, want an error that does not tell the id", err)
	}
}

func TestFQDN(t *testing.T) {
	hosts := fstest.MapFS{"etc/hosts": {Data: []byte("127.0.0.1 localhost # web-1.old.example.com\n127.0.1.1\tweb-1.example.com web-1\n")}}
	for _, row := range []struct {
		what, name, want string
		host             fstest.MapFS
	}{
		{"from /etc/hosts", "web-1", "web-1.example.com", hosts},
		{"a full name already", "web-1.example.net", "web-1.example.net", hosts},
		{"a name that /etc/hosts does not know", "web", "web", hosts},
		{"no /etc/hosts", "web-1", "web-1", nil},
	} {
		if got := fqdn(row.host, row.name); got != row.want {
			t.Errorf("%s: got %s, want %s", row.what, got, row.want)
		}
	}
}

func TestOSRelease(t *testing.T) {
	got := osRelease(fstest.MapFS{"usr/lib/os-release": {Data: []byte("# it\nID=debian\nVERSION_ID=\"12\"\nNAME='A \"B\"'\nX=\"a\\\"b\\$\"\nY=\"\n")}})
	want := map[string]string{"ID": "debian", "VERSION_ID": "12", "NAME": `A "B"`, "X": `a"b$`, "Y": `"`}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestVirtualization(t *testing.T) {
	for _, row := range []struct {
		want string
		host fstest.MapFS
	}{
		{"none", fstest.MapFS{}},
		{"systemd-nspawn", fstest.MapFS{"run/systemd/container": {Data: []byte("systemd-nspawn\n")}}},
		{"xen", fstest.MapFS{"sys/hypervisor/type": {Data: []byte("xen\n")}}},
		{"vmware", fstest.MapFS{"sys/class/dmi/id/sys_vendor": {Data: []byte("VMware, Inc.\n")}}},
		{"microsoft", fstest.MapFS{
			"sys/class/dmi/id/sys_vendor":   {Data: []byte("Microsoft Corporation\n")},
			"sys/class/dmi/id/product_name": {Data: []byte("Virtual Machine\n")}}},
		{"none", fstest.MapFS{
			"sys/class/dmi/id/sys_vendor":   {Data: []byte("Microsoft Corporation\n")},
			"sys/class/dmi/id/product_name": {Data: []byte("Surface Pro\n")}}},
	} {
		if got := virtualization(row.host); got != row.want {
			t.Errorf("got %s, want %s", got, row.want)
		}
	}
}

func TestHostAddressesAreReachableOnes(t *testing.T) {
	addresses, err := hostAddresses()
	if err != nil {
		t.Fatal(err)
	}
	for name, list := range addresses {
		for _, text := range list {
			if a, err := netip.ParseAddr(text); err != nil || a.IsLoopback() || a.IsLinkLocalUnicast() {
				t.Errorf("%s: %s is no address for others to use (%v)", name, text, err)
			}
		}
	}
}
