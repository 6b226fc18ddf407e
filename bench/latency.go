//go:build linux

package main

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// arrivals is an open loop: messages are due at fixed times, on the connections
// in turn, whether or not answers to earlier ones have come. A latency counts
// from when the message was due. So a server that stalls is charged for all
// that arrived meanwhile; in a closed loop nothing would.
type arrivals struct {
	*client
	hist     *hdrhistogram.Histogram
	interval float64       // nanoseconds between messages
	between  func() error  // is called again and again; nil: nothing is
	began    time.Duration // this phase
	before   int64         // messages of each connection in earlier phases
	left     int64         // messages of this phase that have not come back
	record   bool
}

// patience is how long answers may take that are late.
const patience = 5 * time.Second

func newArrivals(w workload, p protocol, rate float64, addr string) (*arrivals, error) {
	c, err := dial(w, p, addr)
	if err != nil {
		return nil, err
	}
	l := &arrivals{client: c, hist: newHistogram(), interval: 1e9 / rate}
	c.answered = l.arrived
	return l, nil
}

// due is when the n-th message of this phase is to be sent.
func (l *arrivals) due(n int64) time.Duration {
	return l.began + time.Duration(float64(n)*l.interval)
}

func (l *arrivals) arrived(s *clientConn, first, end int64) {
	l.left -= end - first
	if l.record {
		l.note(s, first, end)
	}
}

// note records how long messages of a connection have been on their way by now.
func (l *arrivals) note(s *clientConn, first, end int64) {
	now := time.Since(epoch)
	for m := first; m < end; m++ {
		l.hist.RecordValue(int64(now - l.due((m-l.before)*int64(l.Conns)+int64(s.index))))
	}
}

// run sends for about so long, each connection the same number, and waits for
// the answers. It does not sleep: a timer would be late by more than what is
// measured, and the CPU has nothing else to do. unanswered are messages that did
// not come back; they are recorded with the time that they have waited.
func (l *arrivals) run(length time.Duration) (unanswered int64, err error) {
	conns := int64(l.Conns)
	turns := int64(float64(length)/l.interval)/conns + 1
	count := turns * conns
	l.began, l.left = time.Since(epoch), count
	for sent := int64(0); l.left > 0; {
		now := time.Since(epoch)
		for ; sent < count && l.due(sent) <= now; sent++ {
			s := &l.conns[l.order[sent%conns]]
			s.limit += int64(l.ask.size)
			if s.waiting {
				continue // sent when there is room
			}
			if err := l.send(s); err != nil {
				return 0, err
			}
		}
		if now > l.due(count)+patience {
			break
		}
		if err := l.poll(0); err != nil {
			return 0, err
		}
		if l.between != nil {
			if err := l.between(); err != nil {
				return 0, err
			}
		}
	}
	l.before += turns
	if l.record && l.left > 0 {
		l.before -= turns
		for _, fd := range l.order {
			s := &l.conns[fd]
			l.note(s, s.got/int64(l.size), l.before+turns)
		}
	}
	return l.left, nil
}

// measureLatency sends at the rate that was chosen for all servers.
func measureLatency(b bout) (row, error) {
	return b.against(echo, "", func(s *process) (row, error) {
		l, err := newArrivals(b.workload, echo, b.rate, s.addr)
		if err != nil {
			return row{}, err
		}
		defer l.close()
		if n, err := l.run(b.warmup); err != nil {
			return row{}, err
		} else if n > 0 {
			return row{}, fmt.Errorf("%d messages had no answer after %v, at %.0f messages a second", n, patience, b.rate)
		}
		m, err := newMeter(s)
		if err != nil {
			return row{}, err
		}
		l.record = true
		bytes := l.bytes
		if _, err := l.run(b.length); err != nil {
			return row{}, err
		}
		r, err := m.read(float64(l.bytes-bytes) / float64(b.Size))
		r.Offered = b.rate
		r.latencies(l.hist)
		return r, err
	})
}
