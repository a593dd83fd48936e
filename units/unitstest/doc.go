// Package unitstest is a systemd in memory, for tests of what steers units.
//
// It keeps its own loaded copy of the unit files, hands stops and restarts on as
// systemd does, remembers what each process was started with, and can be turned
// off and booted again. It runs nothing, starts no goroutine and reads no clock
// but its own; the same calls end the same. It tells the program under test
// nothing that units.Manager does not.
//
// Start reading at Systemd, then transaction.go (which jobs a call leads to) and
// service.go (what a job does). testdata holds what systemd does, case by case.
package unitstest
