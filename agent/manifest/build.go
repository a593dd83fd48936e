package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"evenkeel/agent/plan"
)

const templateSuffix = ".tmpl"

// builder puts a target together, one claim of a path at a time.
type builder struct {
	*repo
	t        *plan.Target
	work     int64                    // that the templates of the host may still do
	rendered map[string]bool          // paths whose content came out of a template: its lines are not the repository's
	quiet    map[string]bool          // paths with feeds: none
	uses     map[string]use           // path -> what its template read, when it is to be explained
	said     map[string]plan.Place    // path -> the line of role.yaml with its attributes
	afters   map[[2]string]plan.Place // unit and what it names in after: -> the line
	brought  map[string]string        // path -> role that has a file for it, claimed with success or not
}

// use is what went into a rendered file.
type use struct {
	reads    [][]string // keys from the top of what a template sees
	partials []string
}

func newBuilder(r *repo, host string, roles []string) *builder {
	return &builder{
		repo: r,
		t: &plan.Target{
			Host:     host,
			Roles:    slices.Clone(roles),
			State:    plan.State{Paths: map[string]plan.Path{}, Units: map[string]plan.Unit{}},
			Content:  map[string][]byte{},
			Origin:   map[string]plan.Place{},
			Services: map[string]plan.Service{},
			Validate: map[string][]string{},
			Reads:    map[string][]plan.Read{},
			Quiet:    map[string]bool{},
			Secret:   map[string]bool{},
		},
		work:     workFor(r.opts.Limits.TotalBytes),
		rendered: map[string]bool{},
		uses:     map[string]use{},
		said:     map[string]plan.Place{},
		afters:   map[[2]string]plan.Place{},
		quiet:    map[string]bool{},
		brought:  map[string]string{},
	}
}

// source is one file of a role on its way to a path.
type source struct {
	file string // in the repository
	dest string
	exec bool
}

// files brings roles/R/files/** to /**.
func (b *builder) files(ro role, r *renderer) {
	root := path.Join(roleDir(ro.name), "files")
	for _, s := range b.walk(root) {
		s.dest = "/" + strings.TrimPrefix(s.file, root+"/")
		b.file(ro, s, r)
	}
}

// walk lists the regular files below a directory, sorted. Anything else in it
// is a problem.
func (r *repo) walk(root string) []source {
	return once(r, "walk "+root, func() []source { return r.walkOnce(root) })
}

func (r *repo) walkOnce(root string) []source {
	if !r.isDir(root) {
		if r.isFile(root) {
			r.c.add(Problem{File: root, Message: "this must be a directory"})
		}
		return nil
	}
	var out []source
	err := fs.WalkDir(r.tree, root, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() || e.Name() == ".gitkeep":
			return nil
		case !e.Type().IsRegular():
			r.c.add(Problem{File: name, Message: "only regular files are taken from Git", Hint: "a link is declared under links: in role.yaml"})
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		out = append(out, source{file: name, exec: info.Mode()&0o111 != 0})
		return nil
	})
	if err != nil {
		r.fail("walk", root, err)
	}
	return out
}

// file claims the path of one file and renders it when it is a template.
func (b *builder) file(ro role, s source, r *renderer) {
	place := plan.Place{File: s.file}
	dest, made, fault, hint := madeOf(s.dest)
	if fault != "" {
		b.c.at(place, hint, "%s", fault)
		return
	}
	if b.only != nil && !b.only[dest] {
		return
	}
	b.brought[dest] = ro.name
	if !b.claim(dest, plan.File, place) {
		return
	}
	content, ok := b.content(s, dest, made, r)
	if !ok {
		return
	}
	p := plan.Path{Kind: plan.File, Mode: 0o644, Owner: "root", Group: "root", Digest: content.digest}
	if s.exec {
		p.Mode = 0o755
	}
	if content.secret {
		p.Mode &= 0o700
	}
	if a, ok := ro.files[dest]; ok {
		p = a.on(p)
		b.quiet[dest], b.said[dest] = a.quiet, a.place
		if a.quiet {
			b.t.Quiet[dest] = true
		}
		if len(a.validate) > 0 {
			b.t.Validate[dest] = a.validate
		}
	}
	if content.secret && !b.secret(ro, dest, p) {
		return
	}
	b.onDrift(dest, ro.files[dest].drift, ro)
	b.t.State.Paths[dest] = p
	b.t.Content[p.Digest] = content.text
	b.rendered[dest] = made == rendered
}

