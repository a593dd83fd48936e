package plan

// OnDrift is what becomes of a path or a unit that is no longer as the good
// commit left it, although no commit asked for that.
type OnDrift string

// The three answers. The zero value means Correct, and Report for a service that
// somebody stopped.
const (
	Correct OnDrift = "correct" // it is put back
	Report  OnDrift = "report"  // people are told, and it stays
	Ignore  OnDrift = "ignore"  // it stays, and nobody is told
)
