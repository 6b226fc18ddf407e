package netconn

import (
	"io"
	"net"
	"os"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
)

// Read waits for bytes. It takes those that have arrived, up to the length of p.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	n, err := c.read(p)
	c.mu.Unlock()
	return n, c.opError("read", err)
}

// read is Read. mu is held.
func (c *Conn) read(p []byte) (int, error) {
	for {
		switch err := c.mayRead(); {
		case err != nil:
			return 0, err
		case len(p) == 0:
			return 0, nil
		case c.in.len() > 0:
			n := c.in.take(p)
			if c.in.len() > 0 {
				c.readable.Broadcast() // another Read may wait
			}
			c.unstop()
			return n, nil
		case c.is(readShut):
			return 0, io.EOF
		case c.readErr != nil:
			return 0, c.readErr
		case goid.OnLoop():
			return 0, proactor.ErrOnLoop
		}
		if n := c.wait(p); n > 0 {
			return n, nil
		}
	}
}

// mayRead says whether a Read may look for bytes. mu is held.
func (c *Conn) mayRead() error {
	if err := c.ours(); err != nil {
		return err
	}
	if c.is(readLate) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// wait waits until something has changed, and offers p, if no other Read offers memory, to
// what arrives. It returns how many bytes are in p. mu is held.
func (c *Conn) wait(p []byte) int {
	if c.into != nil || p == nil {
		c.readable.Wait()
		return 0
	}
	c.into = p
	c.readable.Wait()
	n := c.got
	c.into, c.got = nil, 0
	if c.in.len() > 0 {
		c.readable.Broadcast()
	}
	return n
}

// unstop has pc read again, if it was not and there is room. mu is held, so that Attach comes before
// or after it.
func (c *Conn) unstop() {
	if c.is(stopped) && c.in.len() <= inboxLow {
		c.state &^= stopped
		c.pc.ResumeRead()
	}
}

// WriteTo writes what arrives to w, from where it is, until the stream ends. io.Copy uses it.
// Bytes that w does not take are lost.
func (c *Conn) WriteTo(w io.Writer) (sum int64, err error) {
	for {
		b, err := c.takeAll()
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, c.opError("read", err)
		}
		n, err := w.Write(b.mem[b.from:])
		short := n < b.len()
		b.clear()
		sum += int64(n)
		switch {
		case err != nil:
			return sum, err
		case short:
			return sum, io.ErrShortWrite
		}
	}
}

// takeAll waits for bytes, and gives the inbox itself away.
func (c *Conn) takeAll() (b inbox, err error) {
	c.mu.Lock()
	for {
		switch err = c.mayRead(); {
		case err != nil:
		case c.in.len() > 0:
			b, c.in = c.in, inbox{}
		case c.is(readShut):
			err = io.EOF
		case c.readErr != nil:
			err = c.readErr
		case goid.OnLoop():
			err = proactor.ErrOnLoop
		default:
			c.wait(nil)
			continue
		}
		break
	}
	if err == nil {
		c.unstop()
	}
	c.mu.Unlock()
	return b, err
}

var _ net.Conn = (*Conn)(nil)
