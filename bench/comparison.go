//go:build linux

package main

import (
	"errors"
	"fmt"
	"math"
	"os/exec"
	"slices"
	"time"
)

// comparison is a run of families: what is compared, and what came out.
type comparison struct {
	flags
	servers []server
	rows    []row
	notes   []string // what was not measured, and why
}

// newComparison picks the servers.
func newComparison(f flags) (*comparison, error) {
	c := &comparison{flags: f}
	if len(f.Servers) == 0 {
		c.servers = slices.Clone(servers)
	}
	for _, name := range f.Servers {
		s := find(servers, name)
		if s.name == "" {
			return nil, fmt.Errorf("no server %q: there are %s", name, names(servers))
		}
		c.servers = append(c.servers, s)
	}
	for _, text := range f.Outside {
		s, err := parseOutside(text)
		if err != nil {
			return nil, err
		}
		if find(servers, s.name).name != "" {
			return nil, fmt.Errorf("there is a server %q already", s.name)
		}
		c.servers = append(c.servers, s)
	}
	return c, nil
}

// able are the servers that can do a case.
func (c *comparison) able(f family, w workload) (able []server) {
	for _, s := range c.servers {
		if s.can(f.protocol, w.Loops) {
			able = append(able, s)
		}
	}
	return able
}

// estimate is how long families take if nothing has to be measured again.
func (c *comparison) estimate(of []family) (sum time.Duration) {
	for _, f := range of {
		for _, w := range f.cases {
			each := c.Time + c.Warmup + 200*time.Millisecond + time.Duration(w.Conns)*50*time.Microsecond
			if f.needs == wrk {
				each = c.Time.Truncate(time.Second) + 2*time.Second
			}
			if f.protocol == echo && (f.growing || f.unit == "") { // memory settles three times
				each += 2 * time.Second
			}
			rounds := c.Rounds
			if f.fixedRate {
				rounds++ // the peaks
			}
			sum += time.Duration(len(c.able(f, w))*rounds) * each
		}
	}
	return sum
}

// note says, there and then and below the tables, what is missing.
func (c *comparison) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Println(text)
	c.notes = append(c.notes, text)
}

// run measures a family: in each round all servers one after the other, beginning
// with another one each time.
func (c *comparison) run(f family) error {
	if f.needs != "" {
		if _, err := exec.LookPath(f.needs); err != nil {
			c.note("%s: SKIPPED: it needs %s, which is not there (apt-get install %s).", f.name, f.needs, f.needs)
			return nil
		}
	}
	type entrant struct {
		server string
		w      workload
	}
	out := map[entrant]bool{}
	rates := map[workload]float64{}
	measured := false
	for round := range c.Rounds {
		for _, w := range f.cases {
			able := c.able(f, w)
			for i := range able {
				b := bout{server: able[(i+round)%len(able)], workload: w, warmup: c.Warmup, length: c.Time}
				if out[entrant{b.server.name, w}] {
					continue
				}
				if f.fixedRate && rates[w] == 0 {
					rates[w] = c.halfOfSmallestPeak(f, able, b)
				}
				b.rate = rates[w]
				r, err := undisturbed(f, b)
				if err != nil {
					out[entrant{b.server.name, w}] = true
					c.note("%s: %s with %s was not measured: %v", f.name, b.server.name, w.heading(), err)
					continue
				}
				r.Round, measured = round+1, true
				c.rows = append(c.rows, r)
				fmt.Printf("%d/%d  %s\n", r.Round, c.Rounds, r.line(f))
			}
		}
	}
	if !measured {
		return fmt.Errorf("%s: none of %s was measured", f.name, names(c.servers))
	}
	return nil
}

// undisturbed measures again, at most twice, what others disturbed, and gives the
// quietest of the rows.
func undisturbed(f family, b bout) (best row, err error) {
	for repeats := 0; repeats <= 2; repeats++ {
		r, err := f.measure(b)
		if err != nil {
			return row{}, err
		}
		if repeats == 0 || r.noise() < best.noise() {
			best = r
		}
		best.Repeats = repeats
		if !best.disturbed() {
			break
		}
	}
	best.Family, best.Server, best.Case = f.name, b.server.name, b.workload
	return best, nil
}

// halfOfSmallestPeak is the rate that all servers get alike: the slowest of them
// is to be half busy, not overloaded. A server without a peak fails later, with a reason.
func (c *comparison) halfOfSmallestPeak(f family, able []server, b bout) float64 {
	smallest, of := math.Inf(1), ""
	for _, s := range able {
		b.server = s
		if r, err := measureEcho(b); err == nil && r.Rate < smallest {
			smallest, of = r.Rate, s.name
		}
	}
	if math.IsInf(smallest, 1) {
		return 1
	}
	fmt.Printf("%s: %s: %.0f %s a second for all, half the peak of %s\n", f.name, b.heading(), smallest/2, f.units, of)
	return smallest / 2
}

// all runs families and saves after each, so that what there is stays when the
// rest is interrupted.
func (c *comparison) all(of []family) error {
	most := 0
	for _, f := range of {
		for _, w := range f.cases {
			most = max(most, w.Conns)
		}
	}
	// Before the servers start: they inherit the limit.
	if err := raiseLimit(max(most, min(most*descriptorsEach, mostConns()))); err != nil {
		return err
	}
	fmt.Printf("%d rounds of %v: about %v, and more where others disturb.\n", c.Rounds, c.Time, c.estimate(of).Round(time.Second))
	var errs error
	for _, f := range of {
		errs = errors.Join(errs, c.run(f))
		if err := c.save(of); err != nil {
			return err
		}
	}
	return errs
}
