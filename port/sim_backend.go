package port

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// sim carries operations out on a network in memory. A socket on which
// something may go on stands in a line; poll tries what is in flight on it.
type sim struct {
	p       *Port
	net     *Sim
	sockets []*simSocket // by the socket's slot; the driver's alone
	lender  lender
	starved starved // streamed recvs that wait for a buffer
	*bell

	// With a clock. The bell is rung by it alone, at times of this port's own.
	number  uint64
	chance  simChance    // the driver's
	ring    simEvent     // rings the bell, because of a wake
	late    simEvent     // because of a time limit
	stalled atomic.Int64 // until then nothing does
	dryTill int64        // the port is out of descriptors

	mu   sync.Mutex // guards line; held within the network's
	line queue[Handle]
	turn queue[Handle] // the part of it that poll is at
}

func openSim(p *Port) (backend, error) {
	if p.cfg.Sim == nil {
		return nil, fmt.Errorf("%w: Config.Sim must name the network", ErrInvalid)
	}
	b := &sim{p: p, net: p.cfg.Sim, bell: newBell(), lender: newLender(p.cfg.buffers(DefaultBufferSize))}
	if n := b.net; n.clock != nil {
		p.cfg.Spin = 0 // a clock that stands still while one looks would never end it
		n.mu.Lock()
		b.number = n.number()
		n.mu.Unlock()
		b.chance = n.chance(b.number)
		b.ring.do = func() {
			n.trace("port %d: wakes", b.number/2)
			b.bell.wake()
		}
		b.late.do = b.ring.do
	}
	p.tries = true
	return b, nil
}

func (b *sim) listen(a Addr, o SocketOptions) (Socket, error) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	l, err := b.net.listen(a, o)
	if err != nil {
		return NoSocket, err
	}
	return b.net.add(&simSocket{listener: l, local: l.addr, options: o}), nil
}

func (b *sim) socket(local Addr, o SocketOptions) (Socket, error) {
	if !isLoopback(local) {
		return NoSocket, simError(0, ErrAddrNotAvail)
	}
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if b.dry() {
		return NoSocket, simError(0, ErrNoDescriptors)
	}
	return b.net.add(&simSocket{local: local, options: o}), nil
}

func (b *sim) discard(sk Socket) {
	if s := b.net.take(sk); s != nil {
		b.net.mu.Lock()
		b.net.closeSocket(s, false)
		b.net.mu.Unlock()
	}
}

func (b *sim) inherit(*os.File, SocketOptions) (Socket, bool, error) {
	return NoSocket, false, &Error{Class: ErrUnsupported, Hint: "a simulated network has no descriptors"}
}

// adopt takes the end of a connection that no port drives.
func (b *sim) adopt(s any, o SocketOptions) (Socket, error) {
	c, ok := s.(*SimConn)
	if !ok {
		return NoSocket, &Error{Class: ErrUnsupported, Hint: fmt.Sprintf("a %T is not of the simulated network", s)}
	}
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	switch {
	case c.net != b.net:
		return NoSocket, fmt.Errorf("%w: a connection of another network", ErrInvalid)
	case c.closed():
		return NoSocket, net.ErrClosed
	}
	c.left = true
	c.read.tell()
	c.write.tell()
	e := c.end
	e.readable, e.writable = nil, nil
	return b.net.add(&simSocket{end: e, local: e.local, options: o}), nil
}

func (b *sim) file(*sock) (*os.File, error) {
	return nil, &Error{Class: ErrUnsupported, Hint: "a simulated network has no descriptors"}
}

func (b *sim) detach(s *sock) (Socket, error) {
	c := b.sockets[s.index]
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if c.end == nil {
		return NoSocket, simError(KindDetach, ErrReset)
	}
	b.sockets[s.index] = nil
	c.changed, c.queued = nil, false
	c.end.readable, c.end.writable = nil, nil
	return b.net.add(c), nil
}

func (b *sim) plain(sk Socket) (net.Conn, error) {
	c := b.net.take(sk)
	if c == nil || c.end == nil {
		return nil, ErrInvalid
	}
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	return b.net.conn(c.end), nil
}

