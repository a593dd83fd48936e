package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"evenkeel/metrics"
)

// listenEvery is how often an address is tried that somebody else has.
const listenEvery = 10 * time.Second

// What is served, as the status names it.
const (
	forMetrics  = "metrics"
	forWebhooks = "webhooks"
)

// doors close the addresses that are served.
type doors struct{ metrics, webhooks func() }

func (d *daemon) openDoors() { d.doors = doors{d.serveMetrics(), d.listenForNudges()} }

func (d *daemon) closeDoors() {
	d.doors.metrics()
	d.doors.webhooks()
}

// moveDoors serves where the new configuration says, and leaves alone what is the
// same in it: a scrape is not cut for a label.
func (d *daemon) moveDoors(before Config) {
	if d.cfg.Listen == before.Listen && d.cfg.Webhook == before.Webhook {
		return
	}
	// All are closed before one is opened: they may change places.
	if d.cfg.Listen != before.Listen {
		d.doors.metrics()
	}
	if d.cfg.Webhook != before.Webhook {
		d.doors.webhooks()
	}
	if d.cfg.Listen != before.Listen {
		d.doors.metrics = d.serveMetrics()
	}
	if d.cfg.Webhook != before.Webhook {
		d.doors.webhooks = d.listenForNudges()
	}
}

func (d *daemon) makeMetrics() {
	registry := prometheus.NewRegistry()
	d.metrics = metrics.New(registry, metrics.Build{Version: d.opt.Version, Revision: d.opt.Revision, GoVersion: runtime.Version()})
	d.page = metrics.Handler(registry)
}

// serveMetrics serves the metrics until stop is called.
func (d *daemon) serveMetrics() (stop func()) {
	if d.cfg.Listen == "" {
		return func() {}
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", d.page)
	return d.serve(forMetrics, d.cfg.Listen, &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second})
}

// serve answers at an address until stop is called. That the address is taken is
// no reason to leave the host between two commits: it is tried again.
func (d *daemon) serve(what, address string, server *http.Server) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		listener := d.listen(ctx, what, address, listenEvery)
		if listener == nil {
			return
		}
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			d.cannotServe(what, err)
		}
	})
	return func() { cancel(); _ = server.Close(); serving.Wait(); d.unserved.put(what, "") }
}

// listen tries again and again; nil once the context has ended.
func (d *daemon) listen(ctx context.Context, what, address string, every time.Duration) net.Listener {
	for {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		d.cannotServe(what, err)
		if err == nil {
			return listener
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// cannotServe remembers why nobody is answered, for the status; nil when all are.
func (d *daemon) cannotServe(what string, fault error) {
	text := ""
	if fault != nil {
		text = fmt.Sprintf("cannot serve %s: %v", what, fault)
	}
	was := d.unserved.put(what, text)
	switch {
	case text != "" && text != was:
		d.log.Error("nobody is answered", "for", what, "err", fault)
	case text == "" && was != "":
		d.log.Info("answering again", "for", what)
	}
}

// unserved is why addresses are not served, by what they are for. Each has a goroutine
// that tries again.
type unserved struct {
	mu     sync.Mutex
	faults map[string]string
}

// put remembers a fault, "" for none, and gives the one before.
func (u *unserved) put(what, text string) (was string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	was = u.faults[what]
	delete(u.faults, what)
	if text != "" {
		if u.faults == nil {
			u.faults = map[string]string{}
		}
		u.faults[what] = text
	}
	return was
}

// list are the warnings.
func (u *unserved) list() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Values(u.faults))
}
