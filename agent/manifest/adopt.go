package manifest

import (
	"fmt"
	"path"
	"strings"

	"evenkeel/agent/plan"
)

// MayManage says why no repository may manage a path on a host with these
// options, and what could be done, "" when it may.
func MayManage(p string, kind plan.Kind, opts Options) (fault, hint string) {
	return policy{opts.withDefaults(), denied()}.guard(p, kind)
}

// FileFor names the file of a role that brings a file to a path on the host as it
// is: the reverse of what Load does. The fault says why no file does.
func FileFor(role, p string) (file, fault string) {
	if path.Base(p) == ".gitkeep" {
		return "", fmt.Sprintf("%q cannot be brought by a repository: .gitkeep only keeps a directory there", p)
	}
	if _, made, _, _ := madeOf(p); made != copied {
		return "", fmt.Sprintf("%q cannot be brought by a repository as it is: a name that ends in %s stands for something else there", p, path.Ext(p))
	}
	if _, _, isUnit := unitOf(p); isUnit {
		rel := strings.TrimPrefix(strings.TrimPrefix(p, unitDir+"/"), quadletDir+"/")
		if dir, fault, _ := unitPlace(rel); fault == "" && dir+"/"+rel == p {
			return path.Join(roleDir(role), "units", rel), ""
		}
	}
	return path.Join(roleDir(role), "files", p), ""
}

// MadeInstead lists the files that would bring the same path as one of FileFor in
// another way: rendered, or decrypted.
func MadeInstead(file string) []string { return []string{file + templateSuffix, file + secretSuffix} }
