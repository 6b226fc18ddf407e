//go:build linux

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// known has rows of two families.
func known() (*comparison, []family) {
	c := &comparison{servers: servers, flags: flags{Rounds: 3, Time: time.Second}, notes: []string{"http: SKIPPED"}}
	w := workload{10, 64, 1, 1}
	add := func(round int, family, server string, w workload, cpu, foreign float64) {
		c.rows = append(c.rows, row{Round: round, Family: family, Server: server, Case: w, CPU: cpu, Rate: 1e6 / cpu, Foreign: foreign})
	}
	add(1, "echo", "gnet", w, 4, 0)
	add(1, "echo", "proactor-uring", w, 2, 0)
	add(2, "echo", "gnet", w, 10, 0.2)
	add(2, "echo", "proactor-uring", w, 6, 0)
	add(3, "echo", "gnet", w, 8, 0)
	add(3, "echo", "proactor-uring", w, 6, 0)
	add(3, "echo", "gnet", workload{1, 1, 1, 1}, 1, 0)
	for n := 1; n <= 100; n *= 10 {
		add(1, "growth", "gnet", workload{n, 64, 1, 1}, float64(n), 0)
	}
	var of []family
	for _, f := range families() {
		switch f.name {
		case "echo":
			f.cases = []workload{w}
			of = append(of, f)
		case "growth":
			f.cases = growthCases(100)
			of = append(of, f)
		}
	}
	return c, of
}

func TestTables(t *testing.T) {
	c, of := known()
	text := c.tables(of)
	for _, want := range []string{
		"### 10 connections × 64 bytes, 1 in flight",
		"| server | server CPU, µs a message | messages a second | p50, µs | p99, µs | p99.9, µs | ÷ gnet | disturbed |",
		"| proactor-uring | 6.00 (2.00–6.00) | 166667 (166667–500000) | 0 | 0 | 0 | 0.60 (0.50–0.75) |  |",
		"| gnet | 8.00 (4.00–10.00) | 125000 (100000–250000) | 0 | 0 | 0 | 1.00 | 1 of 3, up to 20% |",
		"### 100 connections × 64 bytes", "- http: SKIPPED\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "net-4k") || strings.Contains(text, "1 bytes") {
		t.Errorf("what was not measured, or not asked for, is in:\n%s", text)
	}
	// An outside server is a reference.
	c.servers = append(c.servers, server{name: "c-loop", outside: []string{"c"}})
	c.rows = append(c.rows, row{Round: 2, Family: "echo", Server: "c-loop", Case: workload{10, 64, 1, 1}, CPU: 5})
	if text := c.tables(of); !strings.Contains(text, "| ÷ gnet | ÷ c-loop |") || !strings.Contains(text, "| 0.60 (0.50–0.75) | 1.20 |") {
		t.Errorf("c-loop is no reference in:\n%s", text)
	}
}

