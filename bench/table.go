//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aclements/go-moremath/stats"
)

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

// text has each number in a form of package fmt.
func (s spread) text(form string) string {
	if s.Min == s.Max {
		return fmt.Sprintf(form, s.Median)
	}
	return fmt.Sprintf(form+" ("+form+"–"+form+")", s.Median, s.Min, s.Max)
}

// rowsOf are the rows of a server in a case.
func rowsOf(rows []row, f family, w workload, server string) (found []row) {
	for _, r := range rows {
		if r.Family == f.name && r.Case == w && r.Server == server {
			found = append(found, r)
		}
	}
	return found
}

func values(rows []row, g figure) (v []float64) {
	for _, r := range rows {
		v = append(v, g.of(r))
	}
	return v
}

// ratios gives a figure of a over that of b, for the rounds in which both ran.
func ratios(a, b []row, g figure) (v []float64) {
	for _, x := range a {
		for _, y := range b {
			if x.Round == y.Round && g.of(y) > 0 {
				v = append(v, g.of(x)/g.of(y))
			}
		}
	}
	return v
}

// tables gives a Markdown table for each case of each family: medians, ranges,
// and ratios of the same round.
func (c *comparison) tables(families []family) string {
	var b strings.Builder
	for _, f := range families {
		if !slices.ContainsFunc(c.rows, func(r row) bool { return r.Family == f.name }) {
			continue
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", f.name, f.about)
		for _, w := range f.cases {
			c.table(&b, f, w)
		}
	}
	if len(c.notes) > 0 {
		b.WriteString("## Not measured\n\n- " + strings.Join(c.notes, "\n- ") + "\n")
	}
	return b.String()
}

func (c *comparison) table(b *strings.Builder, f family, w workload) {
	head := []string{"server"}
	for _, g := range f.figures {
		head = append(head, g.heading(f))
	}
	var references [][]row
	for _, s := range c.servers {
		rows := rowsOf(c.rows, f, w, s.name)
		if len(rows) > 0 && (s.outside != nil || slices.Contains(f.references, s.name)) {
			references = append(references, rows)
			head = append(head, "÷ "+s.name)
		}
	}
	first := rowsOf(c.rows, f, w, c.servers[0].name)
	judged := f.judged != nil && len(first) > 0
	if judged {
		head = append(head, f.judged.heading(f)+" ÷ "+c.servers[0].name)
	}
	head = append(head, "disturbed")
	fmt.Fprintf(b, "### %s\n\n| %s |\n|%s\n", w.heading(), strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, s := range c.servers {
		rows := rowsOf(c.rows, f, w, s.name)
		if len(rows) == 0 {
			continue
		}
		line := []string{s.name}
		for _, g := range f.figures {
			line = append(line, spreadOf(values(rows, g)).text(g.form))
		}
		for _, ref := range references {
			line = append(line, spreadOf(ratios(rows, ref, f.figures[0])).text("%.2f"))
		}
		if judged {
			line = append(line, verdict(rows, first, *f.judged))
		}
		line = append(line, disturbances(rows))
		fmt.Fprintf(b, "| %s |\n", strings.Join(line, " | "))
	}
	b.WriteString("\n")
}

// verdict is the median ratio of a figure of a to that of b in one round, and how
// likely two servers that are alike differ as much as these in all rounds: p of a
// Mann-Whitney U test, which asks nothing of how a figure is distributed.
func verdict(a, b []row, g figure) string {
	text := fmt.Sprintf("%.2f", spreadOf(ratios(a, b, g)).Median)
	if t, err := stats.MannWhitneyUTest(values(a, g), values(b, g), stats.LocationDiffers); err == nil {
		text += fmt.Sprintf(", p %.2f", t.P)
	}
	return text
}

// disturbances says how many of the rows were disturbed each time that they were
// measured, and how much at the worst.
func disturbances(rows []row) string {
	n, worst := 0, 0.0
	for _, r := range rows {
		if r.disturbed() {
			n++
			worst = max(worst, r.noise())
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d, up to %.0f%%", n, len(rows), worst*100)
}
