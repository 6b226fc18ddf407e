//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the servers, too.
func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Every server echoes every byte, whatever the size of the messages.
func TestServers(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			p, err := start(s)
			if err != nil && strings.Contains(err.Error(), "io_uring_setup") {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer p.stop()
			for _, w := range []workload{{20, 1, 1}, {20, 64, 16}, {5, 70_000, 3}} {
				c, err := newClient(w, p.addr)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.start(); err != nil {
					t.Fatal(err)
				}
				if err := c.run(time.Since(epoch)+20*time.Second, 100); err != nil {
					t.Errorf("%v: %v", w, err)
				}
				if want := int64(w.Conns) * 100 * int64(w.Size); c.bytes != want {
					t.Errorf("%v: %d bytes came back, want %d", w, c.bytes, want)
				}
				c.close()
			}
			if used, err := p.cpu(); err != nil || used <= 0 {
				t.Errorf("CPU time %v, %v", used, err)
			}
			if n, err := p.anonymous(); err != nil || n < 1<<20 {
				t.Errorf("%d bytes of memory, %v", n, err)
			}
		})
	}
}

// A client notices a byte that is wrong.
func TestWrongByte(t *testing.T) {
	p, err := start(servers[len(servers)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	c, err := newClient(workload{1, 64, 1}, p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.start(); err != nil {
		t.Fatal(err)
	}
	c.pattern[3] ^= 1
	if err := c.run(time.Since(epoch)+10*time.Second, 1); err == nil || !strings.Contains(err.Error(), "wrong") {
		t.Errorf("error %v", err)
	}
}

func TestTables(t *testing.T) {
	w := workload{10, 64, 1}
	rows := []row{
		{Round: 1, Server: "gnet", Case: w, CPU: 4}, {Round: 1, Server: "proactor-uring", Case: w, CPU: 2},
		{Round: 2, Server: "gnet", Case: w, CPU: 10}, {Round: 2, Server: "proactor-uring", Case: w, CPU: 6},
		{Round: 3, Server: "gnet", Case: w, CPU: 8}, {Round: 3, Server: "proactor-uring", Case: w, CPU: 6},
		{Round: 3, Server: "gnet", Case: workload{1, 1, 1}, CPU: 1},
	}
	if got := spreadOf(ratios(rows, w, "proactor-uring", "gnet")).String(); got != "0.60 (0.50–0.75)" {
		t.Errorf("ratio %s", got)
	}
	if got := spreadOf([]float64{4, 1, 3, 2}).Median; got != 2.5 {
		t.Errorf("median of four %v", got)
	}
	table := tables(rows, []workload{w}, servers)
	if !strings.Contains(table, "| proactor-uring | 6.00 (2.00–6.00) |") || strings.Contains(table, "net-4k") {
		t.Errorf("table:\n%s", table)
	}
	dir := t.TempDir()
	if err := save(dir, rows, table); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "rows.csv"))
	if err != nil || strings.Count(string(b), "\n") != len(rows)+1 || !strings.Contains(string(b), "2,gnet,10,64,1,10.0000,") {
		t.Errorf("rows.csv: %v\n%s", err, b)
	}
}

func TestWorkload(t *testing.T) {
	var w workload
	if err := w.UnmarshalText([]byte("1000x64x16")); err != nil || w != (workload{1000, 64, 16}) || w.String() != "1000x64x16" {
		t.Errorf("%v, %v", w, err)
	}
	for _, bad := range []string{"", "1x2", "0x1x1", "1x-1x1", "axbxc"} {
		if w.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