// The same figures in another order are no difference, others that lie all
// above are one, and a single round shows nothing.
func TestVerdict(t *testing.T) {
	var a, same, above []row
	for i := range 10 {
		a = append(a, row{Round: i, P999: float64(1 + i)})
		same = append(same, row{Round: i, P999: float64(10 - i)})
		above = append(above, row{Round: i, P999: float64(30 + 30*i)})
	}
	for _, c := range []struct {
		b    []row
		want string
	}{{same, "1.02, p 1.00"}, {above, "30.00, p 0.00"}} {
		if got := verdict(c.b, a, p999Figure); !strings.HasPrefix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	c := &comparison{servers: servers[:2]}
	w := workload{1, 64, 1, 1}
	for i, s := range c.servers {
		c.rows = append(c.rows, row{Family: "latency", Server: s.name, Case: w, P999: float64(1 + i)})
	}
	f := families()[1]
	f.cases = []workload{w}
	if text := c.tables([]family{f}); !strings.Contains(text, "| p99.9, µs ÷ "+servers[0].name+" | disturbed |") || !strings.Contains(text, "| 2.00, p 1.00 |  |\n") {
		t.Errorf("no verdict in:\n%s", text)
	}
}

func TestSpread(t *testing.T) {
	if got := spreadOf([]float64{4, 1, 3, 2}); got != (spread{2.5, 1, 4}) {
		t.Errorf("of four: %v", got)
	}
	if got := spreadOf([]float64{3, 1, 2}).text("%.1f"); got != "2.0 (1.0–3.0)" {
		t.Error(got)
	}
	if got := spreadOf(nil); got != (spread{}) {
		t.Errorf("of none: %v", got)
	}
}

func TestSave(t *testing.T) {
	c, of := known()
	c.Out = filepath.Join(t.TempDir(), "results")
	if err := c.save(of); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(c.Out, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	rows := read("rows.csv")
	if strings.Count(rows, "\n") != len(c.rows)+1 || !strings.Contains(rows, "\n2,echo,gnet,10,64,1,1,10,100000,,,,,,,,,0.000,0.200,0,true\n") {
		t.Errorf("rows.csv:\n%s", rows)
	}
	if text := read("table.md"); !strings.Contains(text, "3 rounds of 1s") || !strings.Contains(text, "## growth") {
		t.Errorf("table.md:\n%s", text)
	}
	for name, want := range map[string][]string{
		"echo.svg":   {"gnet", "proactor-uring", "10 connections", "server CPU"},
		"growth.svg": {"gnet", "connections", "server CPU"},
	} {
		text := read(name)
		for d := xml.NewDecoder(strings.NewReader(text)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("no %q in %s", w, name)
			}
		}
	}
}

// A bar that would dwarf the others is cut off, and says so.
func TestLongBar(t *testing.T) {
	c, of := known()
	w := workload{10, 64, 1, 1}
	c.rows = append(c.rows, row{Round: 1, Family: "echo", Server: "net-4k", Case: w, CPU: 7}, row{Round: 1, Family: "echo", Server: "select", Case: w, CPU: 900})
	p, err := c.bars(of[0], w, cpuFigure)
	if err != nil {
		t.Fatal(err)
	}
	if p.X.Max != 37.5 { // five times the median of 6, 7, 8 and 900
		t.Errorf("the axis ends at %v", p.X.Max)
	}
	var labels []string
	for _, m := range p.Y.Tick.Marker.Ticks(0, 10) {
		labels = append(labels, m.Label)
	}
	if want := []string{"net-4k", "select (900.00)", "gnet", "proactor-uring"}; !reflect.DeepEqual(labels, want) {
		t.Errorf("labels %q, want %q", labels, want)
	}
}

// What is disturbed is measured again, and the quietest row is kept.
func TestUndisturbed(t *testing.T) {
	for _, v := range []struct {
		foreign []float64
		kept    float64
		repeats int
	}{{[]float64{0.1}, 0.1, 0}, {[]float64{0.5, 0.15}, 0.15, 1}, {[]float64{0.5, 0.3, 0.4}, 0.3, 2}} {
		n := 0
		f := family{name: "f", measure: func(bout) (row, error) {
			n++
			return row{CPU: float64(n), Foreign: v.foreign[n-1]}, nil
		}}
		r, err := undisturbed(f, bout{server: server{name: "s"}})
		if err != nil || n != len(v.foreign) || r.Foreign != v.kept || r.Repeats != v.repeats || r.Family != "f" || r.Server != "s" {
			t.Errorf("%v: %+v after %d, %v", v.foreign, r, n, err)
		}
	}
}

// In each round another server begins; one that fails is left out from then on,
// and it is said why.
func TestRounds(t *testing.T) {
	var order []string
	f := family{name: "f", protocol: echo, cases: []workload{{1, 1, 1, 1}}, measure: func(b bout) (row, error) {
		order = append(order, b.server.name)
		if b.server.name == "gnet" {
			return row{}, errors.New("no luck")
		}
		return row{CPU: 1}, nil
	}}
	c, err := newComparison(flags{Servers: []string{"net-4k", "gnet", "nbio", "fasthttp"}, Rounds: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.run(f); err != nil {
		t.Fatal(err)
	}
	if want := []string{"net-4k", "gnet", "nbio", "nbio", "net-4k", "nbio", "net-4k"}; !reflect.DeepEqual(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if len(c.rows) != 6 || len(c.notes) != 1 || !strings.Contains(c.notes[0], "no luck") {
		t.Errorf("%d rows, notes %q", len(c.rows), c.notes)
	}
	c, _ = newComparison(flags{Servers: []string{"gnet"}, Rounds: 1})
	if c.run(f) == nil {
		t.Error("nothing was measured, and that is no error")
	}
	f.needs = "a-program-that-is-nowhere"
	if err := c.run(f); err != nil || !strings.Contains(c.notes[len(c.notes)-1], "SKIPPED") {
		t.Errorf("%v, %q", err, c.notes)
	}
	if _, err := newComparison(flags{Servers: []string{"no-such"}}); err == nil {
		t.Error("an unknown server is taken")
	}
}

func TestWorkload(t *testing.T) {
	for text, want := range map[string]workload{"1000x64x16": {1000, 64, 16, 1}, "10x1x1@2": {10, 1, 1, 2}} {
		var w workload
		if err := w.UnmarshalText([]byte(text)); err != nil || w != want || w.String() != text {
			t.Errorf("%q: %v, %v", text, w, err)
		}
	}
	for _, bad := range []string{"", "1x2", "0x1x1", "1x-1x1", "axbxc", "1x1x1@0", "1x1x1@", "1x65536x1000"} {
		if w := new(workload); w.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if got := growthCases(250); !reflect.DeepEqual(got, []workload{{1, 64, 1, 1}, {10, 64, 1, 1}, {100, 64, 1, 1}, {250, 64, 1, 1}}) {
		t.Error(got)
	}
	for _, w := range matrix([]int{1, 10_000_000}, []int{1 << 20}, []int{16}) {
		if w.Conns > 1 {
			t.Errorf("%v has too much in flight", w)
		}
	}
}

const wrkSays = `Running 1s test @ http://127.0.0.1:8080/
  1 threads and 100 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.65ms  501.15us  10.57ms   94.13%
    Req/Sec    61.36k     2.69k   65.51k    80.00%
  Latency Distribution
     50%    1.58ms
     75%    1.70ms
     90%    1.88ms
     99%  820.00us
  61012 requests in 1.01s, 7.86MB read
Requests/sec:  60571.55
Transfer/sec:      7.80MB
`

func TestWrk(t *testing.T) {
	w, err := parseWrk(wrkSays)
	if want := (wrkResult{61012, 1010 * time.Millisecond, 1580 * time.Microsecond, 820 * time.Microsecond}); err != nil || w != want {
		t.Errorf("%+v, %v", w, err)
	}
	for _, bad := range []string{"", strings.Replace(wrkSays, "Requests/sec", "  Socket errors: connect 0, read 3, write 0, timeout 0\nRequests/sec", 1), strings.Replace(wrkSays, "Requests/sec", "  Non-2xx or 3xx responses: 1\nRequests/sec", 1)} {
		if _, err := parseWrk(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
