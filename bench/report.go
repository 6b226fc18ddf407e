//go:build linux

package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// row is one measurement.
type row struct {
	Round    int
	Server   string
	Case     workload
	CPU      float64 // of the server, in microseconds a message
	Rate     float64 // messages a second
	P50, P99 float64 // microseconds
	Steal    float64 // share of the machine's time that others took
}

// String is the line that is printed while the rounds run.
func (r row) String() string {
	return fmt.Sprintf("%-16s %-12s %8.3f µs CPU a message  %9.0f/s  p50 %7.0f µs  p99 %7.0f µs  steal %.0f%%",
		r.Server, r.Case, r.CPU, r.Rate, r.P50, r.P99, r.Steal*100)
}

// spread is the median and the range of some figures.
type spread struct{ Median, Min, Max float64 }

func spreadOf(v []float64) spread {
	if len(v) == 0 {
		return spread{}
	}
	v = slices.Sorted(slices.Values(v))
	m := v[len(v)/2]
	if len(v)%2 == 0 {
		m = (m + v[len(v)/2-1]) / 2
	}
	return spread{m, v[0], v[len(v)-1]}
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Min, s.Max) }

// references are the servers that the others are compared with.
var references = []string{"uring-bare", "epoll-bare", "gnet", "net-4k"}

// ratios gives, for the rounds in which both ran, a's CPU time over b's.
func ratios(rows []row, w workload, a, b string) (v []float64) {
	cpu := func(name string, round int) float64 {
		for _, r := range rows {
			if r.Server == name && r.Round == round && r.Case == w {
				return r.CPU
			}
		}
		return 0
	}
	for _, r := range rows {
		if r.Server == a && r.Case == w {
			if d := cpu(b, r.Round); d > 0 {
				v = append(v, r.CPU/d)
			}
		}
	}
	return v
}

// tables gives a Markdown table for each workload: medians, ranges, and ratios
// of the same round.
func tables(rows []row, cases []workload, picked []server) string {
	var b strings.Builder
	for _, w := range cases {
		fmt.Fprintf(&b, "## %d connections × %d bytes, %d in flight\n\n", w.Conns, w.Size, w.Flight)
		b.WriteString("| server | CPU, µs a message | messages a second | p50, µs | p99, µs |")
		var refs []string
		for _, ref := range references {
			if slices.ContainsFunc(rows, func(r row) bool { return r.Server == ref && r.Case == w }) {
				refs = append(refs, ref)
				fmt.Fprintf(&b, " CPU / %s |", ref)
			}
		}
		b.WriteString("\n|" + strings.Repeat("---|", 5+len(refs)) + "\n")
		for _, s := range picked {
			column := func(f func(row) float64) (v []float64) {
				for _, r := range rows {
					if r.Server == s.name && r.Case == w {
						v = append(v, f(r))
					}
				}
				return v
			}
			cpu := column(func(r row) float64 { return r.CPU })
			if len(cpu) == 0 {
				continue
			}
			fmt.Fprintf(&b, "| %s | %v | %.0f | %.0f | %.0f |", s.name, spreadOf(cpu),
				spreadOf(column(func(r row) float64 { return r.Rate })).Median,
				spreadOf(column(func(r row) float64 { return r.P50 })).Median,
				spreadOf(column(func(r row) float64 { return r.P99 })).Median)
			for _, ref := range refs {
				fmt.Fprintf(&b, " %v |", spreadOf(ratios(rows, w, s.name, ref)))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// save writes rows.csv and table.md.
func save(dir string, rows []row, table string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	out := csv.NewWriter(&b)
	out.Write([]string{"round", "server", "conns", "size", "in_flight", "cpu_us", "per_s", "p50_us", "p99_us", "steal"})
	for _, r := range rows {
		out.Write([]string{fmt.Sprint(r.Round), r.Server, fmt.Sprint(r.Case.Conns), fmt.Sprint(r.Case.Size), fmt.Sprint(r.Case.Flight),
			fmt.Sprintf("%.4f", r.CPU), fmt.Sprintf("%.0f", r.Rate), fmt.Sprintf("%.1f", r.P50), fmt.Sprintf("%.1f", r.P99), fmt.Sprintf("%.4f", r.Steal)})
	}
	out.Flush()
	if err := os.WriteFile(filepath.Join(dir, "rows.csv"), []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "table.md"), []byte(table), 0o644)
}
