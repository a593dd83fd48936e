package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Build says which program this is.
type Build struct{ Version, Revision, GoVersion string }

// Commits are the hashes of the newest commit of the branch, of the one whose
// files are on the host, and of the last one that proved itself; "" for none.
type Commits struct{ Target, Applied, Good string }

// Standing is how the newest commit of the branch stands on this host, and
// whether the agent acts at all. Each is something to alert on.
type Standing struct {
	Rejected   bool // it failed here, and is not tried again
	Refused    bool // it has faults that were found before anything was touched
	Waiting    bool // it needs something that is not there yet
	Held       bool // the agent stopped acting and waits for a person or another commit
	RolledBack bool // a person took the host back to an older commit
	Deferred   bool // it would be applied, and a pause or a window keeps it back
}

// Words that the agent counts by. All series exist from the start, so that a
// rate over one that was never counted is zero, not nothing. A word that is
// missing here is counted as other.
const other = "other"

func results() []string {
	return []string{"unchanged", "good", "refused", "waiting", "rejected", "undone", "superseded", "watching", "held", "deferred", "corrected", "failed", other}
}

func stages() []string {
	return []string{"fetching", "rendering", "observing", "validating", "staging", "applying", "watching", "reverting", other}
}

func revertReasons() []string {
	return []string{"step", "unit", "check", "guard", "interrupted", other}
}

func sourceReasons() []string {
	return []string{"unreachable", "auth", "no-branch", "garbage", "limit", "rewritten", "signature", "too-old", other}
}

func driftKinds() []string { return []string{"file", "link", "directory", "unit", other} }

func verbs() []string { return []string{"start", "stop", "restart", "reload", other} }

func jobResults() []string {
	return []string{"done", "failed", "timeout", "dependency", other}
}

// Set is all the metrics of the agent. Its methods may run side by side.
type Set struct {
	lastPass    prometheus.Gauge
	lastSuccess prometheus.Gauge
	passes      *prometheus.CounterVec
	stages      *prometheus.HistogramVec
	phase       *info

	commits     *info
	rejected    prometheus.Gauge
	refused     prometheus.Gauge
	waiting     prometheus.Gauge
	held        prometheus.Gauge
	rolled      prometheus.Gauge
	deferred    prometheus.Gauge
	paused      prometheus.Gauge
	since       prometheus.Gauge
	frozen      prometheus.Gauge
	frozenSince prometheus.Gauge
	reverts     *prometheus.CounterVec
	unitJobs    *prometheus.CounterVec
	down        prometheus.Gauge
	drift       *prometheus.GaugeVec
	corrections *prometheus.CounterVec

	sourceUp      prometheus.Gauge
	sourceContact prometheus.Gauge
	sourceErrors  *prometheus.CounterVec
	sourceHead    prometheus.Gauge
	stale         prometheus.Gauge
	configRead    prometheus.Gauge
	originUp      *prometheus.GaugeVec
	originContact *prometheus.GaugeVec
}

