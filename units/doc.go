// Package units knows systemd's units: their names, how their files read, what
// [Install] asks for, which order they want, and the Manager interface through
// which the agent speaks to systemd.
//
// It is pure apart from that interface: the real Manager is units/bus, the one
// in memory units/unitstest.
package units
