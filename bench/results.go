//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// save writes rows.csv, table.md and a chart for each family.
func (c *comparison) save(families []family) error {
	if c.Out == "" {
		return nil
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(c.Out, "rows.csv"))
	if err != nil {
		return err
	}
	if err := errors.Join(writeCSV(file, c.rows), file.Close()); err != nil {
		return err
	}
	text := c.conditions() + c.tables(families)
	if err := os.WriteFile(filepath.Join(c.Out, "table.md"), []byte(text), 0o644); err != nil {
		return err
	}
	for _, f := range families {
		if err := c.chart(f, filepath.Join(c.Out, chartName(f))); err != nil {
			return err
		}
	}
	return nil
}

// conditions says under which all was measured.
func (c *comparison) conditions() string {
	kernel := "?"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	var peers []string
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			for _, name := range []string{"gnet", "netpoll", "nbio", "fasthttp"} {
				if strings.HasSuffix(strings.TrimSuffix(m.Path, "/v2"), "/"+name) {
					peers = append(peers, name+" "+m.Version)
				}
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Measurements\n\nLinux %s, %d CPUs, loopback; %s", kernel, runtime.NumCPU(), strings.Join(append([]string{runtime.Version()}, peers...), ", "))
	fmt.Fprintf(&b, `.
Each server ran alone, in a process of its own on CPU 0 with GOMAXPROCS=1; the load
came from CPU 1. %d rounds of %v for each server, interleaved. Figures are medians,
with the range in brackets; ratios (÷) are those of the first figure, within one
round. A row during which other machines or processes had over %.0f%% of the CPUs'
time was measured again, at most twice; what was disturbed even so is counted.

`, c.Rounds, c.Time, tolerance*100)
	return b.String()
}
