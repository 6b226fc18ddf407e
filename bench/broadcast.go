//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// fanout is the load of a broadcast: the last connection sends lines, and all of
// them, itself included, get each one. Connections are accepted in order, so that
// a server that has the last one's first line knows all the others. So many lines
// are on their way at a time; the next one is sent when the slowest has had the
// first of them.
type fanout struct {
	*client
	sender *clientConn
	took   []int // how many have had a line, by its number modulo those on their way
	next   int64 // the first line that not all have had
	hist   *hdrhistogram.Histogram
	lasts  *hdrhistogram.Histogram // of the last connection that has a line
	record bool
}

func newFanout(w workload, p protocol, addr string) (*fanout, error) {
	c, err := dial(w, p, addr)
	if err != nil {
		return nil, err
	}
	l := &fanout{client: c, sender: &c.conns[c.order[w.Conns-1]], took: make([]int, w.Flight), hist: newHistogram(), lasts: newHistogram()}
	for _, fd := range c.order {
		c.conns[fd].place = 0 // all get one stream
	}
	c.answered = l.delivered
	return l, nil
}

func (l *fanout) delivered(_ *clientConn, first, end int64) {
	now := time.Since(epoch)
	flight := int64(l.Flight)
	for m := first; m < end; m++ {
		l.took[m%flight]++
		if l.record {
			l.hist.RecordValue(int64(now - l.sender.times[m%flight]))
		}
	}
	for l.took[l.next%flight] == l.Conns {
		l.took[l.next%flight] = 0
		if l.record {
			l.lasts.RecordValue(int64(now - l.sender.times[l.next%flight]))
		}
		l.next++
	}
}

// begin waits until one line has reached all.
func (l *fanout) begin() error {
	for end := time.Since(epoch) + patience; l.next == 0; {
		if time.Since(epoch) > end {
			return fmt.Errorf("%d of %d connections have had the first line", l.took[0], l.Conns)
		}
		if err := l.run(20 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// run sends lines for so long.
func (l *fanout) run(length time.Duration) error {
	flight, size := int64(l.Flight), int64(l.ask.size)
	for end := time.Since(epoch) + length; time.Since(epoch) < end; {
		now := time.Since(epoch)
		for m := l.sender.limit / size; m < l.next+flight; m++ {
			l.sender.times[m%flight] = now
		}
		l.sender.limit = (l.next + flight) * size
		if err := l.send(l.sender); err != nil {
			return err
		}
		if err := l.poll(20 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func measureBroadcast(b bout) (row, error) { return measureFanout(b, broadcast) }

func measureSocketBroadcast(b bout) (row, error) { return measureFanout(b, socketBroadcast) }

func measureFanout(b bout, p protocol) (row, error) {
	return b.against(p, "", func(s *process) (row, error) {
		l, err := newFanout(b.workload, p, s.addr)
		if err != nil {
			return row{}, err
		}
		defer l.close()
		if err := errors.Join(l.begin(), l.run(b.warmup)); err != nil {
			return row{}, err
		}
		m, err := newMeter(s)
		if err != nil {
			return row{}, err
		}
		l.record = true
		bytes := l.bytes
		if err := l.run(b.length); err != nil {
			return row{}, err
		}
		r, err := m.read(float64(l.bytes-bytes) / float64(l.size))
		r.latencies(l.hist)
		r.Last = micros(time.Duration(l.lasts.ValueAtQuantile(50)))
		return r, err
	})
}