// making is how a file of the repository becomes one of the host.
type making int

const (
	copied making = iota
	rendered
	decrypted
)

// madeOf says what a file stands for by the end of its name.
func madeOf(name string) (dest string, made making, fault, hint string) {
	dest = name
	for suffix, how := range map[string]making{templateSuffix: rendered, secretSuffix: decrypted} {
		if strings.HasSuffix(name, suffix) {
			dest, made = strings.TrimSuffix(name, suffix), how
		}
	}
	switch {
	case dest == "" || strings.HasSuffix(dest, "/"):
		return "", made, fmt.Sprintf("nothing stands before %s in the name", path.Ext(name)), ""
	case made == decrypted && strings.HasSuffix(dest, templateSuffix):
		return "", made, "a template cannot be encrypted", "encrypt the values that it uses, as vars, and leave the template itself to be read"
	}
	return dest, made, "", ""
}

// content is the bytes of one file.
type content struct {
	text   []byte
	digest string
	secret bool // they hold a secret
}

// content gives the bytes of a file, counted against the limits.
func (b *builder) content(s source, dest string, made making, r *renderer) (c content, ok bool) {
	if made == rendered {
		c, ok = b.rendering(s.file, dest, r)
	} else if same := b.copied(s.file); same != nil {
		c, ok = *same, true
	}
	if !ok {
		return c, false
	}
	if made == decrypted {
		c = b.newContent(b.open(c.text, plan.Place{File: s.file}, "the file"), true)
	}
	b.left -= int64(len(c.text))
	if b.left < 0 {
		b.c.add(Problem{File: s.file, Message: fmt.Sprintf("with this file the host's files are longer than %d bytes together", b.opts.Limits.TotalBytes)})
		return c, false
	}
	return c, true
}

// copied gives a file as it is; nil when it cannot be read.
func (b *builder) copied(file string) *content {
	return once(b.repo, "copy "+file, func() *content {
		text, ok := b.read(file)
		if !ok {
			return nil
		}
		same := b.newContent(text, false)
		return &same
	})
}

func (b *builder) newContent(text []byte, secret bool) content {
	return content{slices.Clip(text), b.opts.DigestKey.Digest(text), secret}
}

// rendering gives what a template makes of the data.
func (b *builder) rendering(file, dest string, r *renderer) (content, bool) {
	t := once(b.repo, "template "+file, func() *parsed { return b.template(file, r) })
	if t == nil || b.work < 0 { // and then it was said once
		return content{}, false
	}
	out, secret, problem := b.renderWatched(r, t, min(b.opts.Limits.FileBytes, max(b.left, 0)))
	if problem != nil {
		b.c.add(*problem)
		return content{}, false
	}
	if b.explain {
		b.uses[dest] = use{reads: t.readsOf(r.partials, r.values), partials: mapKeysOf(r.included)}
	}
	return b.newContent(out, secret), true
}

// on lays what role.yaml says over the defaults.
func (a fileAttr) on(p plan.Path) plan.Path {
	if a.hasMode {
		p.Mode = a.mode
	}
	if a.owner != "" {
		p.Owner = a.owner
	}
	if a.group != "" {
		p.Group = a.group
	}
	return p
}

// claim takes a path for one place of the repository; false when it may not be
// managed, or something else has it.
func (b *builder) claim(dest string, kind plan.Kind, place plan.Place) bool {
	if no := b.guarded(dest, kind); no.fault != "" {
		b.c.at(place, no.hint, "%s", no.fault)
		return false
	}
	if first, ok := b.t.Origin[dest]; ok {
		b.c.at(place, "keep one; what two roles share belongs in a third", "%q is already claimed by %s", dest, spot(first))
		return false
	}
	if b.paths--; b.paths < 0 {
		if b.paths == -1 {
			b.c.at(place, "", "the host would have more than %d paths", b.opts.Limits.Paths)
		}
		return false
	}
	b.t.Origin[dest] = place
	return true
}

// refusal is why a path may not be managed; the zero value when it may.
type refusal struct{ fault, hint string }

func (b *builder) guarded(dest string, kind plan.Kind) refusal {
	return once(b.repo, "guard "+string(kind)+" "+dest, func() refusal {
		fault, hint := b.policy.guard(dest, kind)
		return refusal{fault, hint}
	})
}

