// Package applytest is a disk in memory that loses what was not synced.
//
// It obeys the contract of apply.FS, calls a hook before every side effect, and
// at a power cut lets each unsynced operation survive by seeded chance. It knows
// nothing about attempts, and it is never part of the program. Conform holds any
// apply.FS to the same answers.
//
// Start reading at FS, then crash.go, which says what a power cut may do.
package applytest
