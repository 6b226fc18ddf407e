// Package metrics shows engines, servers and worker pools to Prometheus:
//
//	prometheus.MustRegister(metrics.Engine(engine), metrics.Server("echo", srv))
//	http.Handle("/metrics", promhttp.Handler())
//
// The counters are those that the framework keeps in any case; a scrape reads them, and nothing is done
// for a message. Names follow the conventions of Prometheus: seconds, bytes, and _total for what
// only grows. docs/metrics.md lists them, with a dashboard and alerts.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "proactor"

// family is one metric of a subject S: what it is called, and where its value is.
type family[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*S) float64
}

// counter is a family whose value only grows.
func counter[S any](name, help string, value func(*S) int64, labels ...string) family[S] {
	return family[S]{desc(name, help, labels...), prometheus.CounterValue, func(s *S) float64 { return float64(value(s)) }}
}

// gauge is a family whose value is that of the moment.
func gauge[S any](name, help string, value func(*S) int64, labels ...string) family[S] {
	return family[S]{desc(name, help, labels...), prometheus.GaugeValue, func(s *S) float64 { return float64(value(s)) }}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

func describe[S any](families []family[S], ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- f.desc
	}
}

// collect sends the value of each family, with the values of its labels.
func collect[S any](families []family[S], s *S, ch chan<- prometheus.Metric, labels ...string) {
	for _, f := range families {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(s), labels...)
	}
}
