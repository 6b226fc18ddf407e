//go:build linux

package main

import (
	"fmt"
	"image/color"
	"os"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

const (
	panelWidth  = 3.6 * vg.Inch
	barHeight   = 9 * vg.Millimeter / 2
	lineHeight  = 3.2 * vg.Inch
	titleHeight = 0.9 * vg.Inch
)

var (
	ours   = color.RGBA{0x1f, 0x77, 0xb4, 0xff}
	theirs = color.RGBA{0xb0, 0xb8, 0xc0, 0xff}
)

// chart draws a family into a file: a panel for each case and figure.
func (c *comparison) chart(f family, path string) error {
	if !slices.ContainsFunc(c.rows, func(r row) bool { return r.Family == f.name }) {
		return nil
	}
	var panels []*plot.Plot
	columns, height := len(f.charted), lineHeight
	if f.growing {
		for _, g := range f.charted {
			p, err := c.lines(f, g)
			if err != nil {
				return err
			}
			panels = append(panels, p)
		}
		panels = append(panels, c.legend(f))
		columns++
	} else {
		height = titleHeight + barHeight*vg.Length(len(c.able(f, f.cases[0])))
		for _, w := range f.cases {
			for _, g := range f.charted {
				p, err := c.bars(f, w, g)
				if err != nil {
					return err
				}
				if p != nil {
					panels = append(panels, p)
				}
			}
		}
		if columns == 1 {
			columns = min(4, len(panels))
		}
	}
	return tile(panels, columns, height, path)
}

// tile draws panels side by side, in so many columns.
func tile(panels []*plot.Plot, columns int, height vg.Length, path string) error {
	rows := (len(panels) + columns - 1) / columns
	grid := make([][]*plot.Plot, rows)
	for i := range grid {
		grid[i] = make([]*plot.Plot, columns)
		copy(grid[i], panels[i*columns:min(len(panels), (i+1)*columns)])
	}
	svg := vgsvg.New(panelWidth*vg.Length(columns), height*vg.Length(rows))
	pad := vg.Points(8)
	cells := plot.Align(grid, draw.Tiles{Rows: rows, Cols: columns, PadX: 2 * pad, PadY: 2 * pad, PadTop: pad, PadBottom: pad, PadLeft: pad, PadRight: pad}, draw.New(svg))
	for i, line := range grid {
		for j, p := range line {
			if p != nil {
				p.Draw(cells[i][j])
			}
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := svg.WriteTo(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

func newPanel(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(4)
	for _, f := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		f.Variant = "Sans"
		f.Size = vg.Points(9)
	}
	return p
}

// bars has a bar for each server, as long as the median, and a line over the
// range. nil: nothing was measured. A server that needs many times what is usual would make
// all others look alike: such bars are cut off, and have their number beside the
// name.
func (c *comparison) bars(f family, w workload, g figure) (*plot.Plot, error) {
	var labels []string
	var medians []spread
	for i := len(c.servers) - 1; i >= 0; i-- { // the first one is on top
		if rows := rowsOf(c.rows, f, w, c.servers[i].name); len(rows) > 0 {
			labels = append(labels, c.servers[i].name)
			medians = append(medians, spreadOf(values(rows, g)))
		}
	}
	if len(labels) == 0 {
		return nil, nil
	}
	p := newPanel(w.heading())
	p.X.Label.Text = g.heading(f)
	p.X.Min = 0
	var all []float64
	for _, m := range medians {
		all = append(all, m.Median)
	}
	most := 5 * spreadOf(all).Median
	var ends plotter.XYs
	var ranges plotter.XErrors
	for i, m := range medians {
		bar, err := plotter.NewBarChart(plotter.Values{m.Median}, barHeight*0.7)
		if err != nil {
			return nil, err
		}
		bar.Horizontal, bar.XMin, bar.LineStyle.Width, bar.Color = true, float64(i), 0, theirs
		if strings.HasPrefix(labels[i], "proactor") {
			bar.Color = ours
		}
		p.Add(bar)
		if m.Median > most {
			labels[i] += fmt.Sprintf(" ("+g.form+")", m.Median)
			continue
		}
		ends = append(ends, plotter.XY{X: m.Median, Y: float64(i)})
		ranges = append(ranges, struct{ Low, High float64 }{m.Median - m.Min, m.Max - m.Median})
	}
	lines, err := plotter.NewXErrorBars(struct {
		plotter.XYs
		plotter.XErrors
	}{ends, ranges})
	if err != nil {
		return nil, err
	}
	p.Add(lines)
	if p.X.Max > most {
		p.X.Max = most
	}
	p.NominalY(labels...)
	return p, nil
}

// lines has a line for each server, over the number of connections. The figures
// have a logarithmic axis, too, if they differ much; what is not above 0 has no
// place there.
func (c *comparison) lines(f family, g figure) (*plot.Plot, error) {
	p := newPanel(g.heading(f))
	p.X.Label.Text = "connections"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	for i, s := range c.servers {
		var points plotter.XYs
		for _, w := range f.cases {
			if m := spreadOf(values(rowsOf(c.rows, f, w, s.name), g)).Median; m > 0 {
				points = append(points, plotter.XY{X: float64(w.Conns), Y: m})
			}
		}
		if len(points) == 0 {
			continue
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return nil, err
		}
		line.Color, line.Dashes = plotutil.Color(i), plotutil.Dashes(i/7)
		marks.Color, marks.Shape = plotutil.Color(i), plotutil.Shape(i)
		p.Add(line, marks)
	}
	if p.X.Min >= p.X.Max { // a logarithmic axis needs a length: one case, or none
		p.X.Min, p.X.Max = 1, 10
	}
	if p.Y.Max > 20*p.Y.Min {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		p.Y.Min = 0
	}
	return p, nil
}

// legend is a panel for the names, which would hide lines.
func (c *comparison) legend(f family) *plot.Plot {
	p := newPanel("")
	p.HideAxes()
	p.Legend.Top, p.Legend.Left = true, true
	for i, s := range c.servers {
		if !s.can(f.protocol, 1) {
			continue
		}
		line := &plotter.Line{LineStyle: plotter.DefaultLineStyle}
		line.Color, line.Dashes = plotutil.Color(i), plotutil.Dashes(i/7)
		marks := &plotter.Scatter{GlyphStyle: draw.GlyphStyle{Color: plotutil.Color(i), Shape: plotutil.Shape(i), Radius: vg.Points(2.5)}}
		p.Legend.Add(s.name, line, marks)
	}
	return p
}

// chartName is the file of a family's chart.
func chartName(f family) string { return fmt.Sprintf("%s.svg", f.name) }
