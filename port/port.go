package port

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Mode says who may drive a port.
type Mode uint8

const (
	// Exclusive: the goroutine that called Open makes every call, save Post,
	// Cancel and SendNow. Nothing is locked. Where the backend wants it, Open
	// locks the goroutine to its thread until Close.
	Exclusive Mode = iota
	// Shared: any number of goroutines start operations and dequeue, the
	// classic scheme of a completion port with several workers. A completion
	// goes to one of them.
	Shared
)

// Config says how to open a port. The zero value is an Exclusive port on the
// best backend that works here.
type Config struct {
	// Backend forces one of [Backends]. Empty: the environment variable
	// PROACTOR_BACKEND, else the first that works.
	Backend string
	Mode    Mode
	// BufferSize, in bytes, and BufferCount shape the pool that streamed recvs
	// borrow from. A completion never lends more than BufferSize bytes. 0:
	// 64 KiB and 256, with io_uring 256 KiB and 64: it fills a buffer to the
	// last byte, so that what lies across two comes in two completions. A
	// buffer is shared by several completions where the backend can. Memory that
	// was never lent costs nothing.
	BufferSize, BufferCount int
	// Spin is how long Dequeue looks for completions before it blocks. It
	// shortens the way from the wire to the program and costs a core. 0: none.
	Spin time.Duration
	// Sim is the network of a port on the backend "sim", which needs one. The
	// other backends ignore it.
	Sim *Sim
}

// Default shape of the pool of receive buffers.
const (
	DefaultBufferSize  = 64 << 10
	DefaultBufferCount = 256
)

// buffers is the shape of the pool: size is the backend's own idea of it.
func (c *Config) buffers(size int) (int, int) {
	count := DefaultBufferCount * DefaultBufferSize / size
	if c.BufferSize > 0 {
		size, count = c.BufferSize, DefaultBufferCount
	}
	if c.BufferCount > 0 {
		count = c.BufferCount
	}
	return size, count
}

// Port is a completion port. See the package documentation for the contract,
// [Mode] for who may call what.
type Port struct {
	b      backend
	name   string
	detail string
	tries  bool // the backend heeds opTry
	cfg    Config

	mu       sync.Mutex // Shared: guards all below and every call of b but block
	socks    table
	ready    queue[Completion] // that wait to be dequeued
	timeouts timeouts
	splices  spliceTable
	inflight int  // operations
	alone    bool // ready went alone, the last time
	patient  bool // Dequeue blocks if it finds nothing
	few      bool // the backend's poll before found few completions
	closed   bool
	courtesy courtesy

	posted inbox // what Post and Cancel asked for
	sleep  sleep
	leader chan struct{} // Shared: held by the worker that blocks
}

// Open opens a port. The error says which backend failed and why.
func Open(cfg Config) (*Port, error) {
	switch {
	case cfg.Mode > Shared:
		return nil, fmt.Errorf("port: %w: mode %d", ErrInvalid, cfg.Mode)
	case cfg.BufferSize < 0 || cfg.BufferSize > 1<<30:
		return nil, fmt.Errorf("port: %w: buffer size %d", ErrInvalid, cfg.BufferSize)
	case cfg.BufferCount < 0 || cfg.BufferCount > 1<<15:
		return nil, fmt.Errorf("port: %w: buffer count %d, at most %d", ErrInvalid, cfg.BufferCount, 1<<15)
	}
	p := &Port{cfg: cfg, leader: make(chan struct{}, 1)}
	if err := choose(p, cfg.Backend); err != nil {
		return nil, fmt.Errorf("port: %w", err)
	}
	return p, nil
}

// Backend names the backend in use: "iocp", "uring", "epoll", "std" or "sim".
func (p *Port) Backend() string { return p.name }

// Detail says more for a log: the features in use, and why backends that are
// preferred to this one did not work.
func (p *Port) Detail() string { return p.detail }

func (p *Port) lock() {
	if p.cfg.Mode == Shared {
		p.mu.Lock()
	}
}

// unlock ends a call that may have started something: a worker that blocks
// must notice it.
func (p *Port) unlock() {
	if p.cfg.Mode == Shared {
		p.b.flush()
		stir := p.ready.len() > 0
		p.mu.Unlock()
		if stir {
			p.stir()
		}
	}
}

// Listen makes a listening socket. Close it through a handle, or Discard it.
func (p *Port) Listen(network, address string, o SocketOptions) (Socket, error) {
	a, err := ResolveAddr(network, address)
	if err != nil {
		return NoSocket, fmt.Errorf("listen %s %s: %w", network, address, err)
	}
	s, err := p.b.listen(a, o)
	if err != nil {
		return NoSocket, fmt.Errorf("listen %s %s: %w", network, address, sysErrorOnce(KindAccept, err))
	}
	return s | listening, nil
}

