// Package metrics is what Prometheus sees of evenkeel. It counts what it is
// told and asks nobody; no label ever holds text that comes from a repository or
// from a service, except the hashes of commits.
//
// Start reading at Set: its methods are the events of the agent.
package metrics
