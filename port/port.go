package port

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Mode says which goroutines may use a port.
type Mode uint8

const (
	// Exclusive: the goroutine that called Open makes every call except Post, Cancel and
	// SendNow. There is no lock. If the backend needs it, Open locks the goroutine to its
	// thread until Close.
	Exclusive Mode = iota
	// Shared: any number of goroutines start operations and dequeue. This is the classic
	// scheme of a completion port with several workers. Each completion goes to one of
	// them.
	Shared
)

// Config says how to open a port. The zero value is an Exclusive port on the
// best backend that works here.
type Config struct {
	// Backend forces one of [Backends]. Empty: the environment variable
	// PROACTOR_BACKEND, else the first that works.
	Backend string
	Mode    Mode
	// BufferSize, in bytes, and BufferCount are the shape of the pool from which streamed
	// recvs lend buffers. A completion never lends more than BufferSize bytes. Several
	// completions share a buffer if the backend can do that. Memory that was never lent costs
	// nothing. 0: 64 KiB and 256; with io_uring 256 KiB and 64, because it fills a buffer to
	// the last byte, so that bytes that lie across two buffers come in two completions.
	BufferSize, BufferCount int
	// Spin is how long Dequeue looks for completions before it blocks. That shortens latency
	// and costs a core. 0: Dequeue blocks at once.
	Spin time.Duration
	// Sim is the network for the backend "sim", which needs one. Other backends ignore it.
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

// Port is a completion port. The package documentation has the contract, [Mode] which
// goroutines may call its methods.
type Port struct {
	b        backend
	name     string
	detail   string
	tries    bool // the backend heeds opTry
	sendsNow bool // sock.sys is what sendNow can send to
	together bool // Sends go to the system with the next Dequeue
	cfg      Config

	mu       sync.Mutex // Shared: guards all below and every call of b but block
	socks    table
	ready    queue[Completion] // that wait to be dequeued
	timeouts timeouts
	splices  spliceTable
	files    map[Handle]socketFile // of the listeners that have one
	inflight int                   // operations
	alone    bool                  // ready went alone, the last time
	patient  bool                  // Dequeue blocks if it finds nothing
	few      bool                  // the backend's poll before found few completions
	closed   bool
	yielder  yielder

	posted inbox // what Post and Cancel asked for
	sleep  sleep
	leader chan struct{} // Shared: held by the worker that blocks
}

// Open opens a port. The error says which backend failed and why.
func Open(cfg Config) (*Port, error) {
	switch {
	case cfg.Mode > Shared:
		return nil, fmt.Errorf("%w: mode %d", ErrInvalid, cfg.Mode)
	case cfg.BufferSize < 0 || cfg.BufferSize > 1<<30:
		return nil, fmt.Errorf("%w: buffer size %d", ErrInvalid, cfg.BufferSize)
	case cfg.BufferCount < 0 || cfg.BufferCount > 1<<15:
		return nil, fmt.Errorf("%w: buffer count %d, at most %d", ErrInvalid, cfg.BufferCount, 1<<15)
	}
	p := &Port{cfg: cfg, leader: make(chan struct{}, 1)}
	if err := choose(p, cfg.Backend); err != nil {
		return nil, err
	}
	return p, nil
}

// Backend returns the name of the backend: "iocp", "uring", "epoll", "std" or "sim".
func (p *Port) Backend() string { return p.name }

// Detail describes the backend for a log: the features in use, and why better backends did not
// work.
func (p *Port) Detail() string { return p.detail }

func (p *Port) lock() {
	if p.cfg.Mode == Shared {
		p.mu.Lock()
	}
}

// unlock ends a call that may have started an operation. A worker that blocks must notice it.
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

// Associate ties a socket to this port until it is closed or detached. Completions of its
// operations arrive here, with this key. On error the socket has been discarded.
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
	}
	if sk&shared != 0 {
		s.flags |= sockShared
	}
	sk &^= marks
	file, made := p.takeFile(sk, s.flags&sockListener != 0)
	if err := p.b.attach(s, sk); err != nil {
		p.socks.put(s)
		if made {
			file.remove()
		}
		p.b.discard(sk)
		return 0, fmt.Errorf("associate: %w", sysErrorOnce(0, err))
	}
	if made {
		if p.files == nil {
			p.files = make(map[Handle]socketFile)
		}
		p.files[s.handle()] = file
	}
	return s.handle(), nil
}

// LocalAddr returns the address of this end. It is known until the socket is closed.
func (p *Port) LocalAddr(h Handle) (Addr, error) { return p.addr(h, backend.localAddr) }

