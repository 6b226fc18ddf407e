package websocket

import (
	"fmt"
	"sync"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
)

// Prepared is a message that is made once and sent to many, which share its memory.
//
// It is compressed once, too, when the first connection wants that, and goes so to all whose Options
// have [NoContextTakeover]. One with [ContextTakeover] is sent it as it is: compressed, it would become a
// part of what that connection's later messages may refer to (RFC 7692, 7.2.3.2), for each at its own
// place. So is one whose peer asked for a window smaller than the message.
type Prepared struct {
	plain  serverFrame
	once   sync.Once
	packed serverFrame // empty if it is no shorter
}

// serverFrame is a message as a server sends it.
type serverFrame struct {
	op   ws.OpCode
	mem  []byte
	from int // where the payload begins in mem
}

func newServerFrame(op ws.OpCode, p []byte) serverFrame {
	mem := make([]byte, ws.MaxHeaderSize, ws.MaxHeaderSize+len(p))
	from := putHeader(mem, op, len(p))
	return serverFrame{op, append(mem[:from], p...), from}
}

func (f *serverFrame) payload() []byte { return f.mem[f.from:] }

// Prepare makes a message of a copy of p. A t that is no type is ErrInvalid.
func Prepare(t Type, p []byte) (*Prepared, error) {
	if t != Text && t != Binary {
		return nil, fmt.Errorf("%w: %v", ErrInvalid, t)
	}
	return &Prepared{plain: newServerFrame(ws.OpCode(t), p)}, nil
}

// mayPack reports whether a connection is sent m compressed, if that makes it smaller.
func (m *Prepared) mayPack(c *Conn) bool {
	p := m.plain.payload()
	return c.deflates(p) && c.deflation.out.most == 0 && c.deflation.window >= min(len(p), alone.window)
}

// frameFor is what a connection is sent, masked if it is a client.
func (m *Prepared) frameFor(c *Conn) *serverFrame {
	if !m.mayPack(c) {
		return &m.plain
	}
	m.once.Do(func() {
		d := deflaters.Get().(*deflater)
		defer d.free()
		p := m.plain.payload()
		if packed := d.deflate(p, nil, alone.window); len(packed) < len(p) {
			m.packed = newServerFrame(m.plain.op|rsv1, packed)
		}
	})
	if m.packed.mem == nil {
		return &m.plain
	}
	return &m.packed
}

// WritePrepared sends m, as [proactor.Conn.WriteShared]: a server does not copy it. The errors are
// those of Write.
func (c *Conn) WritePrepared(m *Prepared) error {
	f := m.frameFor(c)
	if c.shared.isClient() {
		return c.send(f.op, f.payload())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared.closing() {
		return proactor.ErrClosed
	}
	_, err := c.pc.WriteShared(f.mem)
	return err
}

// Broadcast writes m to every WebSocket of a registry, which has their Transports. It is
// [proactor.Registry.BroadcastFunc], and returns what that returns: all receivers see broadcasts in
// one order, and a receiver that is not read does not hold up the others. Those that were sent a Close
// frame get nothing. Under [proactor.RejectWrites], which package netconn sets, so for [Upgrade] on its listener, one
// without room misses the message and goes on: see [Conn.WritePrepared] to end it.
func Broadcast[K comparable](r *proactor.Registry[K], m *Prepared) (took int, tooFast bool) {
	for _, pc := range r.All() {
		if c := of(pc); c != nil && m.mayPack(c) {
			m.frameFor(c) // compresses it now, and not while the registry is locked
			break
		}
	}
	t := turn{m: m}
	defer t.end() // also where a Layer calls Goexit
	return r.BroadcastFunc(func(_ K, pc *proactor.Conn) []byte { return t.of(of(pc)) })
}

// turn is a broadcast's at one receiver, whose Writes wait for its end: so nothing comes between the look
// for a Close frame and what the registry writes then.
type turn struct {
	m *Prepared
	c *Conn // whose turn it is; its mu is held
}

// of ends one turn and begins the next. It gives what the receiver is sent; nil: nothing.
func (t *turn) of(c *Conn) []byte {
	t.end()
	if c == nil || c.shared.closing() {
		return nil
	}
	f := t.m.frameFor(c)
	frame := f.mem
	if c.shared.isClient() {
		frame = c.frame(f.op, f.payload())
	}
	c.mu.Lock()
	if c.shared.closing() {
		c.mu.Unlock()
		return nil
	}
	t.c = c
	return frame
}

func (t *turn) end() {
	if t.c != nil {
		t.c.mu.Unlock()
		t.c = nil
	}
}