// New registers a set. It panics when one is registered there already, which is
// a bug.
func New(reg prometheus.Registerer, build Build) *Set {
	s := &Set{
		lastPass:    gauge("last_pass_timestamp_seconds", "When the last pass ended, whatever its result; 0 before the first."),
		lastSuccess: gauge("last_success_timestamp_seconds", "When a pass last ended with the host at the newest commit of the branch."),
		passes:      counter("passes_total", "Passes by how they ended.", "result"),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    namespace + "pass_duration_seconds",
			Help:    "How long the stages of a pass took.",
			Buckets: []float64{0.01, 0.1, 1, 10, 60, 600},
		}, []string{"stage"}),
		phase: newInfo("phase_info", "What the agent does at the moment.", "phase"),

		commits:  newInfo("commit_info", "The newest commit of the branch, the one on the host, and the last good one.", "target", "applied", "good"),
		rejected: gauge("rejected", "1 while the newest commit is one that failed on this host and is not tried again."),
		refused:  gauge("refused", "1 while the newest commit has faults that were found before anything was touched."),
		waiting:  gauge("waiting", "1 while the newest commit needs a user, group, binary or unit that is not there yet."),
		held:     gauge("held", "1 while the agent has stopped acting."),
		rolled:   gauge("rolled_back", "1 while the host stays at a commit that a person went back to."),
		deferred: gauge("deferred", "1 while the newest commit would be applied, and a pause or a maintenance window keeps it back."),
		paused:   gauge("paused", "1 while a person keeps new commits off the host."),
		since:    gauge("paused_since_timestamp_seconds", "When the pause began that is in force; 0 without one."),
		frozen:   gauge("frozen", "1 while a person has what drifts left as it is."),
		reverts:  counter("reverts_total", "Commits that were put back, by what failed.", "reason"),
		unitJobs: counter("unit_jobs_total", "Jobs that systemd was asked for, by its answer.", "verb", "result"),

		frozenSince: gauge("frozen_since_timestamp_seconds", "When the freeze began that is in force; 0 without one."),
		down:        gauge("services_down", "Services of the good commit that shall run and do not."),
		drift:       gauges("drift", "Paths and units that are not as the good commit left them.", "kind"),
		corrections: counter("corrections_total", "Paths and units that drifted and were put back to the good commit.", "kind"),

		sourceUp:      gauge("source_up", "1 when the last look at the repository gave a commit."),
		sourceContact: gauge("source_last_contact_timestamp_seconds", "When the repository last gave a commit; 0 before the first time."),
		sourceErrors:  counter("source_errors_total", "Looks at the repository that gave no commit, by reason.", "reason"),
		sourceHead:    gauge("source_head_timestamp_seconds", "When the newest commit was made, by its own clock; 0 before one was read."),
		stale:         gauge("source_stale", "1 while no repository answers, or the newest commit is old, for longer than the host's config allows."),
		configRead:    gauge("config_last_reload_successful", "1 when the host's own configuration could be read the last time; 0 while what it said before stays in force."),
		originUp:      gauges("origin_up", "1 when the last look at this repository or mirror gave a commit that counts.", "origin"),
		originContact: gauges("origin_last_contact_timestamp_seconds", "When this repository or mirror last answered; 0 before the first time.", "origin"),
	}
	buildInfo := newInfo("build_info", "The program itself.", "version", "revision", "goversion")
	buildInfo.set(build.Version, build.Revision, build.GoVersion)
	s.phase.set("idle")
	s.commits.set("", "", "")
	s.ConfigRead(true) // without it there would be no agent
	s.initialise()
	reg.MustRegister(buildInfo, s.lastPass, s.lastSuccess, s.passes, s.stages, s.phase,
		s.commits, s.rejected, s.refused, s.waiting, s.held, s.rolled, s.deferred, s.paused, s.since, s.frozen, s.frozenSince, s.reverts, s.unitJobs, s.down, s.drift, s.corrections,
		s.sourceUp, s.sourceContact, s.sourceErrors, s.sourceHead, s.stale, s.configRead, s.originUp, s.originContact)
	return s
}

func (s *Set) initialise() {
	for _, word := range results() {
		s.passes.WithLabelValues(word)
	}
	for _, word := range stages() {
		s.stages.WithLabelValues(word)
	}
	for _, word := range revertReasons() {
		s.reverts.WithLabelValues(word)
	}
	for _, word := range sourceReasons() {
		s.sourceErrors.WithLabelValues(word)
	}
	for _, kind := range driftKinds() {
		s.drift.WithLabelValues(kind)
		s.corrections.WithLabelValues(kind)
	}
	for _, verb := range verbs() {
		for _, word := range jobResults() {
			s.unitJobs.WithLabelValues(verb, word)
		}
	}
}

// Recall sets what is known from before a restart of the agent; a zero time is
// not known.
func (s *Set) Recall(lastPass, lastSuccess, lastContact time.Time) {
	setTime(s.lastPass, lastPass)
	setTime(s.lastSuccess, lastSuccess)
	setTime(s.sourceContact, lastContact)
}

// PassEnded counts a pass. One that found nothing to do, or whose commit proved
// itself, is a success.
func (s *Set) PassEnded(result string, when time.Time) {
	s.passes.WithLabelValues(known(results(), result)).Inc()
	setTime(s.lastPass, when)
	if result == "unchanged" || result == "good" {
		setTime(s.lastSuccess, when)
	}
}

