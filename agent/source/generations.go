package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// generations is a directory of generations: bare repositories gen-1, gen-2, ... of
// which the highest counts. go-git does not repack, and takes some
// failures for success, so a generation is never mended: a new one is made
// beside it and takes its place by a rename.
type generations struct{ dir string }

// maxPacks is how many fetches a generation takes before it is replaced.
const maxPacks = 40

// errRenew says that the current generation, if there is one, cannot be used.
var errRenew = errors.New("the cache must be made anew")

// current gives the path of the generation that counts, "" when there is none,
// and its number.
func (c generations) current() (string, int) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return "", 0
	}
	best := 0
	for _, entry := range entries {
		number, found := strings.CutPrefix(entry.Name(), "gen-")
		if n, err := strconv.Atoi(number); found && err == nil && n > best {
			best = n
		}
	}
	if best == 0 {
		return "", 0
	}
	return c.generation(best), best
}

func (c generations) generation(n int) string { return filepath.Join(c.dir, fmt.Sprintf("gen-%d", n)) }

// tidy makes the directory and removes what an interrupted fetch left.
func (c generations) tidy() error {
	if err := os.MkdirAll(c.dir, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	keep, _ := c.current()
	for _, entry := range entries {
		name := entry.Name()
		ours := strings.HasPrefix(name, "gen-") || strings.HasPrefix(name, "new-") || name == historyName
		if path := filepath.Join(c.dir, name); ours && path != keep {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	if keep == "" {
		return nil
	}
	halves, err := filepath.Glob(filepath.Join(keep, "objects", "pack", "tmp_pack_*"))
	for _, half := range halves {
		os.Remove(half)
	}
	return err
}

// open opens the current generation, or says errRenew.
func (c generations) open() (*Repo, error) {
	path, _ := c.current()
	if path == "" {
		return nil, errRenew
	}
	packs, err := filepath.Glob(filepath.Join(path, "objects", "pack", "*.pack"))
	if err != nil || len(packs) >= maxPacks {
		return nil, errRenew
	}
	return openBare(path)
}

// scratch makes an empty bare repository that tidy removes if the caller cannot.
func (c generations) scratch() (path string, err error) {
	path, err = os.MkdirTemp(c.dir, "new-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(path, 0o750); err != nil { // another account of the group reads it
		return path, err
	}
	for _, dir := range []string{"objects/pack", "objects/info", "refs/heads"} {
		if err := os.MkdirAll(filepath.Join(path, dir), 0o750); err != nil {
			return path, err
		}
	}
	const config = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
	if err := os.WriteFile(filepath.Join(path, "config"), []byte(config), 0o640); err != nil {
		return path, err
	}
	return path, os.WriteFile(filepath.Join(path, "HEAD"), []byte("ref: "+tracked+"\n"), 0o640)
}

// historyName is where Reach leaves old commits, until the next fetch.
const historyName = "history"

func (c generations) openHistory() (*Repo, error) {
	path := filepath.Join(c.dir, historyName)
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return openBare(path)
}

// promote makes a scratch repository the current generation.
func (c generations) promote(path string) error {
	_, n := c.current()
	if err := os.Rename(path, c.generation(n+1)); err != nil {
		return err
	}
	if err := syncFile(c.dir); err != nil {
		return err
	}
	return c.tidy()
}

// syncAll brings a repository to the disk, so that no power cut takes a part of it: go-git
// leaves that to chance. What has not changed since costs next to nothing.
func syncAll(path string) error {
	return filepath.WalkDir(path, func(at string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFile(at)
	})
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
