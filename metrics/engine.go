package metrics

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/proactor-go/proactor"
)

// patience is how long a scrape waits for a loop that is in a callback. After it the last
// distributions of that loop are shown.
const patience = 100 * time.Millisecond

// Engine is a collector for an engine: its connections, bytes, limits, memory, handshakes and
// loops. Several engines are told apart by prometheus.WrapRegistererWith. It may be asked after
// the engine was closed, too.
func Engine(e *proactor.Engine) prometheus.Collector { return engine{e} }

type engine struct{ *proactor.Engine }

var engineFamilies = []family[proactor.Stats]{
	counter("connections_accepted_total", "Connections that servers accepted.", func(s *proactor.Stats) int64 { return s.Accepted }),
	counter("connections_dialed_total", "Connections that dialers made.", func(s *proactor.Stats) int64 { return s.Dialed }),
	gauge("connections", "Connections that are open.", func(s *proactor.Stats) int64 { return s.Conns() }),
	counter("receives_total", "Runs of bytes that were received.", func(s *proactor.Stats) int64 { return s.Receives }),
	counter("received_bytes_total", "Bytes that were received.", func(s *proactor.Stats) int64 { return s.BytesIn }),
	counter("sends_total", "Sends that have ended; each carries several writes, or a part of one.", func(s *proactor.Stats) int64 { return s.Sends }),
	counter("sent_bytes_total", "Bytes that the system has taken to be sent.", func(s *proactor.Stats) int64 { return s.BytesOut }),
	counter("callback_panics_total", "Callbacks that panicked or called runtime.Goexit.", func(s *proactor.Stats) int64 { return s.Panics }),
	counter("slow_callbacks_total", "Callbacks that took longer than Config.SlowCallback.", func(s *proactor.Stats) int64 { return s.SlowCallbacks }),
	counter("accept_errors_total", "Accepts that failed, and accepted sockets that could not be used.", func(s *proactor.Stats) int64 { return s.AcceptErrors }),
	counter("starved_total", "Times that descriptors or memory ran out.", func(s *proactor.Stats) int64 { return s.Starved }),
	gauge("outbound_bytes", "Bytes that wait to be sent.", func(s *proactor.Stats) int64 { return s.Pending }),
	gauge("outbound_max_bytes", "Config.MaxOutbound.", func(s *proactor.Stats) int64 { return s.MaxPending }),
	gauge("inbound_bytes", "Memory of received bytes that handlers have left.", func(s *proactor.Stats) int64 { return s.Kept }),
	gauge("inbound_max_bytes", "Config.MaxInbound.", func(s *proactor.Stats) int64 { return s.MaxKept }),
	gauge("outbound_buffers", "Outbound buffers in use.", func(s *proactor.Stats) int64 { return s.Leased }),
	gauge("servers_paused", "Listeners that do not accept because of Server.Pause.", func(s *proactor.Stats) int64 { return s.Paused }),
	counter("max_connections_reached_total", "Times that a server reached MaxConns.", func(s *proactor.Stats) int64 { return s.Limited.Conns }),
	counter("lingering_reset_total", "Connections that were being closed and were reset, because the peer did not end its side.", func(s *proactor.Stats) int64 { return s.Limited.Linger }),
	counter("writes_refused_total", "Writes that Limits.MaxPending or Config.MaxOutbound refused.", func(s *proactor.Stats) int64 { return s.Limited.Writes }),
}

var (
	closedDesc     = desc("connections_closed_total", "Connections that have gone, by why.", "cause")
	handshakesDesc = desc("tls_handshakes_total", "TLS handshakes that have ended, by how.", "result")
	infoDesc       = desc("engine_info", "The backend and the number of loops; the value is 1.", "backend", "loops")
)

// distributions are the histograms of an engine. unit is what one is of the base unit: seconds or bytes.
var distributions = []struct {
	desc *prometheus.Desc
	unit float64
	of   func(*proactor.Histograms) *proactor.Histogram
}{
	{desc("loop_round_seconds", "How long a loop was busy in a round: other connections wait so long."), 1e-9, func(h *proactor.Histograms) *proactor.Histogram { return &h.Rounds }},
	{desc("callback_seconds", "How long the first completion of a round took, with its callback."), 1e-9, func(h *proactor.Histograms) *proactor.Histogram { return &h.Callbacks }},
	{desc("handshake_seconds", "From the accept, or the connect, to Opened, of connections with TLS or another layer."), 1e-9, func(h *proactor.Histograms) *proactor.Histogram { return &h.Handshakes }},
	{desc("connection_duration_seconds", "Lifetime of connections that have gone."), 1e-9, func(h *proactor.Histograms) *proactor.Histogram { return &h.Lifetimes }},
	{desc("connection_received_bytes", "Bytes received on connections that have gone."), 1, func(h *proactor.Histograms) *proactor.Histogram { return &h.Received }},
	{desc("connection_sent_bytes", "Bytes sent on connections that have gone."), 1, func(h *proactor.Histograms) *proactor.Histogram { return &h.Sent }},
}

// Describe implements prometheus.Collector.
func (e engine) Describe(ch chan<- *prometheus.Desc) {
	describe(engineFamilies, ch)
	for _, d := range []*prometheus.Desc{closedDesc, handshakesDesc, infoDesc} {
		ch <- d
	}
	for _, d := range distributions {
		ch <- d.desc
	}
}

// Collect implements prometheus.Collector.
func (e engine) Collect(ch chan<- prometheus.Metric) {
	s := e.Stats()
	collect(engineFamilies, &s, ch)
	for cause, n := range s.Causes {
		ch <- prometheus.MustNewConstMetric(closedDesc, prometheus.CounterValue, float64(n), proactor.Cause(cause).String())
	}
	for _, r := range []struct {
		result string
		n      int64
	}{
		{"done", s.Handshakes.Done}, {"no_tls", s.Handshakes.NoTLS}, {"cut", s.Handshakes.Cut}, {"alert", s.Handshakes.Alert},
		{"certificate", s.Handshakes.Certificate}, {"timed_out", s.Handshakes.TimedOut}, {"crowded", s.Handshakes.Crowded}, {"other", s.Handshakes.Other},
	} {
		ch <- prometheus.MustNewConstMetric(handshakesDesc, prometheus.CounterValue, float64(r.n), r.result)
	}
	ch <- prometheus.MustNewConstMetric(infoDesc, prometheus.GaugeValue, 1, e.Backend(), strconv.Itoa(e.Loops()))
	e.collectDistributions(ch)
}

func (e engine) collectDistributions(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := e.Histograms(ctx)
	if err != nil { // in a callback, which a scrape is not
		ch <- prometheus.NewInvalidMetric(infoDesc, err)
		return
	}
	for _, d := range distributions {
		h := d.of(&all)
		buckets, below := make(map[float64]uint64, proactor.HistogramLen), uint64(0)
		for i := range proactor.HistogramLen - 1 {
			below += uint64(h.Counts[i])
			buckets[float64(h.Bound(i))*d.unit] = below
		}
		ch <- prometheus.MustNewConstHistogram(d.desc, uint64(h.Count()), float64(h.Sum)*d.unit, buckets)
	}
}
