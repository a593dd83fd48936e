// Package apply is the only code that changes the host: it stages files beside
// their targets, records the intent, and then only renames, unlinks and syncs.
//
// Every step is guarded by the identity of what it moves and may run twice. A
// revert needs no free space, no Git, no network and no template.
//
// Start reading at FS, then settle.go, which decides each rename.
package apply
