// Package e2e holds the tests on real hosts: containers with systemd as PID 1,
// on Debian bookworm and trixie, in which the package of evenkeel is installed
// as on any host. They need root and the build tag e2e; "make test" runs them.
// What needs a kernel of its own runs on virtual machines: vm_test.go, "make vm".
//
// Nothing here imports the agent: a test sees what an operator sees. Start
// reading at e2e_test.go for the set-up, then at the promise you care for.
package e2e
