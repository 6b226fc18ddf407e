package proactor

// nowLeast is from how many bytes on a system call costs less than a copy. For fewer
// it costs less than to wake the loop.
const nowLeast = 8 << 10

// unsent is what has to be queued of p, which was admitted, when as much was sent at once as
// can be. mu is held.
func (c *Conn) unsent(p []byte) []byte {
	if c.layered() {
		return p
	}
	n := c.sendNow(p)
	if n > 0 {
		c.loop.engine.evictor.waits.Add(-int64(n))
	}
	return p[n:]
}

// putWire sends what a layer has made, or queues a copy. mu is held.
func (c *Conn) putWire(p []byte) { c.queueCopy(p[c.sendNow(p):]) }

// sendNow sends what the system takes of p at once, which need not be copied then,
// and returns how many bytes of p are done with. mu is held. Any goroutine may do so:
// with nothing waiting no send is in flight, and before the port shuts the socket
// down or closes it the loop sets shut.
//
// It happens once between two looks of the loop at the connection, so no callback is
// longer the faster its peer reads, and not for a Write that reaches the high mark
// alone. Its error is told to Closed, not by a Write.
func (c *Conn) sendNow(p []byte) int {
	l := c.loop
	running := l.running.Load()
	if c.out != nil || c.sending&(sendsSplice|sentNow) != 0 || len(p) >= c.cfg.limits.HighWater || len(p) < nowLeast && running {
		return 0
	}
	c.sending |= sentNow
	n, err := l.port.SendNow(c.handle, p[:min(len(p), sendMost)])
	switch {
	case err != nil: // as if it had been queued, and the send had failed
		c.want |= wantAbort
		c.setCause(err)
		return len(p)
	case n > 0:
		c.bytesOut += int64(n)
		at := l.now()
		if !running {
			at = l.engine.nanotime()
		}
		c.active.Store(at)
		l.count.sentNow(n)
		if c.sending&knownToVigil == 0 && c.vigil != nil {
			c.sending |= newToVigil
		}
	}
	return n
}

// failed reports whether a Write has found out that the connection has ended, of
// which the system tells but one.
func (c *Conn) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.want&wantAbort != 0
}