func (b *sim) attach(s *sock, sk Socket) error {
	c := b.net.take(sk)
	if c == nil {
		return fmt.Errorf("%w: a socket of another network", ErrInvalid)
	}
	for int(s.index) >= len(b.sockets) {
		b.sockets = append(b.sockets, nil)
	}
	b.sockets[s.index] = c
	h := s.handle()
	c.changed = func() { b.enqueue(h, c) }
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if c.end != nil {
		c.end.readable, c.end.writable = c.changed, c.changed
	}
	if c.listener != nil {
		c.listener.changed = c.changed
	}
	return nil
}

// enqueue puts a socket in the line to be served, once. Any goroutine may call
// it.
func (b *sim) enqueue(h Handle, c *simSocket) {
	b.mu.Lock()
	first := !c.queued && b.line.len() == 0
	if !c.queued {
		c.queued = true
		b.line.push(h)
	}
	b.mu.Unlock()
	if first {
		b.wake()
	}
}

// again puts a socket in the line from the driver's side.
func (b *sim) again(s *sock) { b.enqueue(s.handle(), b.sockets[s.index]) }

func (b *sim) localAddr(s *sock) (Addr, error) { return b.sockets[s.index].local, nil }

func (b *sim) remoteAddr(s *sock) (Addr, error) {
	if e := b.sockets[s.index].end; e != nil {
		return e.remote, nil
	}
	return Addr{}, simError(KindConnect, ErrReset)
}

func (b *sim) peerAddr(sk Socket) (Addr, error) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if c := b.net.sockets[sk]; c != nil && c.end != nil {
		return c.end.remote, nil
	}
	return Addr{}, simError(0, ErrInvalid)
}

func (b *sim) accept(s *sock, _ *Op) { b.again(s) }
func (b *sim) recv(s *sock, _ *Op)   { b.again(s) }
func (b *sim) send(s *sock, _ *Op)   { b.again(s) }

func (b *sim) connect(s *sock, _ *Op, to Addr) {
	b.net.mu.Lock()
	b.net.connect(b.sockets[s.index], to)
	b.net.mu.Unlock()
	b.again(s)
}

func (b *sim) cancel(s *sock, op *Op) {
	if op.kind == KindConnect {
		b.net.mu.Lock()
		b.net.giveUp(b.sockets[s.index])
		b.net.mu.Unlock()
	}
	b.p.fail(s, op, canceled(op.kind))
}

func (b *sim) shutdown(s *sock) error {
	e := b.sockets[s.index].end
	if e == nil {
		return simError(KindShutdown, ErrReset)
	}
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	return b.net.shutdown(e)
}

func (b *sim) close(s *sock, reset bool) error {
	c := b.sockets[s.index]
	b.sockets[s.index] = nil
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.net.closeSocket(c, reset)
	return nil
}

func (b *sim) poll(dst []Completion) int {
	if b.turn.len() == 0 {
		b.mu.Lock()
		b.turn, b.line = b.line, b.turn
		b.mu.Unlock()
	}
	n := 0
	for b.turn.len() > 0 && n < len(dst) {
		if s := b.p.socks.get(b.turn.pop()); s != nil {
			b.mu.Lock()
			b.sockets[s.index].queued = false
			b.mu.Unlock()
			n += b.serve(s, dst[n:])
		}
	}
	if b.turn.len() > 0 {
		b.wake() // for the next worker that blocks
	}
	return n
}

// serve tries what is in flight on a socket. A streamed recv or accept gives
// at most one completion a turn.
func (b *sim) serve(s *sock, dst []Completion) int {
	h := s.handle()
	if op := s.out; op != nil {
		if op.kind == KindConnect {
			b.connected(s, op)
		} else {
			b.push(s, op)
		}
		if s = b.p.socks.get(h); s == nil {
			return 0
		}
	}
	op := s.in
	switch {
	case op == nil:
		return 0
	case op.kind == KindAccept:
		return b.take(s, op, dst)
	default:
		return b.fetch(s, op, dst)
	}
}

func (b *sim) connected(s *sock, op *Op) {
	c := b.sockets[s.index]
	b.net.mu.Lock()
	end, err := c.end, c.refused
	c.refused = nil
	b.net.mu.Unlock()
	switch {
	case err != nil:
		b.p.fail(s, op, err)
	case end != nil:
		b.p.complete(Completion{Op: op, Key: s.key, Kind: KindConnect})
		b.p.finish(s, op)
	}
}

