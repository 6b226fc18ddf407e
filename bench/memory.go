//go:build linux

package main

import "time"

// held is the server's memory. With TLS, WebSockets and net/http garbage is left of each handshake, as much
// again as what is in use, for some time that depends on the load: it is collected first.
func held(s *process, p protocol) (int64, error) {
	if p.leavesGarbage() {
		if err := s.collect(); err != nil {
			return 0, err
		}
	}
	return s.settled()
}

// grow connects, and tells by how much a connection makes the server's memory
// grow, before and after its first message.
func grow(w workload, p protocol, s *process) (*windows, row, error) {
	// What some connections make the server do for the first time is not theirs. Garbage of each size
	// costs the collector some KiB, once: they are as many as leave some.
	warmers := 10
	if p.leavesGarbage() {
		warmers = 1_000
	}
	warm, err := newWindows(workload{min(warmers, w.Conns), w.Size, 1, w.Loops}, p, s.addr)
	if err != nil {
		return nil, row{}, err
	}
	defer warm.close()
	if err := warm.exchange(1, patience); err != nil {
		return nil, row{}, err
	}
	base, err := held(s, p)
	if err != nil {
		return nil, row{}, err
	}
	c, err := newWindows(w, p, s.addr)
	if err != nil {
		return nil, row{}, err
	}
	quiet, err := held(s, p)
	if err == nil {
		err = c.exchange(1, 30*time.Second)
	}
	var spoken int64
	if err == nil {
		spoken, err = held(s, p)
	}
	if err != nil {
		c.close()
		return nil, row{}, err
	}
	n := float64(w.Conns)
	return c, row{Idle: float64(quiet-base) / n, Spoken: float64(spoken-base) / n}, nil
}

// measureIdle measures memory alone.
func measureIdle(b bout) (row, error) { return measureMemory(b, echo) }

func measureIdleTLS(b bout) (row, error) { return measureMemory(b, secured) }

func measureIdleHybrid(b bout) (row, error) { return measureMemory(b, hybrid) }

func measureIdleSockets(b bout) (row, error) { return measureMemory(b, sockets) }

func measureMemory(b bout, p protocol) (row, error) {
	return b.against(p, "", func(s *process) (row, error) {
		c, r, err := grow(b.workload, p, s)
		if err == nil {
			c.close()
		}
		return r, err
	})
}

// measureGrowth measures memory, and then what a message costs with so many
// connections.
func measureGrowth(b bout) (row, error) {
	return b.against(echo, "", func(s *process) (row, error) {
		c, grown, err := grow(b.workload, echo, s)
		if err != nil {
			return row{}, err
		}
		defer c.close()
		r, err := c.timed(b, float64(b.Size), s)
		r.Idle, r.Spoken = grown.Idle, grown.Spoken
		return r, err
	})
}
