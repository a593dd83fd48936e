package apply

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// foreign are the names under which what somebody else wrote is set aside: the first that
// is free.
func foreign(name string, n int) string {
	if n > 1 {
		name += "." + strconv.Itoa(n)
	}
	return "." + name + ".evenkeel!"
}

// maxForeign is how many are set aside of one path: three digits leave room in the name.
const maxForeign = 999

// setAside keeps what a person or a program wrote over a managed path, beside what was
// kept the same way before.
func setAside(dir Dir, name string) error {
	for n := 1; n <= maxForeign; n++ {
		if err := dir.Rename(name, foreign(name, n)); !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("%d such files stand beside it already, up to %q: take them away", maxForeign, foreign(name, maxForeign))
}

// Aside lists what Backward has set aside for these moves and is still there:
// files that somebody else wrote over a managed path while an attempt was open.
func Aside(disk FS, moves []Move) []string {
	var list []string
	names := map[string][]string{}
	for _, m := range moves {
		parent, name := path.Split(m.Path)
		if _, read := names[parent]; !read {
			names[parent] = namesIn(disk, path.Clean(parent))
		}
		for _, file := range names[parent] {
			if isForeign(file, name) {
				list = append(list, parent+file)
			}
		}
	}
	return list
}

// isForeign reports whether a file is one that was set aside of a name.
func isForeign(file, name string) bool {
	if file == foreign(name, 1) {
		return true
	}
	number := strings.TrimSuffix(strings.TrimPrefix(file, "."+name+"."), ".evenkeel!")
	n, err := strconv.Atoi(number)
	return err == nil && n > 1 && file == foreign(name, n)
}
