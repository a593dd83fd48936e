package metrics

import (
	"bytes"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var update = flag.Bool("update", false, "write testdata/metrics.txt anew")

func newSet(t *testing.T) (*prometheus.Registry, *Set) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	return registry, New(registry, Build{Version: "1.2.3", Revision: "0123456789ab", GoVersion: "go1.26"})
}

func page(t *testing.T, from prometheus.Gatherer) string {
	t.Helper()
	answer := httptest.NewRecorder()
	Handler(from).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// lived is a set after some passes, with the values of testdata/metrics.txt.
func lived(s *Set) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 500e6, time.UTC)
	s.SourceAnswered(start)
	s.Stage("fetching", 120*time.Millisecond)
	s.Stage("applying", 2*time.Second)
	s.UnitJob("restart", "done")
	s.UnitJob("restart", "done")
	s.UnitJob("start", "failed")
	s.PassEnded("good", start)
	s.PassEnded("unchanged", start.Add(time.Minute))
	s.Reverted("check")
	s.PassEnded("rejected", start.Add(2*time.Minute))
	s.SourceFailed("unreachable")
	s.PassEnded("failed", start.Add(3*time.Minute))
	s.Commits(Commits{Target: "bbbb", Applied: "aaaa", Good: "aaaa"})
	s.Standing(Standing{Rejected: true})
	s.Paused(true, start)
	s.Frozen(true, start)
	s.ServicesDown(2)
	s.Phase("watching")
	s.Head(start)
	s.Stale(true)
	s.ConfigRead(false)
	s.Origin("https://git.example.com/hosts.git", true, start)
	s.Origin("https://mirror.example.com/hosts.git", false, time.Time{})
}

func TestPage(t *testing.T) {
	const file = "testdata/metrics.txt"
	registry, set := newSet(t)
	lived(set)
	got := page(t, registry)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal([]byte(got), want) {
		t.Errorf("the page differs from %s (go test -update writes it anew):\n%s", file, got)
	}
}

func TestNamesAreGood(t *testing.T) {
	registry, set := newSet(t)
	lived(set)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), namespace) {
			t.Errorf("%s does not begin with %s", family.GetName(), namespace)
		}
	}
}

// An alert on a rate must see zero, not nothing, before the first event, and no
// word may make a new series.
func TestSeriesAreThereFromTheStart(t *testing.T) {
	registry, set := newSet(t)
	names := func() string {
		var lines []string
		for line := range strings.Lines(page(t, registry)) {
			if name, _, found := strings.Cut(line, "} "); found && !strings.Contains(name, "_info{") {
				lines = append(lines, name)
			}
		}
		return strings.Join(lines, "\n")
	}
	for _, address := range []string{"https://git.example.com/hosts.git", "https://mirror.example.com/hosts.git"} {
		set.Origin(address, false, time.Time{}) // those are up to the config
	}
	before := names()
	lived(set)
	for _, word := range []string{"", "new", "a\nb"} {
		set.PassEnded(word, time.Unix(1, 0))
		set.Stage(word, time.Second)
		set.Reverted(word)
		set.UnitJob(word, word)
		set.SourceFailed(word)
	}
	if after := names(); after != before || before == "" {
		t.Errorf("series before:\n%s\nafter:\n%s", before, after)
	}
}

func TestRecall(t *testing.T) {
	registry, set := newSet(t)
	set.Recall(time.Unix(300, 0), time.Unix(200, 0), time.Time{})
	set.PassEnded("failed", time.Unix(400, 0))
	got := page(t, registry)
	for _, line := range []string{
		"evenkeel_last_pass_timestamp_seconds 400\n",
		"evenkeel_last_success_timestamp_seconds 200\n",
		"evenkeel_source_last_contact_timestamp_seconds 0\n",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no line %q in\n%s", line, got)
		}
	}
}

// A scrape at any moment sees exactly one series of each info gauge.
func TestInfoIsAlwaysOne(t *testing.T) {
	registry, set := newSet(t)
	stop := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				set.Commits(Commits{Target: "a"})
				set.Commits(Commits{Target: "b", Good: "a"})
				set.Phase("fetching")
				set.Phase("idle")
			}
		}
	})
	for range 200 {
		got := page(t, registry)
		for _, name := range []string{"evenkeel_commit_info{", "evenkeel_phase_info{", "evenkeel_build_info{"} {
			if n := strings.Count(got, name); n != 1 {
				t.Errorf("%d series of %s", n, name)
			}
		}
	}
	close(stop)
	changing.Wait()
}

func TestPageOnlyShows(t *testing.T) {
	registry, _ := newSet(t)
	answer := httptest.NewRecorder()
	Handler(registry).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/metrics", strings.NewReader("x")))
	if answer.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", answer.Code)
	}
}
