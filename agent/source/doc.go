// Package source follows one branch of a Git repository: it says which commit
// the branch points at, brings that commit into a local cache, and shows a
// commit's tree as an fs.FS.
//
// It never runs a git binary, never makes a worktree, never writes outside the
// cache directory it is given, and believes nothing that a server or a tree
// says: every answer is bounded, every object is checked against its hash, and
// every name in a tree against the rules in tree.go. The cache is disposable;
// deleting it is always safe.
//
// Start reading at fetch.go, then repo.go.
package source
