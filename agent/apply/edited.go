package apply

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Edit is a configuration file that differs from what its package ships.
type Edit struct{ Path, Package string }

// Edited lists, sorted, the local edits of the packages that ship any of the given
// paths; without paths those of all packages. It asks dpkg's record, or else the
// program rpm.
func Edited(ctx context.Context, disk FS, paths []string) ([]Edit, error) {
	conffiles, err := ReadConffiles(disk)
	switch {
	case err != nil:
		return nil, err
	case conffiles == nil && hasRPM(disk):
		return rpmEdited(ctx, paths)
	}
	of, err := packagesOf(disk, conffiles, paths)
	if err != nil {
		return nil, err
	}
	var edits []Edit
	for _, p := range slices.Sorted(maps.Keys(conffiles)) {
		c := conffiles[p]
		if len(paths) > 0 && !of[c.Package] {
			continue
		}
		data, err := readWhole(disk, p)
		if err != nil {
			continue // it was removed, or became something else; there is no file to adopt
		}
		if sum := md5.Sum(data); hex.EncodeToString(sum[:]) != c.MD5 {
			edits = append(edits, Edit{p, c.Package})
		}
	}
	return edits, nil
}

func readWhole(disk FS, p string) ([]byte, error) {
	dir, err := disk.OpenDir(path.Dir(p))
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	return dir.Read(path.Base(p), MaxFile)
}

// packagesOf finds the packages that ship the paths, as dpkg lists them. A system
// with a merged /usr knows one file by two names.
func packagesOf(disk FS, conffiles map[string]Conffile, paths []string) (map[string]bool, error) {
	of := map[string]bool{}
	wanted := map[string]bool{}
	for _, p := range paths {
		if c, is := conffiles[p]; is {
			of[c.Package] = true
			continue
		}
		wanted[p], wanted["/usr"+p], wanted[strings.TrimPrefix(p, "/usr")] = true, true, true
	}
	if len(wanted) == 0 {
		return of, nil
	}
	const info = "/var/lib/dpkg/info"
	for _, name := range namesIn(disk, info) {
		list, is := strings.CutSuffix(name, ".list")
		if !is {
			continue
		}
		text, err := readWhole(disk, info+"/"+name)
		if err != nil {
			return nil, fmt.Errorf("cannot read what dpkg has installed: %w", err)
		}
		for line := range bytes.Lines(text) {
			if wanted[string(bytes.TrimRight(line, "\n"))] {
				pack, _, _ := strings.Cut(list, ":") // without the architecture
				of[pack] = true
				break
			}
		}
	}
	return of, nil
}

// Bounds on asking rpm.
const (
	rpmBound    = 2 * time.Minute
	rpmText     = 4 << 20
	rpmPackages = 50
)

// hasRPM reports whether rpm keeps this host's packages.
func hasRPM(disk FS) bool {
	for _, base := range []string{"/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite", "/var/lib/rpm/Packages"} {
		if Exists(disk, base) {
			return true
		}
	}
	return false
}

func rpmEdited(ctx context.Context, paths []string) ([]Edit, error) {
	if len(paths) == 0 {
		ran := runBounded(ctx, rpmBound, rpmText, []string{"rpm", "-Va", "--nodeps", "--noscripts", "--configfiles"})
		return rpmEdits(ran, "")
	}
	ran := runBounded(ctx, rpmBound, rpmText, append([]string{"rpm", "-qf", "--queryformat", "%{NAME}\\n", "--"}, paths...))
	if ran.notFound || ran.late || !ran.exited {
		return nil, fmt.Errorf("cannot ask rpm: %w", ran.err)
	}
	var edits []Edit
	for _, pack := range rpmNames(ran.output) {
		one, err := rpmEdits(runBounded(ctx, rpmBound, rpmText, []string{"rpm", "-V", "--nodeps", "--noscripts", "--configfiles", "--", pack}), pack)
		if err != nil {
			return nil, err
		}
		edits = append(edits, one...)
	}
	slices.SortFunc(edits, func(a, b Edit) int { return strings.Compare(a.Path, b.Path) })
	return edits, nil
}

var rpmName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+._-]*$`)

// rpmNames are the packages in rpm's answer; what no package owns is a sentence.
func rpmNames(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		name := strings.TrimRight(line, "\n")
		if rpmName.MatchString(name) && !slices.Contains(names, name) && len(names) < rpmPackages {
			names = append(names, name)
		}
	}
	return names
}

// rpmDiffers is a line of rpm -V about a configuration file of another digest.
var rpmDiffers = regexp.MustCompile(`(?m)^[^ ]{2}5[^ ]* +c +(/.*)$`)

func rpmEdits(ran result, pack string) ([]Edit, error) {
	switch {
	case ran.late:
		return nil, errors.New("cannot ask rpm: it took too long")
	case ran.err != nil && !ran.exited:
		return nil, fmt.Errorf("cannot ask rpm: %w", ran.err)
	}
	var edits []Edit
	for _, match := range rpmDiffers.FindAllStringSubmatch(ran.output, -1) {
		edits = append(edits, Edit{match[1], pack})
	}
	return edits, nil
}
