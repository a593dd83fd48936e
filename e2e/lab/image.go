package lab

import "path/filepath"

// Image is the disk of a host that is off, for many hosts to begin with: what was
// installed once need not be installed on each.
type Image struct {
	release string
	lower   string
}

// Freeze powers the host off and makes its disk an image. The host itself cannot
// be used any more; its image is there until the host's test ends.
func (h *Host) Freeze() *Image {
	h.t.Helper()
	h.Shutdown()
	if err := h.unmount(); err != nil {
		h.t.Fatalf("cannot make an image of %q: %v", h.Name, err)
	}
	return &Image{release: h.Release, lower: filepath.Join(h.dir, "upper") + ":" + h.lower}
}

// HostFrom makes and boots a host whose disk begins as the image.
func (l *Lab) HostFrom(t T, image *Image, name string) *Host {
	t.Helper()
	return l.newHost(t, image.release, name, image.lower)
}
