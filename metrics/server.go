package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/work"
)

// Server is a collector for a server, whose metrics have its name in the label "server".
func Server(name string, s *proactor.Server) prometheus.Collector { return server{s, name} }

type server struct {
	*proactor.Server
	name string
}

var (
	serverConns = desc("server_connections", "Connections of the server that are open.", "server")
	serverMost  = desc("server_max_connections", "Server.MaxConns; 0: no bound.", "server")
)

// Describe implements prometheus.Collector.
func (s server) Describe(ch chan<- *prometheus.Desc) {
	ch <- serverConns
	ch <- serverMost
}

// Collect implements prometheus.Collector.
func (s server) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(serverConns, prometheus.GaugeValue, float64(s.Conns()), s.name)
	ch <- prometheus.MustNewConstMetric(serverMost, prometheus.GaugeValue, float64(s.MaxConns), s.name)
}

// Pool is a collector for a pool of workers, whose metrics have its name in the label "pool".
func Pool(name string, p *work.Pool) prometheus.Collector { return pool{p, name} }

type pool struct {
	*work.Pool
	name string
}

var poolFamilies = []family[work.Stats]{
	gauge("pool_workers", "Workers that run, idle ones included.", func(s *work.Stats) int64 { return int64(s.Workers) }, "pool"),
	gauge("pool_workers_busy", "Workers that serve a message.", func(s *work.Stats) int64 { return int64(s.Busy) }, "pool"),
	gauge("pool_waiting", "Messages that wait.", func(s *work.Stats) int64 { return int64(s.Waiting) }, "pool"),
	gauge("pool_waiting_bytes", "Bytes of the messages that wait.", func(s *work.Stats) int64 { return int64(s.WaitingBytes) }, "pool"),
	gauge("pool_memory_bytes", "Memory of messages that wait or are being served.", func(s *work.Stats) int64 { return int64(s.Memory) }, "pool"),
	gauge("pool_connections_paused", "Connections that are not read, because there is no room.", func(s *work.Stats) int64 { return int64(s.Paused) }, "pool"),
	counter("pool_served_total", "Messages that were served.", func(s *work.Stats) int64 { return s.Served }, "pool"),
	counter("pool_failed_total", "Messages whose Serve ended with an error or a panic.", func(s *work.Stats) int64 { return s.Failed }, "pool"),
	counter("pool_panics_total", "Messages whose Serve ended by a panic or runtime.Goexit.", func(s *work.Stats) int64 { return s.Panics }, "pool"),
	counter("pool_dropped_total", "Messages that were not served.", func(s *work.Stats) int64 { return s.Dropped }, "pool"),
}

var poolStopped = desc("pool_reads_stopped_total", "Times that the pool stopped reading a connection, by the bound that was reached.", "pool", "bound")

// Describe implements prometheus.Collector.
func (p pool) Describe(ch chan<- *prometheus.Desc) {
	describe(poolFamilies, ch)
	ch <- poolStopped
}

// Collect implements prometheus.Collector.
func (p pool) Collect(ch chan<- prometheus.Metric) {
	s := p.Stats()
	collect(poolFamilies, &s, ch, p.name)
	for _, b := range []struct {
		bound string
		n     int64
	}{{"per_conn", s.StoppedByPerConn}, {"queue", s.StoppedByQueue}, {"queue_bytes", s.StoppedByQueueBytes}} {
		ch <- prometheus.MustNewConstMetric(poolStopped, prometheus.CounterValue, float64(b.n), p.name, b.bound)
	}
}