// push hands over what the peer has room for.
func (b *sim) push(s *sock, op *Op) {
	e := b.sockets[s.index].end
	if e == nil {
		b.p.fail(s, op, simError(KindSend, ErrReset))
		return
	}
	for op.remaining() > 0 {
		b.net.mu.Lock()
		n, err := b.net.send(e, op.buf())
		b.net.mu.Unlock()
		op.advance(n)
		if err != nil {
			b.p.fail(s, op, err)
			return
		}
		if n == 0 && op.size > 0 {
			if op.flags&opTry != 0 {
				break
			}
			return // until the peer has received
		}
	}
	b.p.sent(s, op)
}

// take accepts one connection a turn or, with a clock, some.
func (b *sim) take(s *sock, op *Op, dst []Completion) int {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	l := b.sockets[s.index].listener
	most := 1
	if b.net.clock != nil && len(l.backlog) > 0 {
		most += b.chance.IntN(len(dst))
	}
	for n := range most {
		if len(l.backlog) > 0 && b.dry() {
			dst[n] = Completion{Op: op, Key: s.key, Kind: KindAccept, Err: simError(KindAccept, ErrNoDescriptors)}
			b.p.finish(s, op)
			return n + 1
		}
		e := b.net.accept(l)
		if e == nil {
			return n
		}
		sk := b.net.add(&simSocket{end: e, local: e.local, options: l.options})
		dst[n] = Completion{Op: op, Key: s.key, Kind: KindAccept, Socket: sk, More: true}
	}
	if len(l.backlog) > 0 {
		b.again(s)
	}
	return most
}

// fetch receives into the caller's buffer, or one that is lent.
func (b *sim) fetch(s *sock, op *Op, dst []Completion) int {
	e := b.sockets[s.index].end
	if e == nil {
		dst[0] = Completion{Op: op, Key: s.key, Kind: KindRecv, Err: simError(KindRecv, ErrReset)}
		b.p.finish(s, op)
		return 1
	}
	streamed, buf := op.flags&opStream != 0, op.buf()
	if streamed {
		if buf = b.lender.room(); buf == nil {
			b.starved = append(b.starved, s.handle())
			return 0
		}
	}
	b.net.mu.Lock()
	n, err, ok := b.net.receive(e, buf)
	more := len(e.in) > 0 || e.fin || e.broken != nil
	b.net.mu.Unlock()
	if !ok {
		return 0
	}
	dst[0] = Completion{Op: op, Key: s.key, Kind: KindRecv, N: n, Err: err}
	if !streamed || err != nil {
		b.p.finish(s, op)
		return 1
	}
	piece, lease := b.lender.lend(n)
	dst[0].Buf, dst[0].lease, dst[0].More = piece, Lease(lease)+1, true
	if more {
		b.again(s)
	}
	return 1
}

func (b *sim) release(lease uint32) {
	if b.lender.release(lease) {
		b.starved.retry(b.p, b.again)
	}
}

// dry reports whether the port is out of descriptors now. The network's mu is
// held.
func (b *sim) dry() bool {
	n := b.net
	if n.clock == nil || n.cfg.Scarce == 0 {
		return false
	}
	now := n.clock.in(0)
	if now >= b.dryTill && b.chance.strikes(n.cfg.Scarce) {
		b.dryTill = now + int64(b.chance.upTo(n.cfg.ScarceFor)) + 1
	}
	return now < b.dryTill
}

func (b *sim) wake() {
	if b.net.clock == nil {
		b.bell.wake()
		return
	}
	b.net.clock.hasten(&b.ring, b.number, 0, b.stalled.Load())
}

func (b *sim) block(d time.Duration) {
	n := b.net
	if n.clock == nil {
		b.bell.block(d)
		return
	}
	n.mu.Lock()
	if b.chance.strikes(n.cfg.Stall) {
		b.stalled.Store(n.clock.in(b.chance.upTo(n.cfg.StallFor)))
	}
	if b.chance.strikes(n.cfg.Spurious) {
		n.clock.hasten(&b.ring, b.number, b.chance.upTo(time.Millisecond), b.stalled.Load())
	}
	n.mu.Unlock()
	if d >= 0 {
		n.clock.set(&b.late, b.number, d, b.stalled.Load())
	}
	b.bell.block(-1)
	n.clock.cancel(&b.late)
}

func (b *sim) acked(s *sock) int64 {
	e := b.sockets[s.index].end
	if e == nil {
		return 0
	}
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	return e.acked
}

func (b *sim) flush()      {}
func (b *sim) leased() int { return b.lender.out }
func (b *sim) destroy()    { b.still() }
