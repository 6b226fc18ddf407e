//go:build linux

package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// row is one measurement. What its family does not measure is 0.
type row struct {
	Round          int
	Family         string
	Server         string
	Case           workload
	CPU            float64 // of the server, in microseconds a unit of the family
	Rate           float64 // units a second
	Offered        float64 // units a second that the load began, at a fixed rate
	P50, P99, P999 float64 // microseconds
	Last           float64 // microseconds until the last connection has a line, in the median
	Goroutines     float64 // of the server, a connection
	Idle, Spoken   float64 // bytes of the server's memory a connection, before and after a first message
	Steal, Foreign float64 // shares of the CPUs' time: other machines', other processes'
	Repeats        int     // how often it was measured again, as it was disturbed
}

// tolerance is how much of the CPUs' time may be stolen or foreign.
const tolerance = 0.15

func (r row) noise() float64 { return max(r.Steal, r.Foreign) }

func (r row) disturbed() bool { return r.noise() > tolerance }

func (r *row) latencies(h *hdrhistogram.Histogram) {
	r.P50 = float64(h.ValueAtQuantile(50)) / 1e3
	r.P99 = float64(h.ValueAtQuantile(99)) / 1e3
	r.P999 = float64(h.ValueAtQuantile(99.9)) / 1e3
}

// figure is one of the numbers that a row has.
type figure struct {
	column string // in rows.csv
	title  string // in tables and charts; {unit} and {units} are those of the family
	form   string // for fmt
	of     func(row) float64
}

var (
	cpuFigure     = figure{"cpu_us", "server CPU, µs a {unit}", "%.2f", func(r row) float64 { return r.CPU }}
	rateFigure    = figure{"per_s", "{units} a second", "%.0f", func(r row) float64 { return r.Rate }}
	offeredFigure = figure{"offered_per_s", "{units} a second offered", "%.0f", func(r row) float64 { return r.Offered }}
	p50Figure     = figure{"p50_us", "p50, µs", "%.0f", func(r row) float64 { return r.P50 }}
	p99Figure     = figure{"p99_us", "p99, µs", "%.0f", func(r row) float64 { return r.P99 }}
	p999Figure    = figure{"p999_us", "p99.9, µs", "%.0f", func(r row) float64 { return r.P999 }}
	lastFigure    = figure{"last_us", "to the last, µs", "%.0f", func(r row) float64 { return r.Last }}
	goroutines    = figure{"goroutines", "goroutines left a connection", "%.2f", func(r row) float64 { return r.Goroutines }}
	idleFigure    = figure{"idle_bytes", "idle, bytes a connection", "%.0f", func(r row) float64 { return r.Idle }}
	spokenFigure  = figure{"spoken_bytes", "after a message, bytes a connection", "%.0f", func(r row) float64 { return r.Spoken }}

	figures = []figure{cpuFigure, rateFigure, offeredFigure, p50Figure, p99Figure, p999Figure, idleFigure, spokenFigure, lastFigure, goroutines}
)

func (g figure) heading(f family) string {
	return strings.NewReplacer("{unit}", f.unit, "{units}", f.units).Replace(g.title)
}

// line is what is printed while the rounds run.
func (r row) line(f family) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-9s %-16s %-12s", f.name, r.Server, r.Case)
	for _, g := range f.figures {
		fmt.Fprintf(&b, "  %s: "+g.form, g.heading(f), g.of(r))
	}
	fmt.Fprintf(&b, "  steal %.0f%%  foreign %.0f%%", r.Steal*100, r.Foreign*100)
	if r.disturbed() {
		b.WriteString("  DISTURBED")
	}
	return b.String()
}

// writeCSV writes all rows. A figure that was not measured is empty.
func writeCSV(to io.Writer, rows []row) error {
	out := csv.NewWriter(to)
	head := []string{"round", "family", "server", "conns", "size", "in_flight", "loops"}
	for _, g := range figures {
		head = append(head, g.column)
	}
	out.Write(append(head, "steal", "foreign", "repeats", "disturbed"))
	for _, r := range rows {
		line := []string{fmt.Sprint(r.Round), r.Family, r.Server, fmt.Sprint(r.Case.Conns), fmt.Sprint(r.Case.Size),
			fmt.Sprint(r.Case.Flight), fmt.Sprint(r.Case.Loops)}
		for _, g := range figures {
			text := ""
			if v := g.of(r); v != 0 {
				text = fmt.Sprintf("%.5g", v)
				if v >= 1e5 {
					text = fmt.Sprintf("%.0f", v)
				}
			}
			line = append(line, text)
		}
		out.Write(append(line, fmt.Sprintf("%.3f", r.Steal), fmt.Sprintf("%.3f", r.Foreign), fmt.Sprint(r.Repeats), fmt.Sprint(r.disturbed())))
	}
	out.Flush()
	return out.Error()
}
