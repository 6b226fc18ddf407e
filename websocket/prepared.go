package websocket

import (
	"fmt"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
)

// Prepared is a message that is made once and sent to many, which share its memory.
type Prepared struct {
	t     Type
	frame []byte // of a server
	from  int    // where the payload begins in it
}

// Prepare makes a message of a copy of p. A t that is no type is ErrInvalid.
func Prepare(t Type, p []byte) (*Prepared, error) {
	if t != Text && t != Binary {
		return nil, fmt.Errorf("%w: %v", ErrInvalid, t)
	}
	m := &Prepared{t: t, frame: make([]byte, ws.MaxHeaderSize, ws.MaxHeaderSize+len(p))}
	m.from = putHeader(m.frame, ws.OpCode(t), len(p))
	m.frame = append(m.frame[:m.from], p...)
	return m, nil
}

// WritePrepared sends m, as [proactor.Conn.WriteShared]: a server does not copy it. The errors are
// those of Write.
func (c *Conn) WritePrepared(m *Prepared) error {
	if c.isClient {
		return c.send(ws.OpCode(m.t), m.frame[m.from:])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing.Load() {
		return proactor.ErrClosed
	}
	_, err := c.pc.WriteShared(m.frame)
	return err
}

// Broadcast writes m to every WebSocket of a registry, which has their Transports. It is
// [proactor.Registry.BroadcastFunc], and returns what that returns: all receivers see broadcasts in
// one order, and a receiver that is not read does not hold up the others. Those that are being
// closed get nothing.
func Broadcast[K comparable](r *proactor.Registry[K], m *Prepared) (took int, tooFast bool) {
	return r.BroadcastFunc(func(_ K, pc *proactor.Conn) []byte {
		c := of(pc)
		switch {
		case c == nil || c.closing.Load():
			return nil
		case c.isClient:
			return c.frame(ws.OpCode(m.t), m.frame[m.from:])
		}
		return m.frame
	})
}
