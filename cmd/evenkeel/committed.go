package main

import (
	"errors"
	"os"
	"path/filepath"

	"evenkeel/agent/manifest"
	"evenkeel/agent/source"
)

// committedFaults finds what a host would refuse in the newest commit before it
// reads a file: symbolic links, submodules, pointers of Git LFS, files that are
// too large. A directory does not show all of that. Of a directory that is in no
// repository, or in one that cannot be read here, nothing is known.
func committedFaults(dir string) manifest.Problems {
	repo, err := source.OpenAround(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = repo.Close() }()
	head, err := repo.Resolve("HEAD")
	if err != nil {
		return nil
	}
	_, err = repo.Tree(head, repo.Sub)
	faulty, is := errors.AsType[*source.TreeError](err)
	if !is {
		return nil
	}
	var problems manifest.Problems
	for _, f := range faulty.Faults {
		// What is gone from the directory will be gone from the next commit.
		if _, err := os.Lstat(filepath.Join(dir, f.Path)); f.Path == "" || err == nil {
			problems = append(problems, manifest.Problem{File: f.Path, Message: f.Message, Hint: f.Hint})
		}
	}
	return problems
}
