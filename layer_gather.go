package proactor

// gatherMost is how many bytes a layer is given at once: a TLS record has room for them.
const gatherMost = 16 << 10

// wrap gives p to the layer and queues what that makes of it. What a callback writes is
// gathered and given to the layer when the callback is over, or when that has been fed: few
// large records cost less than many small ones. mu is held.
func (c *Conn) wrap(p []byte) {
	w := c.wire()
	if !w.ready {
		c.queue() // its marks, and those who wait for room, are there
	}
	for len(p) > 0 && c.want&wantAbort == 0 {
		p = p[w.gather(p):]
		if len(p) > 0 || len(w.held.mem) == gatherMost || c.pending() >= c.cfg.limits.HighWater {
			w.flush()
		}
	}
	if c.busy.Load()&inside == 0 {
		w.flush()
	}
	if !w.ready {
		c.enqueued()
	}
}

// gather copies as much of p as there is room for to what is held. The layer is given
// a copy in any case: an interface gets the bytes of no Write, or all of them, of connections
// without a layer too, would escape to the heap. mu is held.
func (w *Wire) gather(p []byte) int {
	pool := &w.conn.loop.pool
	if w.held.mem == nil {
		w.held = pool.chunk(min(len(p), gatherMost))
	} else if len(w.held.mem)+len(p) > cap(w.held.mem) && cap(w.held.mem) < gatherMost {
		grown := pool.chunk(gatherMost)
		grown.mem = append(grown.mem, w.held.mem...)
		pool.putChunk(w.held)
		w.held = grown
	}
	at := len(w.held.mem)
	n := min(len(p), gatherMost-at, cap(w.held.mem)-at)
	w.held.mem = append(w.held.mem, p[:n]...)
	return n
}

// takes reports whether the layer may be given bytes that lie elsewhere: it is ready, and none are held that go
// before them. mu is held.
func (w *Wire) takes() bool { return w.ready && w.held.mem == nil }

// through gives the layer b itself, which is the layer's to change, in pieces of the size that it is given
// otherwise. mu is held, and whoever gives it up looks for wantAbort.
func (w *Wire) through(b []byte) {
	c := w.conn
	for len(b) > 0 && c.want&wantAbort == 0 {
		n := min(len(b), gatherMost)
		if err := w.send(b[:n]); err != nil {
			c.fails(err)
		}
		w.uncount(n)
		b = b[n:]
	}
	w.uncount(len(b))
}

// flush gives the layer what is held, or puts it aside until that is ready. mu is held.
func (w *Wire) flush() {
	held := w.held
	switch {
	case held.mem == nil:
	case w.ready:
		w.held = chunk{}
		w.feed(held)
	case len(held.mem) == gatherMost:
		w.held = chunk{}
		w.full = append(w.full, held)
	}
}

// release gives the layer, which is ready now, all that waits for that. mu is held.
func (w *Wire) release() {
	c := w.conn
	if w.waits == 0 {
		return
	}
	for len(w.full) > 0 {
		first := w.full[0]
		w.full = w.full[1:]
		w.feed(first)
	}
	w.full = nil
	c.push()
	if c.out != nil && c.pending() == 0 { // the layer made nothing of it
		c.ebb()
	}
}

// feed gives the layer a chunk. mu is held.
func (w *Wire) feed(held chunk) {
	c := w.conn
	defer c.loop.pool.putChunk(held)
	if c.want&wantAbort != 0 {
		return
	}
	if err := w.send(held.mem); err != nil {
		c.fails(err)
	}
	w.uncount(len(held.mem)) // only now: no other Write takes the room between
	if c.want&wantAbort != 0 && c.want&wantQueued == 0 {
		c.want |= wantQueued // the loop may have looked already
		c.loop.put(task{c: c})
	}
}

// uncount notes that n plain bytes do not wait any more. mu is held.
func (w *Wire) uncount(n int) {
	w.waits -= n
	v := &w.conn.loop.engine.evictor
	if o := w.conn.out; o != nil {
		v.returned(o, n)
	} else {
		v.waits.Add(-int64(n))
	}
}

// drop forgets what is held. mu is held.
func (w *Wire) drop() {
	c := w.conn
	for _, full := range w.full {
		c.loop.pool.putChunk(full)
	}
	c.loop.pool.putChunk(w.held)
	w.held, w.full = chunk{}, nil
	if w.waits > 0 {
		w.uncount(w.waits)
		if c.out != nil {
			c.out.wake()
		}
	}
}

// send queues what the layer makes of plain.
func (w *Wire) send(plain []byte) error {
	returned := false
	defer w.contain("Layer.Send", &returned)
	wire, err := w.layer.Send(plain)
	returned = true
	w.conn.putWire(wire)
	return err
}
