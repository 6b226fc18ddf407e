package proactor

import "sync/atomic"

// counters are the numbers of one loop. It counts in plain variables, and publishes them to
// other goroutines once a batch.
type counters struct {
	numbers
	shown [numCounters]atomic.Int64
	now   struct{ sends, bytes atomic.Int64 } // of what was sent at once, by whatever goroutine
}

type numbers struct {
	accepted, dialed, closed int64
	receives, bytesIn        int64
	sends, bytesOut          int64
	acceptErrors, starved    int64
	slow                     int64
}

const numCounters = 10

func (n *numbers) list() [numCounters]int64 {
	return [...]int64{n.accepted, n.dialed, n.closed, n.receives, n.bytesIn, n.sends, n.bytesOut, n.acceptErrors, n.starved, n.slow}
}

func (c *counters) received(n int) {
	c.receives++
	c.bytesIn += int64(n)
}

func (c *counters) sent(n int) {
	c.sends++
	c.bytesOut += int64(n)
}

func (c *counters) sentNow(n int) {
	c.now.sends.Add(1)
	c.now.bytes.Add(int64(n))
}

func (c *counters) publish() {
	for i, v := range c.list() {
		if c.shown[i].Load() != v {
			c.shown[i].Store(v)
		}
	}
}

// Stats is a snapshot of an engine. Counts are since the engine was made. The fields are read one
// after the other, so they need not belong to one moment.
type Stats struct {
	Accepted, Dialed, Closed int64       // connections; a dial that failed made none
	Receives, BytesIn        int64       // runs of bytes that were received, and their bytes
	Sends, BytesOut          int64       // sends that have ended, and their bytes; a send carries several Writes, or a part of one
	Panics                   int64       // callbacks that panicked, or called runtime.Goexit
	SlowCallbacks            int64       // callbacks that took longer than Config.SlowCallback, counted when they return
	AcceptErrors             int64       // accepts that failed, and accepted sockets that could not be used
	Starved                  int64       // times that descriptors or memory ran out; one for a run of such errors
	Pending, MaxPending      int64       // bytes that wait to be sent now, and Config.MaxOutbound
	Kept, MaxKept            int64       // memory, in bytes, of received bytes that handlers have left, and Config.MaxInbound
	Leased                   int64       // outbound buffers in use now
	Paused                   int64       // servers that do not accept now because of Pause
	Causes                   CauseCounts // of the connections in Closed
	Limited                  LimitCounts
	Handshakes               HandshakeCounts // of TLS
}

// Conns is the number of connections that are open now.
func (s Stats) Conns() int64 { return s.Accepted + s.Dialed - s.Closed }

// Stats takes a snapshot. It is cheap. Any goroutine may call it.
func (e *Engine) Stats() Stats {
	var sum [numCounters]int64
	s := Stats{Pending: e.evictor.waits.Load(), MaxPending: e.cfg.MaxOutbound, Kept: e.inbound.Load(), MaxKept: e.cfg.MaxInbound, Panics: e.panics.Load(), Paused: int64(e.paused.Load()), Causes: e.causes.snapshot(), Limited: e.limits(), Handshakes: e.handshakes.count.snapshot()}
	for _, l := range e.loops {
		for i := range sum {
			sum[i] += l.count.shown[i].Load()
		}
		s.Leased += int64(l.pool.inUse())
	}
	for i, p := range [...]*int64{&s.Accepted, &s.Dialed, &s.Closed, &s.Receives, &s.BytesIn, &s.Sends, &s.BytesOut, &s.AcceptErrors, &s.Starved, &s.SlowCallbacks} {
		*p = sum[i]
	}
	for _, l := range e.loops {
		s.Sends += l.count.now.sends.Load()
		s.BytesOut += l.count.now.bytes.Load()
	}
	return s
}
