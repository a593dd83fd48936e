// Package plan knows how a host is, was or shall be (State), what a commit asks
// of it (Target), and the ordered steps from one to the other (Diff).
//
// It is pure: it reads no file, asks no systemd, knows no clock. Deploying,
// reverting, recovering after a crash, planning and finding drift are all the
// same call, Diff, on other states; there are no undo handlers.
//
// Start reading at State, then Diff.
package plan
