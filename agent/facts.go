package agent

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"evenkeel/agent/manifest"
)

// CollectFacts says what this host is: all that a template may see besides
// vars. It reads files and asks the kernel; it needs no network and starts no
// process, so it is quick and answers the same with the network down.
func CollectFacts(cfg Config, systemdVersion int) (manifest.Facts, error) {
	id, err := MachineID()
	if err != nil {
		return manifest.Facts{}, err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return manifest.Facts{}, fmt.Errorf("cannot ask for the kernel's version: %v", err)
	}
	var memory unix.Sysinfo_t
	if err := unix.Sysinfo(&memory); err != nil {
		return manifest.Facts{}, fmt.Errorf("cannot ask for the memory: %v", err)
	}
	addresses, err := hostAddresses()
	if err != nil {
		return manifest.Facts{}, err
	}
	host := os.DirFS("/")
	return manifest.Facts{
		Name:           cfg.Host,
		FQDN:           fqdn(host, cfg.Host),
		MachineID:      id,
		Labels:         maps.Clone(cfg.Labels),
		OS:             osRelease(host),
		Kernel:         unix.ByteSliceToString(uts.Release[:]),
		Arch:           runtime.GOARCH,
		CPUs:           runtime.NumCPU(),
		MemoryBytes:    memory.Totalram * uint64(memory.Unit),
		Virtualization: virtualization(host),
		Addresses:      addresses,
		SystemdVersion: systemdVersion,
	}, nil
}

// applicationID makes our machine id ours alone. Changing it would make every
// host look like a clone of itself.
const applicationID = "b775909ffba24b2fb2278bd6950adf3e"

// MachineID is an id of this host that only evenkeel knows: the real one in
// /etc/machine-id is confidential, see machine-id(5), and this does not lead
// back to it. It is the number that this prints:
//
//	systemd-id128 machine-id --app-specific=b775909ffba24b2fb2278bd6950adf3e
func MachineID() (string, error) {
	content, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return "", fmt.Errorf("cannot read the machine id: %w", err)
	}
	return deriveMachineID(string(content))
}

func deriveMachineID(raw string) (string, error) {
	key, err := hex.DecodeString(strings.TrimSpace(raw))
	if err != nil || len(key) != 16 || bytes.Equal(key, make([]byte, 16)) {
		// The text is not quoted: it may be the id with one letter wrong.
		return "", fmt.Errorf("cannot use the machine id: /etc/machine-id holds none; run \"systemd-machine-id-setup\"")
	}
	salt, err := hex.DecodeString(applicationID)
	if err != nil {
		panic("internal error: the application id is not hex")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(salt)
	id := mac.Sum(nil)[:16]
	// As sd_id128_get_machine_app_specific(3) does, so that both agree.
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id), nil
}

// fqdn is the full name of the host, from its own name or from /etc/hosts. A
// resolver is not asked: its answer comes late, or differs between two passes.
func fqdn(host fs.FS, name string) string {
	if strings.Contains(name, ".") {
		return name
	}
	content, err := fs.ReadFile(host, "etc/hosts")
	if err != nil {
		return name
	}
	for line := range strings.Lines(string(content)) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 1 {
			for _, full := range fields[1:] {
				if strings.HasPrefix(full, name+".") {
					return full
				}
			}
		}
	}
	return name
}

// osRelease reads os-release(5).
func osRelease(host fs.FS) map[string]string {
	content, err := fs.ReadFile(host, "etc/os-release")
	if err != nil {
		content, err = fs.ReadFile(host, "usr/lib/os-release")
	}
	if err != nil {
		return nil
	}
	values := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		key, value, found := strings.Cut(strings.TrimSpace(lines.Text()), "=")
		if found && !strings.HasPrefix(key, "#") {
			values[key] = unquote(value)
		}
	}
	return values
}

// unquote takes the quotes off a shell-like value, as os-release(5) has them.
func unquote(value string) string {
	if len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '"' && value[0] != '\'' {
		return value
	}
	return strings.NewReplacer(`\"`, `"`, `\$`, `$`, `\\`, `\`, "\\`", "`").Replace(value[1 : len(value)-1])
}

// hypervisors are the marks that virtual hardware carries, with systemd's word.
var hypervisors = []struct{ mark, word string }{
	{"KVM", "kvm"}, {"OpenStack", "kvm"}, {"KubeVirt", "kvm"}, {"Amazon EC2", "amazon"}, {"Google Compute Engine", "google"},
	{"QEMU", "qemu"}, {"VMware", "vmware"}, {"VirtualBox", "oracle"}, {"innotek", "oracle"}, {"Xen", "xen"},
	{"Microsoft Corporation Virtual Machine", "microsoft"}, {"Parallels", "parallels"}, {"BHYVE", "bhyve"},
}

// virtualization names what the host runs in, in the words of
// systemd-detect-virt(1), from what is written down on the host. It is "none"
// on bare metal and where nothing says otherwise.
func virtualization(host fs.FS) string {
	if container, err := fs.ReadFile(host, "run/systemd/container"); err == nil {
		return cmp.Or(strings.TrimSpace(string(container)), "container-other")
	}
	if kind, err := fs.ReadFile(host, "sys/hypervisor/type"); err == nil {
		return cmp.Or(strings.TrimSpace(string(kind)), "vm-other")
	}
	var dmi []string
	for _, name := range []string{"sys_vendor", "product_name", "board_vendor", "bios_vendor"} {
		text, err := fs.ReadFile(host, "sys/class/dmi/id/"+name)
		if err == nil {
			dmi = append(dmi, strings.TrimSpace(string(text)))
		}
	}
	hardware := strings.Join(dmi, " ")
	for _, h := range hypervisors {
		if strings.Contains(hardware, h.mark) {
			return h.word
		}
	}
	return "none"
}

// hostAddresses lists, by network interface, the addresses under which other
// hosts may reach this one, sorted: no loopback, no link-local ones.
func hostAddresses() (map[string][]string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cannot list the host's network interfaces: %v", err)
	}
	addresses := map[string][]string{}
	for _, link := range interfaces {
		all, err := link.Addrs()
		if err != nil {
			continue // it went away between the two calls
		}
		for _, addr := range all {
			if ipnet, ok := addr.(*net.IPNet); ok && ipnet.IP.IsGlobalUnicast() {
				addresses[link.Name] = append(addresses[link.Name], ipnet.IP.String())
			}
		}
		slices.Sort(addresses[link.Name])
	}
	return addresses, nil
}
