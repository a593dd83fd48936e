// Package health proves that units run and that services answer. It looks and
// counts and says what it saw; it starts, stops and changes nothing on the host,
// and what follows from a Report is decided elsewhere.
//
// Start reading at Watch, which is the probation of a commit, then judge, which
// says what one look at a unit means.
package health