// RemoteAddr returns the address of the peer. Some systems forget it when the peer resets the
// connection, so ask early.
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
	case KindClose, KindDetach:
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
	if k != KindRecv && k != KindAccept {
		raceSent()
	}
	*slot = op
	*op = Op{h: h, kind: k}
	p.inflight++
	return s, nil
}

// finish gives op back to the caller. A backend calls it right after it has made the final
// completion. finish may close the socket, so s is void afterwards. For a splice, s is the
// socket that it receives from.
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

// connectError turns a connection of a socket with itself into the refusal that it should have
// been. TCP lets a socket connect to itself (RFC 9293, 3.5, simultaneous initiation), when the
// system picks as local port the very port that it connects to, and no listener is there. Such
// a connection holds the port, and keeps the server that should be there from coming back.
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

// settle carries out what waited for operations of the socket to end: first a shutdown, which
// waits for the send before it, then a close.
func (p *Port) settle(s *sock) {
	op := s.ending
	switch {
	case op.kind == KindShutdown && s.out == nil:
		err := p.b.shutdown(s)
		if err != nil {
			err = sysErrorOnce(KindShutdown, err)
		}
		p.endShutdown(s, err)
	case op.kind == KindDetach && s.in == nil && s.out == nil:
		p.endDetach(s)
	case op.kind == KindClose && s.in == nil && s.out == nil:
		if err := p.b.close(s, s.flags&sockReset != 0); err != errLater {
			p.endClose(s, err)
		}
	}
}

// errLater is returned by a backend's close if the socket is gone only after a further event of
// the system. The backend then calls endClose itself.
var errLater = errors.New("the close ends later")

func (p *Port) endClose(s *sock, err error) {
	c := Completion{Op: s.ending, Key: s.key, Kind: KindClose}
	if err != nil {
		c.Err = sysErrorOnce(KindClose, err)
	}
	c.Op.kind = kindIdle
	p.inflight--
	p.socks.put(s)
	p.complete(c)
}

func (p *Port) endShutdown(s *sock, err error) {
	p.complete(Completion{Op: s.ending, Key: s.key, Kind: KindShutdown, Err: err})
	s.ending.kind = kindIdle
	s.ending = nil
	p.inflight--
}

// Release gives back the buffer that a completion lent. Buf must not be used after that. To
// release a completion that lends no buffer, or to release one twice, has no effect.
func (p *Port) Release(c *Completion) {
	p.GiveBack(c.Keep())
	c.Buf = nil
}

// Lease stands for a buffer that a completion lent; 0 for none.
type Lease uint32

// Keep takes the buffer over from the completion, whose Release does nothing then.
// Buf may be used until [Port.GiveBack].
func (c *Completion) Keep() Lease {
	l := c.lease
	c.lease = 0
	return l
}

// GiveBack is Release for what [Completion.Keep] took over, once. It may be called
// by the same goroutines.
func (p *Port) GiveBack(l Lease) {
	if l != 0 {
		p.lock()
		p.b.release(uint32(l) - 1)
		p.unlock()
	}
}

// Stats is a snapshot of a port.
type Stats struct {
	Sockets  int // sockets that are associated and not yet closed
	InFlight int // operations that were started and have not finished
	Leased   int // completions whose buffer was not released
}

// Stats takes a snapshot. The same goroutines may call it as Dequeue.
func (p *Port) Stats() Stats {
	p.lock()
	defer p.unlock()
	return Stats{Sockets: p.socks.live, InFlight: p.inflight, Leased: p.b.leased()}
}

// Close closes the port, and every socket that is associated with it by a reset. It returns
// when the system has ended their operations. Completions that were not dequeued are dropped, lent
// buffers become invalid, and accepted and detached sockets that were not dequeued are
// discarded. In Shared mode no other call may be under way: end the workers first.
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
			if k := batch[i].Kind; (k == KindAccept || k == KindDetach) && batch[i].Err == nil {
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

// sleep is the agreement between goroutines that block in the backend and goroutines that have
// work for them.
type sleep struct {
	blocked atomic.Int32 // workers in, or about to enter, backend.block
	waking  atomic.Bool  // a wake is under way: no need for another
}

// stir wakes a worker that blocks, if there is one and no wake is under way.
func (p *Port) stir() {
	if p.sleep.blocked.Load() > 0 && p.sleep.waking.CompareAndSwap(false, true) {
		p.b.wake()
	}
}
