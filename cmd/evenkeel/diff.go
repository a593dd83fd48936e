package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"evenkeel/agent/manifest"
	"evenkeel/agent/plan"
	"evenkeel/agent/source"
)

// changes is what a repository as it stands does, other than a commit of it.
type changes struct {
	Base    string        `json:"base"` // as it was asked for
	Commit  string        `json:"commit"`
	Subject string        `json:"subject"`
	Groups  []*change     `json:"groups"`  // the largest first
	Same    []string      `json:"same"`    // hosts on which nothing changes
	Refused []hostProblem `json:"refused"` // hosts that refuse the repository as it stands
	Gone    []hostProblem `json:"gone"`    // hosts that refuse it because it has nothing for them any more

	warned         map[string]bool // what the commit warns of as well
	hosts, changed map[string]bool // by name, whatever labels were tried
}

// hostProblem is a host with what is wrong for it.
type hostProblem struct {
	Host    string `json:"host"`
	Problem string `json:"problem"`

	told bool // the problem is among those of the report
}

// comparer looks at each host in the commit and in the repository as it stands.
type comparer struct {
	base, to *manifest.Repository
	exact    bool // hosts stand together only when every byte is the same, not when the steps are
	out      *changes
	groups   map[[sha256.Size]byte]*change
	plain    map[string][sha256.Size]byte // host -> what happens to it as it is named
	seen     map[string]bool              // cases
	refuses  map[string]bool              // hosts, by name
	told     manifest.Problems            // what is wrong with the repository
	err      error
}

// openBase opens a commit of the repository that a directory is in.
func openBase(dir, revision string) (*source.WorkTree, fs.FS, source.Info, error) {
	repo, err := source.OpenAround(dir)
	if err != nil {
		return nil, nil, source.Info{}, failed(err, "--diff compares with a commit, so the directory must be in a clone")
	}
	fault := func(err error) (*source.WorkTree, fs.FS, source.Info, error) {
		_ = repo.Close()
		hint := ""
		if _, is := errors.AsType[*source.Error](err); is {
			hint = "fetch it first; in CI, check out with the whole history (fetch-depth: 0)"
		}
		return nil, nil, source.Info{}, failed(err, hint)
	}
	hash, err := repo.Resolve(revision)
	if err != nil {
		return fault(err)
	}
	info, err := repo.Commit(hash)
	if err != nil {
		return fault(err)
	}
	tree, err := repo.Tree(hash, repo.Sub)
	if err != nil {
		return fault(err)
	}
	return repo, tree, info, nil
}

func newComparer(base, to *manifest.Repository, exact bool, revision string, info source.Info) *comparer {
	return &comparer{
		base: base, to: to, exact: exact, groups: map[[sha256.Size]byte]*change{}, plain: map[string][sha256.Size]byte{}, seen: map[string]bool{}, refuses: map[string]bool{},
		out: &changes{Base: revision, Commit: info.Hash, Subject: info.Subject, Groups: []*change{}, Same: []string{}, Refused: []hostProblem{}, Gone: []hostProblem{},
			warned: map[string]bool{}, hosts: map[string]bool{}, changed: map[string]bool{},
		},
	}
}

// key names a case: a host under one set of labels and facts.
func key(of manifest.Case) string { return of.Facts.Name + "\x00" + of.Match + "\x00" + of.Tried }

// triedMark stands between a host and what was tried on it.
const triedMark = " (if "

// called is a case as people call it.
func called(of manifest.Case) string {
	switch {
	case of.Match != "" && of.Tried != "":
		return "any host matching " + of.Match + triedMark + of.Tried + ")"
	case of.Match != "":
		return "any host matching " + of.Match
	case of.Tried != "":
		return of.Facts.Name + triedMark + of.Tried + ")"
	}
	return of.Facts.Name
}

