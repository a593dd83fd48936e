package manifest

import "strings"

// Facts is what a host is: all that a template may see besides vars.
type Facts struct {
	Name           string              `json:"name"`
	FQDN           string              `json:"fqdn,omitempty"`
	MachineID      string              `json:"machine_id,omitempty"` // derived from the machine id, never the id itself; may be empty
	Labels         map[string]string   `json:"labels,omitempty"`     // from the host's own config
	OS             map[string]string   `json:"os,omitempty"`         // the fields of os-release(5)
	Kernel         string              `json:"kernel,omitempty"`
	Arch           string              `json:"arch,omitempty"`
	CPUs           int                 `json:"cpus,omitempty"`
	MemoryBytes    uint64              `json:"memory_bytes,omitempty"`
	Virtualization string              `json:"virtualization,omitempty"`
	Addresses      map[string][]string `json:"addresses,omitempty"` // network interface -> addresses
	SystemdVersion int                 `json:"systemd_version,omitempty"`
}

// Values is the map that templates see as .facts, with the names of the JSON
// form. The keys of os are in lower case: .facts.os.version_id.
func (f Facts) Values() map[string]any {
	labels := make(map[string]any, len(f.Labels))
	for k, v := range f.Labels {
		labels[k] = v
	}
	os := make(map[string]any, len(f.OS))
	for k, v := range f.OS {
		os[strings.ToLower(k)] = v
	}
	addresses := make(map[string]any, len(f.Addresses))
	for name, all := range f.Addresses {
		l := make([]any, len(all))
		for i, a := range all {
			l[i] = a
		}
		addresses[name] = l
	}
	return map[string]any{
		"name":            f.Name,
		"fqdn":            f.FQDN,
		"machine_id":      f.MachineID,
		"labels":          labels,
		"os":              os,
		"kernel":          f.Kernel,
		"arch":            f.Arch,
		"cpus":            f.CPUs,
		"memory_bytes":    int64(min(f.MemoryBytes, 1<<62)),
		"virtualization":  f.Virtualization,
		"addresses":       addresses,
		"systemd_version": f.SystemdVersion,
	}
}
