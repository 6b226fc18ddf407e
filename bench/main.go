//go:build linux

// Command bench measures echo servers side by side: this project on each of
// its backends, the event loops that people use, package net, and bare loops
// without any framework, which show what the kernel lets one have.
//
//	cd bench && go run .             # rounds of echo: CPU of the server a message
//	cd bench && go run . idle        # memory of idle connections
//
// Every server runs alone, in a process of its own on CPU 0 with GOMAXPROCS=1;
// the load comes from CPU 1. A round runs all servers one after the other, and
// the next round begins with another one, so that what disturbs the machine
// disturbs all. Only ratios within a round are compared. Every byte that comes
// back is verified.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

type cli struct {
	Echo   echoCmd   `cmd:"" default:"withargs" help:"Rounds of echo: CPU time of the server a message, and latencies."`
	Idle   idleCmd   `cmd:"" help:"Memory of idle connections, before and after a first message."`
	Server serverCmd `cmd:"" hidden:"" help:"One server, for the measurements."`
}

func main() {
	var c cli
	ctx := kong.Parse(&c, kong.Name("bench"), kong.Description("Measures echo servers side by side."), kong.UsageOnError())
	if err := ctx.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// pick resolves names of servers; all when there are none.
func pick(names []string) ([]server, error) {
	if len(names) == 0 {
		return servers, nil
	}
	var picked []server
	for _, n := range names {
		s, ok := find(n)
		if !ok {
			var have []string
			for _, s := range servers {
				have = append(have, s.name)
			}
			return nil, fmt.Errorf("no server %q: there are %s", n, strings.Join(have, ", "))
		}
		picked = append(picked, s)
	}
	return picked, nil
}

type echoCmd struct {
	Servers []string      `help:"Servers to run; all by default." placeholder:"NAME,..."`
	Case    []workload    `help:"Connections, bytes a message and messages in flight, as 1000x64x1." default:"1000x64x1" placeholder:"CxBxF,..."`
	Rounds  int           `help:"Rounds." default:"5"`
	Time    time.Duration `help:"Length of one measurement." default:"2s"`
	Warmup  time.Duration `help:"Load before it." default:"500ms"`
	Out     string        `help:"Directory for rows.csv and table.md; empty: none." default:"results"`
}

// Run runs the rounds, prints a row for each measurement and the tables.
func (c *echoCmd) Run() error {
	picked, err := pick(c.Servers)
	if err != nil {
		return err
	}
	var rows []row
	refused := map[string]bool{}
	for round := range c.Rounds {
		for _, w := range c.Case {
			for i := range picked {
				s := picked[(i+round)%len(picked)]
				if refused[s.name] {
					continue
				}
				r, err := measure(s, w, c.Warmup, c.Time)
				if err != nil {
					fmt.Printf("%-16s %-12s not run: %v\n", s.name, w, err)
					refused[s.name] = true
					continue
				}
				r.Round = round + 1
				rows = append(rows, r)
				fmt.Printf("%d/%d  %s\n", round+1, c.Rounds, r)
			}
		}
	}
	table := tables(rows, c.Case, picked)
	fmt.Print("\n", table)
	return save(c.Out, rows, table)
}

type idleCmd struct {
	Servers []string `help:"Servers to run; all by default." placeholder:"NAME,..."`
	Conns   int      `help:"Connections." default:"10000"`
}

// Run prints the memory a connection for each server.
func (c *idleCmd) Run() error {
	picked, err := pick(c.Servers)
	if err != nil {
		return err
	}
	fmt.Printf("Anonymous memory of the process a connection, %d connections, bytes.\n\n| server | idle | after a message |\n|---|---|---|\n", c.Conns)
	for _, s := range picked {
		before, after, err := idle(s, c.Conns)
		if err != nil {
			fmt.Printf("| %s | not run: %v | |\n", s.name, err)
			continue
		}
		fmt.Printf("| %s | %.0f | %.0f |\n", s.name, before, after)
	}
	return nil
}

type serverCmd struct {
	Name string `arg:""`
	Addr string `arg:""`
}

// Run serves until the process is killed.
func (c *serverCmd) Run() error {
	s, ok := find(c.Name)
	if !ok {
		return fmt.Errorf("no server %q", c.Name)
	}
	return s.serve(c.Addr)
}