// compare looks at one case that the repository has a target for.
func (c *comparer) compare(of manifest.Case, to *plan.Target) {
	if c.err != nil || c.seen[key(of)] {
		return
	}
	c.seen[key(of)] = true
	from, err := loadWired(c.base, of.Facts)
	if err == nil {
		for _, w := range from.Warnings {
			c.out.warned[w.Message] = true
		}
	}
	problems, isProblem := errors.AsType[manifest.Problems](err)
	switch {
	case isProblem && problems.NoHost():
		from = nil
	case isProblem:
		c.note(of, &change{Notes: []string{"not compared, because the commit has problems here: " + problems[0].String()}})
		return
	case err != nil:
		c.err = err
		return
	}
	c.note(of, newChange(from, to))
}

// left looks at the cases that the repository has no target for, and at those that only
// the commit has.
func (c *comparer) left() {
	named := map[string]bool{}
	for _, of := range c.to.Cases() {
		named[of.Facts.Name] = true
		c.refused(of, true)
	}
	for _, of := range c.base.Cases() {
		c.refused(of, named[of.Facts.Name])
	}
}

// refused looks at a case that has not been compared.
func (c *comparer) refused(of manifest.Case, named bool) {
	if c.err != nil || c.seen[key(of)] {
		return
	}
	to, err := loadWired(c.to, of.Facts)
	if err == nil {
		c.compare(of, to)
		return
	}
	c.seen[key(of)] = true
	problems, isProblem := errors.AsType[manifest.Problems](err)
	if !isProblem {
		c.err = err
		return
	}
	// Only what was right before is worth a word, and a host only once.
	if _, err := loadWired(c.base, of.Facts); err != nil || of.Match != "" {
		return
	}
	says := hostProblem{Host: called(of), Problem: problems[0].String()}
	switch {
	case problems.NoHost() && named: // it may only have other labels now
	case problems.NoHost() && of.Tried == "":
		c.out.Gone = append(c.out.Gone, says)
	case !problems.NoHost() && !c.refuses[of.Facts.Name]:
		c.refuses[of.Facts.Name] = true
		says.told = slices.ContainsFunc(c.told, problems[0].Same)
		c.out.Refused = append(c.out.Refused, says)
	}
}

func loadWired(r *manifest.Repository, facts manifest.Facts) (*plan.Target, error) {
	t, err := r.Load(facts)
	if err == nil {
		err = manifest.Wire(t, nil)
	}
	return t, err
}

// note puts a case to those on which the same happens. Sets of labels that make
// no difference are not told apart.
func (c *comparer) note(of manifest.Case, does *change) {
	name, print := called(of), does.fingerprint(true)
	host := of.Facts.Name + "\x00" + of.Match
	c.out.hosts[of.Facts.Name] = true
	if of.Tried == "" {
		c.plain[host] = print
	} else if plain, known := c.plain[host]; known && plain == print {
		return
	}
	if does.empty() {
		c.out.Same = append(c.out.Same, name)
		return
	}
	c.out.changed[of.Facts.Name] = true
	together := does.fingerprint(c.exact)
	group := c.groups[together]
	if group == nil {
		group = does
		group.fill()
		group.first, group.print = name, print
		c.groups[together] = group
		c.out.Groups = append(c.out.Groups, group)
	}
	group.Hosts = append(group.Hosts, name)
	group.differs = group.differs || group.print != print
}

// done gives what was found, in an order that does not depend on chance, and
// when all hosts are meant, with those that refuse the repository or are only in the
// commit. The problems are those of the repository.
func (c *comparer) done(all bool, told manifest.Problems) (*changes, error) {
	if c.told = told; all {
		c.left()
	}
	if c.err != nil {
		return nil, c.err
	}
	for _, g := range c.out.Groups {
		g.sortHosts()
	}
	slices.SortFunc(c.out.Groups, func(a, b *change) int {
		return cmp.Or(cmp.Compare(len(b.Hosts), len(a.Hosts)), strings.Compare(a.Hosts[0], b.Hosts[0]))
	})
	slices.Sort(c.out.Same)
	for _, list := range [][]hostProblem{c.out.Refused, c.out.Gone} {
		slices.SortFunc(list, func(a, b hostProblem) int { return strings.Compare(a.Host, b.Host) })
	}
	return c.out, nil
}