func (b *builder) directories(ro role) {
	for _, dest := range slices.Sorted(maps.Keys(ro.directories)) {
		a := ro.directories[dest]
		if b.claim(dest, plan.Directory, a.place) {
			b.onDrift(dest, a.drift, ro)
			b.t.State.Paths[dest] = a.on(plan.Path{Kind: plan.Directory, Mode: 0o755, Owner: "root", Group: "root"})
		}
	}
}

func (b *builder) links(ro role) {
	for _, dest := range slices.Sorted(maps.Keys(ro.links)) {
		l := ro.links[dest]
		if b.claim(dest, plan.Link, l.place) {
			b.onDrift(dest, "", ro)
			b.t.State.Paths[dest] = plan.Path{Kind: plan.Link, Link: l.target}
		}
	}
}

// unclaimedAttributes reports entries of files: for which the role has no file.
func (b *builder) unclaimedAttributes(ro role) {
	var own []string
	for _, dest := range slices.Sorted(maps.Keys(ro.files)) {
		if b.brought[dest] == ro.name {
			continue
		}
		if own == nil {
			own = b.broughtBy(ro.name)
		}
		a := ro.files[dest]
		hint := didYouMean(dest, own)
		if plain := strings.TrimSuffix(dest, path.Ext(dest)); plain+templateSuffix == dest || plain+secretSuffix == dest {
			if contains(own, plain) {
				hint = "leave the " + path.Ext(dest) + " away: name the path on the host"
			}
		}
		if hint == "" {
			hint = fmt.Sprintf("it would stand in %s/files%s", roleDir(ro.name), path.Join("/", dest))
		}
		b.c.add(Problem{File: a.place.File, Line: a.place.Line, Col: a.col, Message: fmt.Sprintf("the role has no file for %q", dest), Hint: hint})
	}
}

// broughtBy lists the paths for which a role has a file.
func (b *builder) broughtBy(role string) []string {
	var own []string
	for dest, name := range b.brought {
		if name == role {
			own = append(own, dest)
		}
	}
	return own
}

// nesting reports paths below something that is not a directory.
func (b *builder) nesting() {
	for _, dest := range slices.Sorted(maps.Keys(b.t.Origin)) {
		for dir := path.Dir(dest); dir != "/" && dir != "."; dir = path.Dir(dir) {
			over, ok := b.t.State.Paths[dir]
			if ok && over.Kind != plan.Directory {
				b.c.at(b.t.Origin[dest], "", "%q is below %q, which is a %s (%s)", dest, dir, over.Kind, spot(b.t.Origin[dir]))
			}
		}
	}
}

// services takes what shall run from one role.
func (b *builder) services(ro role) {
	for _, s := range ro.services {
		if _, ok := b.t.Origin[s.name]; ok {
			b.c.at(s.place, "keep one; what two roles share belongs in a third", "service %q is already listed in %s", s.name, spot(b.t.Origin[s.name]))
			continue
		}
		b.t.Origin[s.name] = s.place
		for _, a := range s.after {
			if !contains(s.After, a.word) && a.word != s.name {
				s.After = append(s.After, a.word)
				b.afters[[2]string{s.name, a.word}] = a.place
			}
		}
		slices.Sort(s.After)
		if s.state == installed {
			continue
		}
		if s.state == masked && b.claim(unitDir+"/"+s.name, plan.Link, s.place) {
			b.t.State.Paths[unitDir+"/"+s.name] = plan.Path{Kind: plan.Link, Link: "/dev/null"}
		}
		b.t.Services[s.name] = s.Service
		b.onDrift(s.name, s.drift, ro)
		b.t.State.Units[s.name] = plan.Unit{Active: s.state == started}
		for _, glob := range s.restartOn {
			b.t.Reads[s.name] = append(b.t.Reads[s.name], plan.Read{Path: glob, Why: restartOn})
		}
		for _, glob := range s.reloadOn {
			b.t.Reads[s.name] = append(b.t.Reads[s.name], plan.Read{Path: glob, Why: reloadOn, Soft: true})
		}
	}
}

// asProblems finds Problems in an error of this package.
func asProblems(err error) Problems {
	var ps Problems
	errors.As(err, &ps)
	return ps
}
