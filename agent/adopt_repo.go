package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"evenkeel/agent/apply"
	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
)

// checkout is what is to be written into a checkout, and what is there already.
type checkout struct {
	dir   string
	files map[string]checkoutFile
}

type checkoutFile struct {
	content []byte
	mode    fs.FileMode // Git keeps the executable bit only
	how     string
}

// prepare works out the files of the checkout. What stands against it becomes a
// problem; the error is of reading the checkout.
func (a *adopter) prepare(request AdoptRequest) (checkout, error) {
	c := checkout{dir: request.Repo, files: map[string]checkoutFile{}}
	root, err := os.OpenRoot(request.Repo)
	if err != nil {
		return c, fmt.Errorf("cannot open the checkout: %w", err)
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Stat("fleet.yaml"); err != nil {
		return c, AdoptProblems{fmt.Sprintf("%q is no config repository: it has no fleet.yaml (\"evenkeel init\" makes one)", request.Repo)}
	}
	add := manifest.RoleAdditions{Files: map[string]manifest.Attributes{}, Directories: map[string]manifest.Attributes{}, Links: map[string]string{}, Services: a.services}
	for _, p := range slices.Sorted(maps.Keys(a.paths)) {
		switch at := a.paths[p]; at.Kind {
		case plan.Link:
			add.Links[p] = at.Link
		case plan.Directory:
			add.Directories[p] = manifest.Attributes{Mode: at.Mode, DefaultMode: 0o755, Owner: at.Owner, Group: at.Group}
		case plan.File:
			if err := a.file(root, &c, add, p, request.Force); err != nil {
				return c, err
			}
		}
	}
	return c, a.roleFile(root, &c, add, request.Force)
}

// file puts one file into the checkout.
func (a *adopter) file(root *os.Root, c *checkout, add manifest.RoleAdditions, p string, force bool) error {
	name, fault := manifest.FileFor(a.role, p)
	if fault != "" {
		return nil // judge has said so
	}
	for _, other := range manifest.MadeInstead(name) {
		if _, err := root.Lstat(other); err == nil {
			a.problem(instead(other), "%s brings %q already", other, p)
			return nil
		}
	}
	at := a.paths[p]
	f := checkoutFile{content: a.content[p], mode: 0o644}
	if at.Mode&0o111 != 0 && !strings.HasPrefix(name, path.Join("roles", a.role, "units")+"/") {
		f.mode = 0o755 // of units the bit means nothing
	}
	add.Files[p] = manifest.Attributes{Mode: at.Mode, DefaultMode: uint32(f.mode), Owner: at.Owner, Group: at.Group}
	old, mode, err := readCheckout(root, name)
	switch {
	case missing(err):
		f.how = "new"
	case err != nil:
		return err
	case bytes.Equal(old, f.content) && mode&0o111 == f.mode&0o111:
		f.how = "as it is"
	case !force:
		a.problem("--force replaces it", "%s is there already and differs from %s on this host", name, p)
		return nil
	default:
		f.how = "replaced"
	}
	c.files[name] = f
	return nil
}

// instead says what to do about a file that another one of the checkout makes.
func instead(other string) string {
	if strings.HasSuffix(other, ".tmpl") {
		return "it is made from that template, so the change belongs there"
	}
	return "it is decrypted from that file: evenkeel secret encrypt makes a new one"
}

// roleFile works out what role.yaml says in the end.
func (a *adopter) roleFile(root *os.Root, c *checkout, add manifest.RoleAdditions, force bool) error {
	name := path.Join("roles", a.role, "role.yaml")
	old, _, err := readCheckout(root, name)
	if err != nil && !missing(err) {
		return err
	}
	text, bad := manifest.EditRole(name, old, add, force)
	var problems manifest.Problems
	switch {
	case errors.As(bad, &problems):
		for _, p := range problems {
			a.problems = append(a.problems, p.String())
		}
	case bad != nil:
		return bad
	case missing(err) && len(text) > 0:
		c.files[name] = checkoutFile{content: text, mode: 0o644, how: "new"}
	case !bytes.Equal(old, text):
		c.files[name] = checkoutFile{content: text, mode: 0o644, how: "added to"}
	}
	return nil
}

// readCheckout reads a regular file of the checkout.
func readCheckout(root *os.Root, name string) ([]byte, fs.FileMode, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the checkout: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > apply.MaxFile {
		return nil, 0, fmt.Errorf("cannot read the checkout: %s is not a regular file of less than %d bytes", name, apply.MaxFile)
	}
	text, err := root.ReadFile(name)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the checkout: %w", err)
	}
	return text, info.Mode(), nil
}

// write writes what is not there yet. No link leads it out of the checkout, and
// what it makes belongs to whom the checkout belongs, not to root.
func (c checkout) write() ([]Written, error) {
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the checkout: %w", err)
	}
	defer func() { _ = root.Close() }()
	var st unix.Stat_t
	if err := unix.Stat(c.dir, &st); err != nil {
		return nil, fmt.Errorf("cannot open the checkout: %w", err)
	}
	var wrote []Written
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		f := c.files[name]
		if f.how != "as it is" {
			if err := writeInto(root, name, f, int(st.Uid), int(st.Gid)); err != nil {
				return wrote, fmt.Errorf("cannot write into the checkout: %w", err)
			}
		}
		wrote = append(wrote, Written{name, f.how})
	}
	return wrote, nil
}

func writeInto(root *os.Root, name string, f checkoutFile, uid, gid int) error {
	if err := makeParents(root, path.Dir(name), uid, gid); err != nil {
		return err
	}
	if err := root.WriteFile(name, f.content, f.mode); err != nil {
		return err
	}
	if err := root.Chmod(name, f.mode); err != nil {
		return err
	}
	return root.Lchown(name, uid, gid)
}

func makeParents(root *os.Root, dir string, uid, gid int) error {
	if dir == "." {
		return nil
	}
	if err := makeParents(root, path.Dir(dir), uid, gid); err != nil {
		return err
	}
	err := root.Mkdir(dir, 0o755)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return root.Lchown(dir, uid, gid)
}
