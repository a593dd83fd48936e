package units

import (
	"path"
	"slices"
	"strings"
)

// A Quadlet file is one from which podman's generator makes a service each time systemd
// reads its unit files; see podman-systemd.unit(5). What it makes was tried with
// podman 5.4. Its Definition has the name of the file until the service is known.

// quadletKind is what the ending of a Quadlet file stands for.
type quadletKind struct {
	section string // its own section, which systemd does not read
	suffix  string // stands between the file's name and ".service"
	hollow  bool   // a file without that section is one that says nothing, and is enough
}

func quadletKindOf(name string) quadletKind {
	return map[string]quadletKind{
		".container": {section: "Container"},
		".kube":      {section: "Kube"},
		".pod":       {section: "Pod", suffix: "-pod", hollow: true},
		".volume":    {section: "Volume", suffix: "-volume", hollow: true},
		".network":   {section: "Network", suffix: "-network", hollow: true},
		".image":     {section: "Image", suffix: "-image"},
		".build":     {section: "Build", suffix: "-build"},
	}[path.Ext(name)]
}

// IsQuadlet reports whether a file of that name is one of Quadlet's.
func IsQuadlet(name string) bool {
	return quadletKindOf(name).section != "" && path.Ext(name) != name
}

// QuadletSection is the section without which a Quadlet file of that name makes no
// service, "" when it makes one without any.
func QuadletSection(name string) string {
	if kind := quadletKindOf(name); !kind.hollow {
		return kind.section
	}
	return ""
}

// QuadletService is the service that is made from the Quadlet file that a definition is
// named for.
func (d *Definition) QuadletService() string {
	kind := quadletKindOf(d.Name)
	if said, ok := d.last(kind.section, "ServiceName"); ok {
		return said + ".service" // an empty one, too: podman does not take it for none
	}
	return strings.TrimSuffix(d.Name, path.Ext(d.Name)) + kind.suffix + ".service"
}

// QuadletLacks is the key, or the choice of keys, without which podman makes no service of
// the Quadlet file that a definition is named for; "" when it has what it must.
func (d *Definition) QuadletLacks() string {
	section := quadletKindOf(d.Name).section
	for _, keys := range map[string][][]string{
		"Container": {{"Image", "Rootfs"}},
		"Kube":      {{"Yaml"}},
		"Image":     {{"Image"}},
		"Build":     {{"ImageTag"}, {"File", "SetWorkingDirectory"}},
	}[section] {
		if !slices.ContainsFunc(keys, func(key string) bool { return d.Value(section, key) != "" }) {
			return strings.Join(keys, "= or ") + "="
		}
	}
	return ""
}

// QuadletNeed is another Quadlet file that a service needs.
type QuadletNeed struct {
	File  string // its name
	Bound bool   // the service stops with what that file makes, also when that stops by itself
}

// QuadletNeeds gives the Quadlet files that the service is made to require and to come
// after, each once, in the order of the keys.
func (d *Definition) QuadletNeeds() []QuadletNeed {
	var needs []QuadletNeed
	add := func(name string, bound bool) {
		need := QuadletNeed{name, bound}
		if IsQuadlet(name) && !strings.Contains(name, "/") && !slices.Contains(needs, need) {
			needs = append(needs, need)
		}
	}
	for _, section := range []string{"Container", "Pod", "Kube", "Build", "Volume"} {
		for _, key := range []string{"Image", "Pod", "Network", "Volume"} {
			values := d.Values(section, key)
			if key == "Image" || key == "Pod" {
				values = values[max(0, len(values)-1):] // the last one counts
			}
			for _, value := range values {
				name, _, _ := strings.Cut(value, ":")
				add(name, key == "Pod")
			}
		}
		for _, mount := range d.mounts(section) {
			add(mount.source, false)
		}
	}
	return needs
}

// StartsWithPod reports whether the pod of a container, where it has one, starts it.
func (d *Definition) StartsWithPod() bool { return d.yes("Container", "StartWithPod", true) }

// isPath tells paths from the names of volumes, as podman does.
func isPath(source string) bool {
	return strings.HasPrefix(source, "/") || strings.HasPrefix(source, ".") || strings.HasPrefix(source, "%")
}

// mount is one Mount= of a container.
type mount struct{ kind, source string }

func (d *Definition) mounts(section string) []mount {
	var mounts []mount
	for _, value := range d.Values(section, "Mount") {
		m := mount{kind: "volume"}
		for _, field := range strings.Split(value, ",") {
			switch name, value, _ := strings.Cut(field, "="); name {
			case "type":
				m.kind = value
			case "source", "src":
				m.source = value
			}
		}
		mounts = append(mounts, m)
	}
	return mounts
}
