package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Report is what came of a run of Echo.
type Report struct {
	To          string           `json:"to"`
	Path        string           `json:"path,omitempty"` // of WebSockets
	Mode        string           `json:"mode"`           // "echo", "rate", "churn", "idle" or "broadcast"
	Backend     string           `json:"backend"`
	Loops       int              `json:"loops"`
	Size        int              `json:"size"`     // bytes of a message
	Pipeline    int              `json:"pipeline"` // messages in flight on a connection
	Seconds     float64          `json:"seconds"`
	Connections Connections      `json:"connections"`
	Messages    int64            `json:"messages"`           // that came back, every byte as sent; of a broadcast, that have arrived at all
	Arrivals    int64            `json:"arrivals,omitempty"` // of a broadcast's messages, at one connection each
	Bytes       int64            `json:"bytes"`              // of them
	PerSecond   float64          `json:"messages_per_second"`
	BytesPerSec float64          `json:"bytes_per_second"`
	Latency     *Latency         `json:"latency,omitempty"` // of messages; with churn, connect included; of a broadcast, until the last has it
	Connect     *Latency         `json:"connect,omitempty"`
	Errors      map[string]int64 `json:"errors"` // how often, by cause
	Example     string           `json:"example,omitempty"`
	Interrupted bool             `json:"interrupted"`
}

// Connections counts them.
type Connections struct {
	Wanted int   `json:"wanted"` // at a time
	Opened int64 `json:"opened"`
	Clean  int64 `json:"clean"` // closed by us, when all had come back
	Failed int64 `json:"failed"`
}

// Latency is a distribution, in microseconds.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p999_us"`
	Max   float64 `json:"max_us"`
}

// Err says that something went wrong, in one line; nil when nothing did.
func (r *Report) Err() error {
	switch {
	case r.Connections.Failed > 0:
		return fmt.Errorf("%d of %d connections failed, the first: %s", r.Connections.Failed, r.Connections.Clean+r.Connections.Failed, r.Example)
	case r.Interrupted:
		return fmt.Errorf("interrupted")
	}
	return nil
}

// report sums a run up that ended, or was stopped, at a time.
func (r *run) report(end int64) *Report {
	o := &r.opt
	t := r.total()
	rep := &Report{
		To: r.to, Path: o.Path, Mode: o.mode(), Backend: r.lanes[0].engine.Backend(), Loops: len(r.lanes), Size: o.Size, Pipeline: o.Pipeline,
		Connections: Connections{Wanted: o.Conns, Opened: t.opened, Clean: t.clean},
		Messages:    t.messages, Arrivals: t.arrivals, Bytes: max(t.messages, t.arrivals) * int64(o.Size),
	}
	if t.messages > 0 {
		end = t.lastEcho
	}
	rep.Seconds = time.Duration(end - r.began.Load()).Seconds()
	if rep.Seconds > 0 {
		rep.PerSecond = float64(rep.Messages) / rep.Seconds
		rep.BytesPerSec = float64(rep.Bytes) / rep.Seconds
	}
	latency, connect := newHistogram(), newHistogram()
	for _, l := range r.lanes {
		l.mu.Lock()
		latency.Merge(l.latency)
		connect.Merge(l.connect)
		l.mu.Unlock()
	}
	rep.Latency, rep.Connect = distribution(latency), distribution(connect)
	rep.Errors, rep.Connections.Failed = r.failures.snapshot()
	if r.failures.first != nil {
		rep.Example = oneLine(r.failures.first.Error())
	}
	return rep
}

func distribution(h *hdrhistogram.Histogram) *Latency {
	if h.TotalCount() == 0 {
		return nil
	}
	us := func(ns int64) float64 { return float64(ns) / 1e3 }
	q := func(p float64) float64 { return us(h.ValueAtQuantile(p)) }
	return &Latency{h.TotalCount(), q(50), q(90), q(99), q(99.9), us(h.Max())}
}

// Print writes the report as a table.
func (r *Report) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	what := fmt.Sprintf("%d bytes, %d in flight", r.Size, r.Pipeline)
	if r.Mode == "idle" {
		what = "nothing sent"
	}
	if r.Path != "" {
		what += ", by WebSockets"
	}
	row("load", "%s to %s%s, %s", r.Mode, r.To, r.Path, what)
	row("client", "%s, %d loops", r.Backend, r.Loops)
	c := r.Connections
	row("connections", "%d at a time, %d opened, %d clean, %d failed", c.Wanted, c.Opened, c.Clean, c.Failed)
	if r.Mode != "idle" {
		row("messages", "%d, %d bytes, in %.3f s", r.Messages, r.Bytes, r.Seconds)
		if r.Mode == "broadcast" {
			row("arrivals", "%d, a message at all connections", r.Arrivals)
		}
		row("rate", "%.0f messages/s, %.2f MB/s", r.PerSecond, r.BytesPerSec/1e6)
	} else {
		row("held", "%.3f s", r.Seconds)
	}
	errs := "none"
	for i, cause := range slices.Sorted(maps.Keys(r.Errors)) {
		if i == 0 {
			errs = ""
		} else {
			errs += ", "
		}
		errs += fmt.Sprintf("%d %s", r.Errors[cause], cause)
	}
	row("errors", "%s", errs)
	for _, l := range []struct {
		name string
		*Latency
	}{{"latency", r.Latency}, {"connect", r.Connect}} {
		if l.Latency != nil {
			row(l.name, "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", us(l.P50), us(l.P90), us(l.P99), us(l.P999), us(l.Max))
		}
	}
	t.Flush()
}

// us shows microseconds with three digits or more.
func us(v float64) string {
	switch {
	case v < 1e3:
		return fmt.Sprintf("%.0fµs", v)
	case v < 1e6:
		return fmt.Sprintf("%.2fms", v/1e3)
	}
	return fmt.Sprintf("%.2fs", v/1e6)
}
