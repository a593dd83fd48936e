// Package manifest turns a config repository into what it asks of one host:
// a tree and the host's facts go in, a plan.Target or all the problems come
// out.
//
// It is pure: it reads only the tree it is given, starts no process, and knows
// no clock and no randomness, so the same commit and facts give the same target
// on any machine. It never looks at the host; what the host's own units say is
// handed to Wire by the caller.
//
// Start reading at Load, then Wire; Repository is the same for many hosts. The keys of every file are in keys.go, and
// for people in docs/evenkeel.yaml.5.md.
package manifest
