package proactor

import "sync/atomic"

// counters are a loop's own, plain numbers, shown to others once a batch.
type counters struct {
	numbers
	shown [numCounters]atomic.Int64
}

type numbers struct {
	accepted, dialed, closed      int64
	receives, bytesIn             int64
	sends, bytesOut               int64
	panics, acceptErrors, starved int64
}

const numCounters = 10

func (n *numbers) list() [numCounters]int64 {
	return [...]int64{n.accepted, n.dialed, n.closed, n.receives, n.bytesIn, n.sends, n.bytesOut, n.panics, n.acceptErrors, n.starved}
}

func (c *counters) received(n int) {
	c.receives++
	c.bytesIn += int64(n)
}

func (c *counters) sent(n int) {
	c.sends++
	c.bytesOut += int64(n)
}

func (c *counters) publish() {
	for i, v := range c.list() {
		if c.shown[i].Load() != v {
			c.shown[i].Store(v)
		}
	}
}

// Stats is a snapshot of an engine. The counts are of its whole life.
type Stats struct {
	Accepted, Dialed, Closed int64 // connections
	Receives, BytesIn        int64 // runs of bytes received, and their bytes
	Sends, BytesOut          int64 // sends, each of what waited or some of it, and their bytes
	Panics                   int64 // callbacks that panicked
	AcceptErrors             int64 // accepts and accepted sockets that failed
	Starved                  int64 // bursts in which descriptors or memory ran out
	Pending                  int64 // bytes that wait to be sent, now
	Kept                     int64 // bytes received and kept, see Config.MaxInbound, now
	Leased                   int64 // outbound buffers in use, now
	Paused                   int64 // servers that do not accept, because of Pause, now
	Limited                  Limited
}

// Conns is the number of connections that are open now.
func (s Stats) Conns() int64 { return s.Accepted + s.Dialed - s.Closed }

// Stats takes a snapshot. It is cheap, and any goroutine may call it.
func (e *Engine) Stats() Stats {
	var sum [numCounters]int64
	s := Stats{Pending: e.outbound.Load(), Kept: e.inbound.Load(), Paused: int64(e.paused.Load()), Limited: e.limits()}
	for _, l := range e.loops {
		for i := range sum {
			sum[i] += l.count.shown[i].Load()
		}
		s.Leased += int64(l.pool.inUse())
	}
	for i, p := range [...]*int64{&s.Accepted, &s.Dialed, &s.Closed, &s.Receives, &s.BytesIn, &s.Sends, &s.BytesOut, &s.Panics, &s.AcceptErrors, &s.Starved} {
		*p = sum[i]
	}
	return s
}
