package units

import (
	"path"
	"strings"
)

// QuadletReads gives the absolute paths that the Quadlet file of a service names as what
// the container reads, as Reads does for systemd's own keys. What is relative is so to
// the directory in which the file stands.
func (d *Definition) QuadletReads(dir string) []Read {
	r := reader{d: d, seen: map[string]bool{}}
	add := func(value, key string) {
		name, ok := expand(value, d.Name)
		if !ok || name == "" {
			return
		}
		if !path.IsAbs(name) {
			name = path.Join(dir, name)
		}
		r.add(name, key)
	}
	for _, from := range []struct{ section, key string }{
		{"Container", "EnvironmentFile"}, {"Container", "Rootfs"}, {"Container", "SeccompProfile"},
		{"Kube", "Yaml"}, {"Kube", "ConfigMap"}, {"Build", "File"}, {"Build", "SetWorkingDirectory"},
		{"Image", "AuthFile"}, {"Image", "CertDir"}, {"Image", "DecryptionKey"},
	} {
		for _, value := range d.Values(from.section, from.key) {
			words, err := Words(value)
			if err != nil {
				continue
			}
			for _, word := range words {
				if isQuadletPath(from.key, word) {
					add(word, from.key)
				}
			}
		}
	}
	if context := d.buildContext(); context != "" {
		add(context, "File")
	}
	for _, section := range []string{"Container", "Image"} {
		if archive := imageOnDisk(d.Value(section, "Image")); archive != "" {
			add(archive, "Image")
		}
	}
	for _, section := range []string{"Container", "Pod", "Kube", "Build", "Image", "Volume", "Network"} {
		for _, value := range d.Values(section, "Volume") {
			if source, _, _ := strings.Cut(value, ":"); isPath(source) {
				add(source, "Volume")
			}
		}
		for _, mount := range d.mounts(section) {
			if mount.kind != "volume" && mount.kind != "image" && isPath(mount.source) {
				add(mount.source, "Mount")
			}
		}
		for _, value := range d.Values(section, "ContainersConfModule") {
			add(value, "ContainersConfModule")
		}
		r.commands(section, "PodmanArgs")
	}
	return r.reads
}

// isQuadletPath leaves out values that stand for something else than a path.
func isQuadletPath(key, value string) bool {
	switch key {
	case "SetWorkingDirectory":
		return isPath(value) // else "yaml", "file", "unit", or a URL
	case "SeccompProfile":
		return path.IsAbs(value) // else "unconfined"
	case "File":
		return !strings.Contains(value, "://")
	}
	return true
}

// buildContext is the directory from which a build copies where SetWorkingDirectory= does
// not name one: that of the Containerfile. With "unit" it is the directory of all Quadlet
// files; which of them a build copies nobody can know, and that most do not concern it.
func (d *Definition) buildContext() string {
	file := d.Value("Build", "File")
	if !path.IsAbs(file) {
		return ""
	}
	if context := d.Value("Build", "SetWorkingDirectory"); context != "" && !strings.EqualFold(context, "file") {
		return ""
	}
	return path.Dir(file)
}

// imageOnDisk is the path of an image that podman does not ask a registry for, "" for
// others; see containers-transports(5).
func imageOnDisk(image string) string {
	transport, rest, _ := strings.Cut(image, ":")
	switch transport {
	case "dir":
		return rest // all of it is the path
	case "docker-archive", "oci-archive", "oci":
		file, _, _ := strings.Cut(rest, ":")
		return file
	}
	return ""
}