// Socket makes a socket for an outbound connection to an address of the same
// sort as like. local is the address to connect from; the zero Addr leaves the
// choice to the system.
func (p *Port) Socket(like, local Addr, o SocketOptions) (Socket, error) {
	if !local.Unix && !local.AddrPort.IsValid() {
		local = anyLike(like)
	}
	s, err := p.b.socket(local, o)
	if err != nil {
		return NoSocket, fmt.Errorf("socket: %w", sysErrorOnce(KindConnect, err))
	}
	return s, nil
}

// Discard closes a socket that was not associated. Any goroutine may call it.
func (p *Port) Discard(s Socket) {
	if s != NoSocket {
		p.b.discard(s &^ listening)
	}
}

// Associate ties a socket to this port for the rest of its life: completions
// of its operations arrive here, with this key. On error the socket was
// discarded.
func (p *Port) Associate(sk Socket, key uint64) (Handle, error) {
	p.lock()
	defer p.unlock()
	if p.closed {
		p.Discard(sk)
		return 0, ErrPortClosed
	}
	s := p.socks.take()
	s.key = key
	if sk&listening != 0 {
		s.flags |= sockListener
		sk &^= listening
	}
	if err := p.b.attach(s, sk); err != nil {
		p.socks.put(s)
		p.b.discard(sk)
		return 0, fmt.Errorf("associate: %w", sysErrorOnce(KindAccept, err))
	}
	return s.handle(), nil
}

// LocalAddr is this end's address. It is known until the socket is closed.
func (p *Port) LocalAddr(h Handle) (Addr, error) { return p.addr(h, backend.localAddr) }

// RemoteAddr is the peer's address. The system forgets it when the peer
// resets the connection, so ask early.
func (p *Port) RemoteAddr(h Handle) (Addr, error) { return p.addr(h, backend.remoteAddr) }

func (p *Port) addr(h Handle, ask func(backend, *sock) (Addr, error)) (Addr, error) {
	p.lock()
	defer p.unlock()
	s := p.socks.get(h)
	if s == nil {
		return Addr{}, ErrClosed
	}
	return ask(p.b, s)
}

// begin takes op for an operation on the socket.
func (p *Port) begin(op *Op, h Handle, k Kind) (*sock, error) {
	s := p.socks.get(h)
	if s == nil || s.isClosing() {
		return nil, ErrClosed
	}
	if op.kind != kindIdle {
		return nil, ErrBusy
	}
	var slot **Op
	switch k {
	case KindAccept, KindRecv, KindSplice:
		slot = &s.in
	case KindConnect, KindSend:
		slot = &s.out
		if s.flags&sockShut != 0 {
			return nil, ErrShutdown
		}
	case KindShutdown:
		slot = &s.ending
	case KindClose:
		if s.ending != nil { // a shutdown that waits for a send
			p.endShutdown(s, canceled(KindShutdown))
		}
		slot = &s.ending
	}
	if *slot != nil {
		return nil, ErrBusy
	}
	if (k == KindAccept) != (s.flags&sockListener != 0) && k != KindClose {
		return nil, fmt.Errorf("%w: %v on a socket of the other sort", ErrInvalid, k)
	}
	*slot = op
	*op = Op{h: h, kind: k}
	p.inflight++
	return s, nil
}

// finish gives op back to the caller. Backends call it right after they made
// the final completion; it may close the socket, so s is void afterwards. Of a
// splice s is the socket that it receives from.
func (p *Port) finish(s *sock, op *Op) {
	if s.in == op {
		s.in = nil
	} else if s.out == op {
		s.out = nil
	}
	var to *sock
	if op.kind == KindSplice {
		to = p.parted(op)
	}
	op.kind, op.mem, op.size, op.bufs, op.more = kindIdle, nil, 0, nil, 0
	p.inflight--
	if s.ending != nil {
		p.settle(s)
	}
	if to != nil && to != s && to.ending != nil {
		p.settle(to)
	}
}

// complete queues a completion for the next Dequeue.
func (p *Port) complete(c Completion) { p.ready.push(c) }

// fail ends op with an error.
func (p *Port) fail(s *sock, op *Op, err error) {
	c := Completion{Op: op, Key: s.key, Kind: op.kind, N: int(op.n), Err: err}
	p.complete(c)
	p.finish(s, op)
}

// sent ends a send without an error.
func (p *Port) sent(s *sock, op *Op) {
	p.complete(Completion{Op: op, Key: s.key, Kind: KindSend, N: int(op.n)})
	p.finish(s, op)
}

