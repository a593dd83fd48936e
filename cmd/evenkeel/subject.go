package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/pflag"

	"evenkeel/agent/manifest"
)

// subject is what a verb looks at away from any host: a repository, and perhaps
// some of the hosts that it is for.
type subject struct {
	host   string
	labels map[string]string
	facts  []string // files with the facts of real hosts
	roots  []string
	denied []string
}

func (s *subject) flags(flags *pflag.FlagSet, doing string) {
	flags.StringVar(&s.host, "host", "", doing+" for this host alone")
	flags.StringToStringVar(&s.labels, "label", nil, "a label of that host, `KEY=VALUE`; may be repeated")
	flags.StringArrayVar(&s.facts, "facts", nil, "a `FILE` that \"evenkeel facts --json\" printed on the host that is meant, or - for standard input")
	flags.StringArrayVar(&s.roots, "allow-root", nil, "a `DIR` besides the default ones that the hosts' allow_roots names; may be repeated")
	flags.StringArrayVar(&s.denied, "allow-denied", nil, "a `PATH`, or a pattern, on the built-in list that the hosts' allow_denied names; may be repeated")
}

// wrong finds what is wrong with the flags together.
func (s *subject) wrong() error {
	switch {
	case s.host == "" && len(s.labels) > 0:
		return failed(errors.New("--label needs --host"), "without a host, the labels that fleet.yaml asks for are tried")
	case s.host != "" && len(s.facts) > 0:
		return failed(errors.New("--host and --facts are both given"), "the facts of a host say its name and labels")
	}
	if err := s.options().Check(); err != nil {
		return failed(err, "give what the hosts' own config says")
	}
	return nil
}

func (s *subject) options() manifest.Options {
	opts := manifest.Options{AllowDenied: s.denied}
	if len(s.roots) > 0 {
		opts.AllowRoots = append(manifest.DefaultRoots(), s.roots...)
	}
	return opts
}

// hosts gives the hosts that were named, none when all are meant. A host of
// which only the name is known is an example: the answer must not depend on the
// machine that gives it.
func (s *subject) hosts(repository *manifest.Repository, stdin io.Reader) ([]manifest.Facts, error) {
	if s.host != "" {
		return []manifest.Facts{repository.Example(s.host, s.labels)}, nil
	}
	var all []manifest.Facts
	for _, file := range s.facts {
		facts, err := readFacts(file, stdin)
		if err != nil {
			return nil, err
		}
		all = append(all, facts)
	}
	return all, nil
}

// oneHost gives the one host that a verb needs.
func (s *subject) oneHost(repository *manifest.Repository, stdin io.Reader) (manifest.Facts, error) {
	hosts, err := s.hosts(repository, stdin)
	if err == nil && len(hosts) != 1 {
		err = failed(errors.New("one host must be named"), "give --host NAME, or --facts FILE")
	}
	if err != nil {
		return manifest.Facts{}, err
	}
	return hosts[0], nil
}

// maxFactsFile is where reading stops; manifest.ParseFacts says that it is too much.
const maxFactsFile = 2 << 20

func readFacts(file string, stdin io.Reader) (manifest.Facts, error) {
	in, name := stdin, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return manifest.Facts{}, failed(fmt.Errorf("cannot read the facts: %w", err), "")
		}
		defer f.Close()
		in, name = f, file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxFactsFile))
	if err != nil {
		return manifest.Facts{}, failed(fmt.Errorf("cannot read the facts: %w", err), "")
	}
	facts, err := manifest.ParseFacts(text)
	if err != nil {
		return manifest.Facts{}, failed(fmt.Errorf("cannot use the facts in %s: %w", name, err), "\"evenkeel facts --json\" prints them on a host")
	}
	return facts, nil
}

// directory is where the repository is: the directory that was named, or the
// current one.
func directory(args []string) (string, error) {
	dir := "."
	if len(args) > 0 {
		dir = args[0]
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return "", failed(fmt.Errorf("cannot read the repository: %w", err), "")
	case !info.IsDir():
		return "", failed(fmt.Errorf("cannot read the repository: %q is no directory", dir), "give the directory that holds fleet.yaml")
	}
	return dir, nil
}

func treeIn(dir string) fs.FS { return os.DirFS(dir) }
