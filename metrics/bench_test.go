package metrics_test

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/metrics"
)

// BenchmarkScrape is what a scrape of an engine and a server costs. Between scrapes metrics cost
// nothing: what they show is counted in any case.
func BenchmarkScrape(b *testing.B) {
	e, err := proactor.NewEngine(proactor.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	r := prometheus.NewRegistry()
	r.MustRegister(metrics.Engine(e), metrics.Server("echo", &proactor.Server{Engine: e}))
	for b.Loop() {
		if _, err := r.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