// Stage records how long one stage of a pass took.
func (s *Set) Stage(stage string, took time.Duration) {
	s.stages.WithLabelValues(known(stages(), stage)).Observe(took.Seconds())
}

// Phase says what the agent does now.
func (s *Set) Phase(phase string) { s.phase.set(phase) }

// Commits says which commits count.
func (s *Set) Commits(c Commits) { s.commits.set(c.Target, c.Applied, c.Good) }

// Standing says how the newest commit stands.
func (s *Set) Standing(now Standing) {
	setBool(s.rejected, now.Rejected)
	setBool(s.refused, now.Refused)
	setBool(s.waiting, now.Waiting)
	setBool(s.held, now.Held)
	setBool(s.rolled, now.RolledBack)
	setBool(s.deferred, now.Deferred)
}

// Paused says whether a person keeps new commits off the host, and since when.
func (s *Set) Paused(on bool, since time.Time) { setSince(s.paused, s.since, on, since) }

// Frozen says whether a person has what drifts left as it is, and since when.
func (s *Set) Frozen(on bool, since time.Time) { setSince(s.frozen, s.frozenSince, on, since) }

func setSince(state, began prometheus.Gauge, on bool, since time.Time) {
	setBool(state, on)
	if since.IsZero() {
		began.Set(0)
	}
	setTime(began, since)
}

// Reverted counts a commit that was put back because of a step that could not be
// done, a unit, a check, or because it was interrupted too often ("interrupted").
func (s *Set) Reverted(reason string) {
	s.reverts.WithLabelValues(known(revertReasons(), reason)).Inc()
}

// UnitJob counts a job with systemd's result word.
func (s *Set) UnitJob(verb, result string) {
	s.unitJobs.WithLabelValues(known(verbs(), verb), known(jobResults(), result)).Inc()
}

// ServicesDown says how many services shall run and do not.
func (s *Set) ServicesDown(n int) { s.down.Set(float64(n)) }

// Drift says how many paths or units of a kind drifted.
func (s *Set) Drift(kind string, n int) {
	s.drift.WithLabelValues(known(driftKinds(), kind)).Set(float64(n))
}

// Corrected counts a path or unit that was put right.
func (s *Set) Corrected(kind string) {
	s.corrections.WithLabelValues(known(driftKinds(), kind)).Inc()
}

// SourceAnswered says that the repository gave a commit.
func (s *Set) SourceAnswered(when time.Time) {
	s.sourceUp.Set(1)
	setTime(s.sourceContact, when)
}

// SourceFailed says that it did not.
func (s *Set) SourceFailed(reason string) {
	s.sourceUp.Set(0)
	s.sourceErrors.WithLabelValues(known(sourceReasons(), reason)).Inc()
}

// Head says when the newest commit was made.
func (s *Set) Head(made time.Time) { setTime(s.sourceHead, made) }

// Stale says whether a bound on silence is exceeded.
func (s *Set) Stale(on bool) { setBool(s.stale, on) }

// ConfigRead says whether the host's own configuration could be read.
func (s *Set) ConfigRead(ok bool) { setBool(s.configRead, ok) }

// Origin tells of one repository or mirror. Which there are is up to the host's
// config, so the series are few.
func (s *Set) Origin(address string, up bool, contact time.Time) {
	setBool(s.originUp.WithLabelValues(address), up)
	g := s.originContact.WithLabelValues(address)
	setTime(g, contact)
}

// Origins forgets the series of those that are not in the config any more.
func (s *Set) Origins() {
	s.originUp.Reset()
	s.originContact.Reset()
}

// known keeps the values of a label few.
func known(words []string, word string) string {
	if slices.Contains(words, word) {
		return word
	}
	return other
}

func setBool(g prometheus.Gauge, on bool) {
	if on {
		g.Set(1)
	} else {
		g.Set(0)
	}
}

func setTime(g prometheus.Gauge, when time.Time) {
	if !when.IsZero() {
		g.Set(float64(when.UnixMilli()) / 1000)
	}
}
