package agent

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// places are the directories that systemd makes for the daemon, as they were when
// it started. In its sandbox it cannot make one again that somebody removed.
type places map[string]fs.FileInfo

func findPlaces(cfg Config) places {
	found := places{}
	for _, dir := range []string{cfg.StateDir, cfg.CacheDir, filepath.Dir(StatusFile)} {
		if info, err := os.Stat(dir); err == nil {
			found[dir] = info
		}
	}
	return found
}

// lost tells of a directory that is gone: a new start brings it back.
func (p places) lost() error {
	var gone []string
	for dir, was := range p {
		if info, err := os.Stat(dir); err != nil || !os.SameFile(info, was) {
			gone = append(gone, dir)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	slices.Sort(gone)
	return fmt.Errorf("cannot go on: somebody removed %q, which only a new start makes again", gone)
}
