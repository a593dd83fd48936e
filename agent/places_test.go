package agent

import (
	"os"
	"path/filepath"
	"testing"
)

// Somebody emptied /var/cache, directories included: each pass failed from then on.
func TestRemovedDirectoryIsNoticed(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{StateDir: filepath.Join(dir, "state"), CacheDir: filepath.Join(dir, "cache")}
	for _, d := range []string{cfg.StateDir, cfg.CacheDir} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p := findPlaces(cfg)
	if err := p.lost(); err != nil {
		t.Error(err)
	}
	if err := os.Rename(cfg.CacheDir, cfg.CacheDir+".old"); err != nil { // so that the inode is not given out again
		t.Fatal(err)
	}
	if p.lost() == nil {
		t.Error("the removed directory is not noticed")
	}
	if err := os.Mkdir(cfg.CacheDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if p.lost() == nil {
		t.Error("another directory is taken for the removed one")
	}
	if err := findPlaces(cfg).lost(); err != nil {
		t.Errorf("after a new start: %v", err)
	}
}
