package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// What strangers may ask of the page at a time, and for how long.
const (
	inFlight = 4
	within   = 10 * time.Second
)

// Handler is the page /metrics. It answers GET and HEAD.
func Handler(from prometheus.Gatherer) http.Handler {
	page := promhttp.HandlerFor(from, promhttp.HandlerOpts{MaxRequestsInFlight: inFlight, Timeout: within})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		page.ServeHTTP(w, r)
	})
}
