//go:build linux

// Command bench measures servers side by side: this project on each of its
// backends, the event loops that people use, package net, and bare loops without
// any framework, which show what the kernel lets one have.
//
//	cd bench && go run .             # everything; it says how long that takes
//	cd bench && go run . --quick     # a look at everything, a few minutes
//	cd bench && go run . echo --case 1000x64x1 --servers proactor-uring,gnet
//	cd bench && go run . echo --outside 'c-uring=./c_uring -p {port}'
//
// Every server runs alone, in a process of its own on CPU 0 with GOMAXPROCS=1;
// the load comes from CPU 1. A round runs all servers one after the other, and
// the next round begins with another one, so that what disturbs the machine
// disturbs all. Only ratios within a round are compared. What is measured during
// a disturbance is measured again. Every byte that comes back is verified, but
// for those that wrk gets.
//
// rows.csv, table.md and a chart for each family are written to bench/results.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/alecthomas/kong"
)

type cli struct {
	All    allCmd    `cmd:"" default:"withargs" help:"Every family, one after the other."`
	Server serverCmd `cmd:"" hidden:"" help:"One server, for the measurements."`
}

// flags are those of all measurements.
type flags struct {
	Servers []string      `help:"Servers to compare; all by default." placeholder:"NAME"`
	Outside []string      `help:"Another echo server: a command, with {port} where its port belongs. It is a reference of ratios, too." sep:"none" placeholder:"NAME=COMMAND"`
	Rounds  int           `help:"Rounds; 5, or 1 if quick." placeholder:"N"`
	Time    time.Duration `help:"Length of one measurement; 1s, or 500ms if quick." placeholder:"DURATION"`
	Warmup  time.Duration `help:"Load before it; 300ms, or 200ms if quick." placeholder:"DURATION"`
	Quick   bool          `help:"A first look: fewer and shorter measurements."`
	Out     string        `help:"Directory for rows.csv, table.md and the charts; empty: none." default:"results"`
}

// AfterApply is called by the parser. It fills in what was not given.
func (f *flags) AfterApply() error {
	rounds, length, warmup := 5, time.Second, 300*time.Millisecond
	if f.Quick {
		rounds, length, warmup = 1, 500*time.Millisecond, 200*time.Millisecond
	}
	if f.Rounds == 0 {
		f.Rounds = rounds
	}
	if f.Time == 0 {
		f.Time = length
	}
	if f.Warmup == 0 {
		f.Warmup = warmup
	}
	if f.Rounds < 0 || f.Time < 0 || f.Warmup < 0 {
		return errors.New("--rounds, --time and --warmup must not be negative")
	}
	return nil
}

// compare runs families and prints the tables.
func (f flags) compare(of []family) error {
	if runtime.NumCPU() < 2 {
		return errors.New("two CPUs are needed: one for the server, one for the load")
	}
	c, err := newComparison(f)
	if err != nil {
		return err
	}
	err = c.all(of)
	fmt.Print("\n", c.conditions(), c.tables(of))
	return err
}

type allCmd struct{ flags }

// Run runs every family.
func (c *allCmd) Run() error {
	all := families()
	if c.Quick {
		for i := range all {
			all[i].cases = all[i].quick
		}
	}
	return c.compare(all)
}

// familyCmd is the command of one family.
type familyCmd struct {
	flags
	Case   []workload `help:"Connections, bytes a message and messages in flight, as 1000x64x1; @2 behind it: two event loops." placeholder:"CxBxF"`
	family family
}

// Run runs the family.
func (c *familyCmd) Run() error {
	switch {
	case len(c.Case) > 0:
		c.family.cases = c.Case
	case c.Quick:
		c.family.cases = c.family.quick
	}
	return c.compare([]family{c.family})
}

type serverCmd struct {
	Name     string   `arg:""`
	Protocol protocol `arg:""`
	Addr     string   `arg:""`
	Loops    int      `default:"1"`
	To       string
}

// Run serves until the process is killed.
func (c *serverCmd) Run() error {
	collects()
	counts()
	s := find(servers, c.Name)
	if !s.can(c.Protocol, c.Loops) {
		return fmt.Errorf("no server %q for %s with %d loops", c.Name, c.Protocol, c.Loops)
	}
	return s.serves[c.Protocol](task{Addr: c.Addr, Loops: c.Loops, To: c.To})
}

func main() {
	options := []kong.Option{kong.Name("bench"), kong.Description("Measures servers side by side."), kong.UsageOnError()}
	for _, f := range families() {
		options = append(options, kong.DynamicCommand(f.name, f.about, "", &familyCmd{family: f}))
	}
	var c cli
	if err := kong.Parse(&c, options...).Run(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}
