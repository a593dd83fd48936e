package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "evenkeel_"

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: namespace + name, Help: help})
}

func gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: namespace + name, Help: help}, labels)
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: namespace + name, Help: help}, labels)
}

// info is a gauge that is 1 and says something by its labels. There is exactly
// one series at any time; a vector that is reset and set again would show none
// to a scrape in between.
type info struct {
	desc *prometheus.Desc

	mu     sync.Mutex
	values []string
}

func newInfo(name, help string, labels ...string) *info {
	return &info{desc: prometheus.NewDesc(namespace+name, help, labels, nil), values: make([]string, len(labels))}
}

func (i *info) set(values ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.values = values
}

// Describe is part of prometheus.Collector.
func (i *info) Describe(c chan<- *prometheus.Desc) { c <- i.desc }

// Collect is part of prometheus.Collector.
func (i *info) Collect(c chan<- prometheus.Metric) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c <- prometheus.MustNewConstMetric(i.desc, prometheus.GaugeValue, 1, i.values...)
}
