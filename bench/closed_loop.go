//go:build linux

package main

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// windows is a closed loop: each connection has so many messages in flight, and
// sends the next one when one has come back. It shows what a server can do at
// the most, not how long a client waits: when the server stalls, so does the load.
type windows struct {
	*client
	hist   *hdrhistogram.Histogram // nanoseconds from when a message may be sent
	record bool
	quota  int64 // messages that each connection sends in all; 0: without end
	left   int   // connections that have not had their quota back
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(time.Minute), 3) }

func newWindows(w workload, p protocol, addr string) (*windows, error) {
	c, err := dial(w, p, addr)
	if err != nil {
		return nil, err
	}
	l := &windows{client: c, hist: newHistogram()}
	c.answered = l.refill
	return l, nil
}

// fill sends the first window of each connection.
func (l *windows) fill() error {
	for _, fd := range l.order {
		s := &l.conns[fd]
		l.allow(s, s.got/int64(l.size), time.Since(epoch))
		if err := l.send(s); err != nil {
			return err
		}
	}
	return nil
}

// refill lets a connection send as many messages as have come back.
func (l *windows) refill(s *clientConn, first, end int64) {
	now := time.Since(epoch)
	if l.record {
		for m := first; m < end; m++ {
			l.hist.RecordValue(int64(now - s.times[m%int64(l.Flight)]))
		}
	}
	l.allow(s, end, now)
	if first < l.quota && end >= l.quota {
		l.left--
	}
}

// allow opens the window behind the messages that are done.
func (l *windows) allow(s *clientConn, done int64, now time.Duration) {
	end := done + int64(l.Flight)
	if l.quota > 0 {
		end = min(end, l.quota)
	}
	for m := s.limit / int64(l.ask.size); m < end; m++ {
		s.times[m%int64(l.Flight)] = now
	}
	s.limit = max(s.limit, end*int64(l.ask.size))
}

// exchange has each connection send messages until there were so many in all,
// and waits until all have come back.
func (l *windows) exchange(messages int64, patience time.Duration) error {
	l.quota, l.left = messages, l.Conns
	if err := l.fill(); err != nil {
		return err
	}
	for end := time.Since(epoch) + patience; l.left > 0; {
		if time.Since(epoch) > end {
			return fmt.Errorf("%d connections wait for an answer", l.left)
		}
		if err := l.poll(20 * time.Millisecond); err != nil {
			return err
		}
	}
	l.quota = 0
	return nil
}

func (l *windows) run(length time.Duration) error {
	for end := time.Since(epoch) + length; time.Since(epoch) < end; {
		if err := l.poll(20 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// timed measures a server under full windows. unit is the bytes, of those that
// come back, that count as one.
func (l *windows) timed(b bout, unit float64, server *process, others ...*process) (row, error) {
	if err := l.fill(); err != nil {
		return row{}, err
	}
	if err := l.run(b.warmup); err != nil {
		return row{}, err
	}
	m, err := newMeter(server, others...)
	if err != nil {
		return row{}, err
	}
	l.record = true
	bytes := l.bytes
	if err := l.run(b.length); err != nil {
		return row{}, err
	}
	r, err := m.read(float64(l.bytes-bytes) / unit)
	r.latencies(l.hist)
	return r, err
}
