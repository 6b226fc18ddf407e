//go:build linux

package main

import (
	"strings"
	"testing"
)

// Every server echoes every message, as one frame, whatever its size.
func TestSockets(t *testing.T) {
	each(t, sockets, 1, func(t *testing.T, s server) {
		p := begin(t, s, sockets, task{})
		for _, w := range []workload{{20, 1, 1, 1}, {20, 64, 16, 1}, {10, 1 << 10, 16, 1}, {3, 20_000, 3, 1}} {
			exchanged(t, sockets, p.addr, w, 50)
		}
	})
}

// Every message of the sender reaches all, in order.
func TestSocketBroadcast(t *testing.T) {
	each(t, socketBroadcast, 1, func(t *testing.T, s server) {
		l, err := newFanout(workload{50, 128, 4, 1}, socketBroadcast, begin(t, s, socketBroadcast, task{}).addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		reaches(t, l.run, &l.next, 200)
	})
}

// All connections are upgraded and held. Servers on the loops have no goroutine for a connection, whoever
// read its request; the other servers, and the backend std, have at least one.
func TestUpgrades(t *testing.T) {
	each(t, upgrades, 1, func(t *testing.T, s server) {
		exchanged(t, upgrades, begin(t, s, upgrades, task{}).addr, workload{20, 64, 4, 1}, 50)
		r, err := measureUpgrades(bout{server: s, workload: workload{200, 64, 20, 1}})
		if err != nil {
			t.Fatal(err)
		}
		loops := strings.Contains(s.name, "uring") || strings.Contains(s.name, "epoll") || s.name == "nbio"
		if loops && r.Goroutines > 0.5 || !loops && r.Goroutines < 0.9 {
			t.Errorf("%.2f goroutines a connection", r.Goroutines)
		}
	})
}
