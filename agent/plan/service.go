package plan

import (
	"slices"
	"strconv"
	"time"
)

// What holds where a manifest says nothing. docs/evenkeel.yaml.5.md names each of
// them, held by a test.
const (
	DefaultSettle   = 5 * time.Second
	DefaultDeadline = time.Minute
	DefaultInterval = time.Second
	DefaultTimeout  = 5 * time.Second

	DefaultSuccesses = 1
	DefaultFailures  = 3
)

// Service is how the manifest wants one unit to run and to prove its health.
type Service struct {
	Settle   time.Duration // how long it must stay up before what comes after it is started
	Deadline time.Duration // how long its checks may take to pass
	Checks   []Check
	Enabled  bool     // the links of its [Install] stand
	After    []string // the manifest's after:, listed or not
}

// Check is one probe of a service; exactly one of HTTP, TCP, Unix, Exec, Unit
// and Repository is set. A zero duration or count means its default.
type Check struct {
	HTTP string   `json:"http,omitempty"` // URL; an answer with the wanted status and body passes
	TCP  string   `json:"tcp,omitempty"`  // host:port; a connection passes
	Unix string   `json:"unix,omitempty"` // path of a socket; a connection passes
	Exec []string `json:"exec,omitempty"` // absolute path and arguments; exit status 0 passes
	Unit string   `json:"unit,omitempty"` // this unit is active

	// Repository passes when the repository answers on a new connection. No manifest
	// can say it: it is the guard's own.
	Repository bool `json:"repository,omitempty"`

	Status   []string          `json:"status,omitempty"`   // of HTTP: codes such as "200", or classes such as "2xx"; none: 2xx
	Body     string            `json:"body,omitempty"`     // of HTTP: a regular expression that the answer must match
	Headers  map[string]string `json:"headers,omitempty"`  // of HTTP: sent with the request
	Socket   string            `json:"socket,omitempty"`   // of HTTP: over this unix socket, not over the network
	CAFile   string            `json:"ca_file,omitempty"`  // of HTTP: the certificates to trust, not the host's
	Insecure bool              `json:"insecure,omitempty"` // of HTTP: take any certificate
	User     string            `json:"user,omitempty"`     // of Exec: who runs it; "" is root

	StartDelay time.Duration `json:"start_delay,omitempty"` // from the end of the service's start to the first try
	Interval   time.Duration `json:"interval,omitempty"`    // between two tries
	Timeout    time.Duration `json:"timeout,omitempty"`     // of one try
	Successes  int           `json:"successes,omitempty"`   // tries in a row that make it pass
	Failures   int           `json:"failures,omitempty"`    // failed tries, of twice as many, that make it fail once it has passed
}

// WithDefaults fills in what is zero.
func (c Check) WithDefaults() Check {
	for _, d := range []struct {
		at        *time.Duration
		otherwise time.Duration
	}{{&c.Interval, DefaultInterval}, {&c.Timeout, DefaultTimeout}} {
		if *d.at <= 0 {
			*d.at = d.otherwise
		}
	}
	if c.Successes <= 0 {
		c.Successes = DefaultSuccesses
	}
	if c.Failures <= 0 {
		c.Failures = DefaultFailures
	}
	return c
}

// Takes reports whether an HTTP status is one that the check wants.
func (c Check) Takes(status int) bool {
	if len(c.Status) == 0 {
		return status/100 == 2
	}
	code := strconv.Itoa(status)
	return slices.ContainsFunc(c.Status, func(want string) bool { return want == code || want == code[:1]+"xx" })
}

// String names the check as status, log and metrics do.
func (c Check) String() string {
	switch {
	case c.HTTP != "" && c.Socket != "":
		return "http " + c.HTTP + " over " + c.Socket
	case c.HTTP != "":
		return "http " + c.HTTP
	case c.TCP != "":
		return "tcp " + c.TCP
	case c.Unix != "":
		return "unix " + c.Unix
	case len(c.Exec) > 0:
		return "exec " + c.Exec[0]
	case c.Repository:
		return "repository"
	}
	return "unit " + c.Unit
}

// OnFailure is what becomes of a commit that fails after its first effect.
type OnFailure string

// The two answers; the zero value means Revert.
const (
	Revert OnFailure = "revert" // the host goes back
	Hold   OnFailure = "hold"   // it stays, and a person decides: there may be no way back
)
