package netconn

import (
	"fmt"
	"io"
	"slices"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/port"
)

// Hijack makes a net.Conn of a connection whose handler is done with it. It may be called only
// in a callback of pc, not in Closed. What that callback does not consume is what the first Read
// gets; a pause of its reads is over. Where the stream has ended otherwise than by the peer's FIN,
// Reads fail with [proactor.ErrClosed]. From now on pc, its handler and its value are those of the Conn; its limits stay as they
// are, so unless Limits.Overflow is RejectWrites the connection is not read while its peer does not read.
//
// The Conn has to be closed. It is not one for the goroutine of the callback: start one.
// The error is that of [proactor.Conn.SetHandler].
func Hijack(pc *proactor.Conn) (*Conn, error) {
	if err := pc.SetHandler(&callbacks); err != nil {
		return nil, err
	}
	c := newConn(pc)
	// So a FIN is told that was told before; in Data, where this is refused, there is none yet. After
	// another end of the stream nothing will come any more.
	if err := pc.Unread(nil); err == proactor.ErrClosed {
		c.readErr = err
	}
	pc.ResumeRead()
	return c, nil
}

// Attach gives the connection to h, on its loop, and returns it. What was received and not
// read is the first that h is shown, after ahead: bytes that the caller has read ahead, as the
// bufio.Reader of http.Hijacker has. Then h has what follows, as if the connection were one
// of its own: Opened is called first, the end of the stream is told even if a Read has seen
// it, and h has to end the connection. Limits stay as they are: under RejectWrites, which Listen
// and Dialer set, h returns from Data what it has no room to answer, see [proactor.Conn.Writable].
//
// Attach waits for the loop, and for a Write in progress to return. Calls of the Conn
// fail with net.ErrClosed from now on, Reads and Writes that wait included, so the goroutine
// that has served it can end; so does Close, and does nothing. h.Opened is the place to set the
// connection's value.
//
// Where there is a *tls.Conn over the Conn, see [Of], ahead are plain bytes; what that has not read
// or not decrypted follows. From then on h has plain bytes, and the loop does the rest. The
// *tls.Conn must not be used any more, nor closed, and no Write of it may be in progress; a Read may.
//
// It fails with net.ErrClosed after Close, with the error of Reads where the stream has ended
// otherwise than by the peer's FIN, with [proactor.ErrInbound] where Config.MaxInbound has no
// room, with [proactor.ErrOnLoop] in a callback, and with that of [proactor.Conn.SetHandler]
// where h contradicts itself. Then the Conn goes on as before, but Reads and Writes that waited may
// have failed.
func (c *Conn) Attach(h *proactor.Handler, ahead []byte) (*proactor.Conn, error) {
	switch {
	case h == nil:
		return nil, c.opError("attach", fmt.Errorf("%w: no handler", port.ErrInvalid))
	case goid.OnLoop():
		return nil, c.opError("attach", proactor.ErrOnLoop)
	}
	c.mu.Lock()
	err := c.ours()
	if err == nil {
		c.state |= attached
		c.wake()
	}
	c.mu.Unlock()
	if err != nil {
		return nil, c.opError("attach", err)
	}
	done := make(chan error, 1)
	c.writing.Lock() // what was written before goes before what h writes
	err = c.pc.Post(func() { c.give(h, ahead, done) })
	c.writing.Unlock()
	if err == nil {
		err = <-done
	}
	if err != nil {
		c.mu.Lock()
		c.state &^= attached
		c.mu.Unlock()
		return nil, c.opError("attach", err)
	}
	return c.pc, nil
}

// give is Attach on the loop. If Opened panics, the connection ends as with any callback.
func (c *Conn) give(h *proactor.Handler, ahead []byte, done chan<- error) {
	err := c.handOver(h, ahead)
	defer func() { done <- err }()
	if err == nil && h.Opened != nil {
		h.Opened(c.pc)
	}
}

// handOver puts back what was not read, and sets the handler.
func (c *Conn) handOver(h *proactor.Handler, ahead []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writeErr != nil { // it is gone
		return c.writeErr
	}
	if err := c.pc.SetHandler(h); err != nil {
		return err
	}
	var err error
	if unread := c.in.mem[c.in.from:]; c.tls != nil {
		err = c.pc.ReturnTLS(ahead, unread)
	} else {
		err = c.pc.Unread(slices.Concat(ahead, unread))
	}
	if err != nil {
		_ = c.pc.SetHandler(&callbacks)
		if err == proactor.ErrClosed && c.readErr != nil && c.readErr != io.EOF {
			err = c.readErr
		}
		return err
	}
	c.in.clear()
	c.readAlarm.stop()
	c.writeAlarm.stop()
	c.pc.SetValue(c.value)
	if c.is(stopped) {
		c.pc.ResumeRead()
	}
	return nil
}