// connected ends a connect: err is what the system said.
func (p *Port) connected(s *sock, op *Op, err error) {
	p.complete(Completion{Op: op, Key: s.key, Kind: KindConnect, Err: p.connectError(s, err)})
	p.finish(s, op)
}

// connectError turns a connection with oneself into the refusal that it should
// have been. TCP lets a socket meet itself (RFC 9293, 3.5, simultaneous
// initiation): the system picks as local port the very one that is connected
// to, which nobody listens on. Whoever is connected so holds the port and keeps
// the server that should be there from coming back.
func (p *Port) connectError(s *sock, err error) error {
	if err != nil {
		return err
	}
	local, err := p.b.localAddr(s)
	if err != nil || local.Unix {
		return nil
	}
	if remote, err := p.b.remoteAddr(s); err != nil || remote != local {
		return nil
	}
	return &Error{Kind: KindConnect, Class: ErrRefused, Sys: errItself}
}

var errItself = errors.New("nobody listens: the socket met itself")

// settle does what was waiting for operations of the socket to end: first the
// shutdown, which waits for the send before it, then the close.
func (p *Port) settle(s *sock) {
	op := s.ending
	switch {
	case op.kind == KindShutdown && s.out == nil:
		err := p.b.shutdown(s)
		if err != nil {
			err = sysErrorOnce(KindShutdown, err)
		}
		p.endShutdown(s, err)
	case op.kind == KindClose && s.in == nil && s.out == nil:
		c := Completion{Op: op, Key: s.key, Kind: KindClose}
		if err := p.b.close(s, s.flags&sockReset != 0); err != nil {
			c.Err = sysErrorOnce(KindClose, err)
		}
		op.kind = kindIdle
		p.inflight--
		p.socks.put(s)
		p.complete(c)
	}
}

func (p *Port) endShutdown(s *sock, err error) {
	p.complete(Completion{Op: s.ending, Key: s.key, Kind: KindShutdown, Err: err})
	s.ending.kind = kindIdle
	s.ending = nil
	p.inflight--
}

// Release gives back the buffer that a completion lent. Buf must not be used
// any more. Releasing a completion that lends nothing, or twice, does nothing.
func (p *Port) Release(c *Completion) {
	if c.lease == 0 {
		return
	}
	p.lock()
	p.b.release(c.lease - 1)
	p.unlock()
	c.lease, c.Buf = 0, nil
}

// Stats is a snapshot of a port.
type Stats struct {
	Sockets  int // associated and not yet closed
	InFlight int // operations started and not yet finished
	Leased   int // completions whose buffer was not released
}

// Stats takes a snapshot. The same goroutines may call it as Dequeue.
func (p *Port) Stats() Stats {
	p.lock()
	defer p.unlock()
	return Stats{Sockets: p.socks.live, InFlight: p.inflight, Leased: p.b.leased()}
}

// Close closes the port and every socket associated with it, with a reset.
// It waits until the system has ended their operations; completions that were
// not dequeued are dropped, lent buffers become invalid, and accepted sockets
// that were not dequeued are discarded. In Shared mode no other call may be
// under way: end the workers first.
func (p *Port) Close() error {
	p.lock()
	if p.closed {
		p.unlock()
		return ErrPortClosed
	}
	p.closed = true
	p.posted.close()
	for _, c := range p.socks.chunks {
		for i := range c {
			if s := &c[i]; s.gen&1 == 1 && !s.isClosing() {
				p.closeSocket(new(Op), s.handle(), true)
			}
		}
	}
	p.inflight -= p.timeouts.clear()
	p.patient = false
	p.unlock()
	var batch [64]Completion
	for {
		p.lock()
		n, left := p.collect(batch[:]), p.socks.live
		p.unlock()
		for i := range batch[:n] {
			p.Release(&batch[i])
			if batch[i].Kind == KindAccept && batch[i].Err == nil {
				p.b.discard(batch[i].Socket)
			}
		}
		if n == 0 && left == 0 {
			break
		}
		if n == 0 {
			p.b.block(closeTick)
		}
	}
	p.b.destroy()
	return nil
}

// closeTick bounds one wait of Close.
const closeTick = 100 * time.Millisecond

// sleep is the agreement between those who block in the backend and those who
// have something for them.
type sleep struct {
	blocked atomic.Int32 // workers in, or about to enter, backend.block
	waking  atomic.Bool  // a wake is under way: no need for another
}

// stir wakes a worker that blocks, if any does and none was woken already.
func (p *Port) stir() {
	if p.sleep.blocked.Load() > 0 && p.sleep.waking.CompareAndSwap(false, true) {
		p.b.wake()
	}
}
