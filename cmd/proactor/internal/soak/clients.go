package soak

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// client is the near side of one connection to the server, on package net.
type client struct {
	run  *run
	gen  *generation
	way  *way
	id   uint64
	conn *net.TCPConn
	out  *stream    // what it sends
	in   *stream    // the same again, as it comes back
	rng  *rand.Rand // for what it does; of the goroutine that sends, once there is one

	sent, received atomic.Int64
	complete       atomic.Bool   // all is sent
	progress       chan struct{} // has a token when something came back
	over           chan struct{} // closed when nothing more is read
	left           atomic.Bool   // it has left in a rude way
}

// work has connections of one way, one after the other, until the run ends.
func (r *run) work(w *way, number uint64) {
	rng := rand.New(rand.NewPCG(r.opt.Seed, number))
	for n := uint64(1); ; n++ {
		g := r.enter()
		if g == nil {
			return
		}
		c := &client{
			run: r, gen: g, way: w, id: number<<32 | n,
			progress: make(chan struct{}, 1), over: make(chan struct{}),
		}
		c.out, c.in = newStream(r.opt.Seed, c.id, w), newStream(r.opt.Seed, c.id, w)
		c.rng = rand.New(rand.NewPCG(r.opt.Seed, ^c.id))
		r.ledger.begin(c.id, w, g)
		c.end(c.live())
		g.clients.Done()
		select {
		case <-time.After(between(rng, [2]time.Duration{0, w.rest})):
		case <-r.ending:
		}
	}
}

// end closes the account.
func (c *client) end(e ending, err error) {
	late := c.gen.late()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		e = endFailed
		c.run.violated(invStuck, "connection %#x (%s) has waited %v; %d bytes sent, %d came back", c.id, c.way.name, c.run.opt.patience, c.sent.Load(), c.received.Load())
	case c.left.Load() && e != endFailed && e != endCut:
		e = endLeft
	}
	c.run.ledger.closeNear(c.id, near{c.sent.Load(), c.received.Load(), e, err, late})
}

// live is the whole life of the connection.
func (c *client) live() (ending, error) {
	d := net.Dialer{Timeout: c.run.opt.patience}
	conn, err := d.Dial("tcp4", c.run.addr)
	if err != nil {
		if !c.gen.late() {
			if errors.Is(err, syscall.EADDRNOTAVAIL) { // this machine has no port left: no fault of the server's
				c.run.count.noPort.Add(1)
				return endFailed, nil
			}
			c.run.violated(invConnect, "%v", err)
			return endFailed, nil
		}
		return endBroken, err
	}
	c.conn = conn.(*net.TCPConn)
	defer c.conn.Close()
	// What is left to send at the end gets no time, see converse; so this is set once.
	c.conn.SetWriteDeadline(time.Now().Add(c.way.stay[1] + c.way.deaf[1] + 2*c.run.opt.patience))
	switch c.way.leave {
	case leaveAtOnce:
		return c.vanish()
	case leaveUnread:
		return c.closeUnread()
	case leaveByReset:
		t := time.AfterFunc(between(c.rng, [2]time.Duration{0, c.way.within}), func() {
			c.left.Store(true)
			c.conn.SetLinger(0)
			c.conn.Close()
		})
		defer t.Stop()
	}
	return c.converse()
}

// vanish leaves before the server knows who it is, by a FIN or a reset.
func (c *client) vanish() (ending, error) {
	b := make([]byte, between(c.rng, [2]int{0, headerLen - 1}))
	c.out.fill(b)
	n, _ := c.conn.Write(b)
	c.sent.Store(int64(n))
	if c.rng.IntN(2) == 0 {
		c.conn.SetLinger(0)
	}
	return endLeft, nil
}

// closeUnread leaves when answers may have come, and reads none.
func (c *client) closeUnread() (ending, error) {
	c.send() // it may fail when the server shuts down
	c.pause(between(c.rng, [2]time.Duration{0, c.way.within}))
	return endLeft, nil
}

// converse sends, and reads what comes back, until the stream ends.
func (c *client) converse() (ending, error) {
	deaf := between(c.rng, c.way.deaf)
	sent := make(chan error, 1)
	go func() { sent <- c.send() }()
	c.pause(deaf)
	err := c.read()
	close(c.over)
	c.conn.SetWriteDeadline(time.Unix(1, 0)) // no one reads the rest
	sending := <-sent
	switch {
	case err == errWrong:
		c.run.violated(invBytes, "connection %#x (%s): of %d bytes sent, what came back is wrong after byte %d", c.id, c.way.name, c.sent.Load(), c.received.Load())
		return endFailed, nil
	case err != io.EOF:
		return endBroken, err
	case sending == nil && c.complete.Load() && c.received.Load() == c.sent.Load():
		return endOrderly, nil
	}
	return endCut, err
}

var errWrong = errors.New("wrong bytes")

// read compares what comes with what was sent, until nothing more does.
func (c *client) read() error {
	b := make([]byte, 32<<10)
	for {
		c.conn.SetReadDeadline(time.Now().Add(c.run.opt.patience))
		n, err := c.conn.Read(b)
		if !c.in.check(b[:n]) || c.received.Load()+int64(n) > c.sent.Load() {
			return errWrong
		}
		c.received.Add(int64(n))
		c.run.count.received.Add(int64(n))
		select {
		case c.progress <- struct{}{}:
		default:
		}
		if err != nil {
			return err
		}
	}
}

// send sends the stream, in pieces of any size, and shuts the sending side
// down.
func (c *client) send() error {
	var until <-chan time.Time
	if stay := between(c.rng, c.way.stay); stay > 0 {
		t := time.NewTimer(stay)
		defer t.Stop()
		until = t.C
	}
	window := int64(c.way.window * c.out.frameLen())
	least := 1
	if c.way.think > 0 { // or a large frame would take longer than the answer is waited for
		least = max(1, c.way.chunk/10)
	}
	b := make([]byte, between(c.rng, [2]int{least, c.way.chunk}))
	for stay := true; ; {
		select {
		case <-until:
			stay = false
		default:
		}
		n := 1 + c.rng.IntN(len(b))
		if !stay {
			if n = min(n, c.out.rest()); n == 0 {
				break
			}
		}
		if n = c.out.fill(b[:n]); n == 0 {
			break
		}
		// Counted before, for the answer may be faster than this goroutine.
		c.sent.Add(int64(n))
		k, err := c.conn.Write(b[:n])
		c.sent.Add(int64(k - n))
		c.run.count.sent.Add(int64(k))
		if err != nil {
			return err
		}
		for window > 0 && c.sent.Load()-c.received.Load() >= window {
			select {
			case <-c.progress:
			case <-c.over:
				return net.ErrClosed
			}
		}
		if c.way.think > 0 {
			c.pause(between(c.rng, [2]time.Duration{0, c.way.think}))
		}
	}
	c.complete.Store(true)
	if c.way.last != 0 || c.way.leave != leaveInOrder {
		return nil
	}
	return c.conn.CloseWrite()
}

// pause waits, but not when the connection or the server is about to end.
func (c *client) pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.over:
	case <-c.gen.stopping:
	}
}
