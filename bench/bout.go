//go:build linux

package main

import "time"

// bout is one measurement that is to be made: a server under a workload.
type bout struct {
	server server
	workload
	rate           float64       // messages a second, where the family has a fixed one
	warmup, length time.Duration // the load before the measurement, and in it
}

// against runs the server, alone in its process, and a load against it.
func (b bout) against(p protocol, to string, load func(*process) (row, error)) (r row, err error) {
	s, err := start(b.server, p, task{Loops: b.Loops, To: to}, b.serverCPUs())
	if err != nil {
		return row{}, err
	}
	defer s.stop()
	err = pinned(b.loadCPUs(), func() (err error) {
		r, err = load(s)
		return err
	})
	if err != nil {
		err = s.blame(err)
	}
	return r, err
}
