package apply

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Conffile is what dpkg knows of a configuration file.
type Conffile struct {
	Package string
	MD5     string // of the file as the package last shipped it, in hex
}

// dpkgStatus is dpkg's record of what is installed.
const dpkgStatus = "/var/lib/dpkg/status"

// ReadConffiles reads which configuration files dpkg's packages shipped, by
// path. A host without dpkg has none.
func ReadConffiles(disk FS) (map[string]Conffile, error) {
	dir, err := disk.OpenDir(path.Dir(dpkgStatus))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("cannot read what dpkg has installed: %w", err)
	}
	defer func() { _ = dir.Close() }()
	text, err := dir.Read(path.Base(dpkgStatus), MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("cannot read what dpkg has installed: %w", err)
	}
	return parseConffiles(text), nil
}

// parseConffiles reads the Conffiles fields of dpkg's status file:
//
//	Package: nginx
//	Conffiles:
//	 /etc/nginx/nginx.conf 1b8ff8b1b8ff8b1b8ff8b1b8ff8b1b8f
//	 /etc/nginx/old.conf 2c9008c2c9008c2c9008c2c9008c2c90 obsolete
//
// An obsolete file counts for as long as no other package ships it.
func parseConffiles(text []byte) map[string]Conffile {
	found := map[string]Conffile{}
	obsolete := map[string]Conffile{}
	name, inside := "", false
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, MaxFile)
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, " ") {
			inside = line == "Conffiles:"
			if after, is := strings.CutPrefix(line, "Package: "); is {
				name = after
			}
			continue
		}
		if !inside {
			continue
		}
		c, file, old := conffile(line)
		switch c.Package = name; {
		case file == "":
		case old:
			obsolete[file] = c
		default:
			found[file] = c
		}
	}
	for file, c := range obsolete {
		if _, current := found[file]; !current {
			found[file] = c
		}
	}
	return found
}

// conffile reads " /path digest [flags]". A path may hold blanks; a digest that
// is none, as that of a package in the middle of its installation, counts as not
// known.
func conffile(line string) (c Conffile, file string, obsolete bool) {
	words := strings.Split(strings.TrimPrefix(line, " "), " ")
	for len(words) > 1 && (words[len(words)-1] == "obsolete" || words[len(words)-1] == "remove-on-upgrade") {
		obsolete = obsolete || words[len(words)-1] == "obsolete"
		words = words[:len(words)-1]
	}
	last := len(words) - 1
	if last < 1 || len(words[last]) != 32 || strings.Trim(words[last], "0123456789abcdef") != "" {
		return Conffile{}, "", false
	}
	return Conffile{MD5: words[last]}, strings.Join(words[:last], " "), obsolete
}

// Suffixes of the names under which package managers leave a version of a
// configuration file beside it: dpkg, ucf, rpm.
func besideSuffixes() []string {
	return []string{".dpkg-dist", ".dpkg-new", ".dpkg-old", ".ucf-dist", ".ucf-new", ".ucf-old", ".rpmnew", ".rpmsave", ".rpmorig"}
}

// BesideOf gives the path beside which a package manager has left a version, "" when a
// file has no name of that kind.
func BesideOf(file string) string {
	if suffix := path.Ext(file); slices.Contains(besideSuffixes(), suffix) {
		return strings.TrimSuffix(file, suffix)
	}
	return ""
}

// Beside lists, sorted, the files that a package manager left beside the given
// paths.
func Beside(disk FS, paths []string) []string {
	byDir := map[string]map[string]bool{}
	for _, p := range paths {
		dir := path.Dir(p)
		if byDir[dir] == nil {
			byDir[dir] = map[string]bool{}
		}
		byDir[dir][path.Base(p)] = true
	}
	var list []string
	for dir, bases := range byDir {
		for _, name := range namesIn(disk, dir) {
			if of := BesideOf(name); of != "" && bases[of] {
				list = append(list, path.Join(dir, name))
			}
		}
	}
	slices.Sort(list)
	return list
}

func namesIn(disk FS, name string) []string {
	dir, err := disk.OpenDir(name)
	if err != nil {
		return nil
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Names()
	if err != nil {
		return nil
	}
	return names
}
