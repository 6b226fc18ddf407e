package port

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// std carries operations out with package net, so it runs wherever Go does. A goroutine waits
// for each operation that is outstanding. Its result goes through a queue to the goroutine
// that drives the port, which is the only one to touch the books.
type std struct {
	p     *Port
	conns []*stdConn // by the socket's slot; the driver's alone
	*bell
	group sync.WaitGroup // goroutines
	taken []stdEvent     // by poll, which has dealt with those before next
	next  int

	mu     sync.Mutex // guards what follows
	events []stdEvent
	lender lender
	fed    sync.Cond // a buffer is free again, or a recv that waits for one is canceled
}

// stdEvent is the result of an operation, or a part of it, on its way to the driver.
type stdEvent struct {
	h     Handle
	op    *Op
	n     int // bytes
	err   error
	more  bool
	part  bool // n more bytes of a send that goes on
	buf   []byte
	lease uint32
	made  net.Conn // accepted or connected
}

// stdConn is one socket: a listener, a connection, or what will be one.
type stdConn struct {
	listener net.Listener
	conn     net.Conn
	raw      syscall.RawConn
	fd       uintptr // of conn, which the driver alone closes
	local    Addr
	options  SocketOptions
	late     bool               // what is written has a deadline that has passed
	dial     context.CancelFunc // ends the connect in flight
	canceled bool               // the recv; guarded by std.mu
	ahead    atomic.Int32       // pieces that wait to be dequeued
	room     sync.Cond          // there are fewer than stdAhead again

	// A peer's reset is told once, by the first call that finds it; the other
	// direction then finds an end of stream that it must not believe. calls
	// is held from the system call of a send until what it told is noted.
	calls  sync.Mutex
	broken error // what a send was told

	writes atomic.Uint32 // odd while a send waits for room
}

// stdAhead bounds the pieces that a connection receives ahead of the driver.
const stdAhead = 4

// deadliner is what ends a wait from outside.
type deadliner interface{ SetDeadline(time.Time) error }

var longAgo = time.Unix(1, 0)

func openStd(p *Port) (backend, error) {
	b := &std{p: p, bell: newBell(), lender: newLender(p.cfg.buffers(DefaultBufferSize))}
	b.fed.L = &b.mu
	return b, nil
}

// stdSockets are the sockets that no port knows, numbered.
var stdSockets struct {
	sync.Mutex
	all  map[Socket]*stdConn
	last Socket
}

func addStdSocket(c *stdConn) Socket {
	t := &stdSockets
	t.Lock()
	defer t.Unlock()
	if t.all == nil {
		t.all = make(map[Socket]*stdConn)
	}
	t.last++
	t.all[t.last] = c
	return t.last
}

func takeStdSocket(s Socket) *stdConn {
	t := &stdSockets
	t.Lock()
	defer t.Unlock()
	c := t.all[s]
	delete(t.all, s)
	return c
}

func (b *std) attach(s *sock, sk Socket) error {
	c := takeStdSocket(sk)
	if c == nil {
		return ErrInvalid
	}
	if err := c.init(); err != nil {
		c.close(false)
		return err
	}
	for int(s.index) >= len(b.conns) {
		b.conns = append(b.conns, nil)
	}
	b.conns[s.index] = c
	c.room.L = &b.mu
	return nil
}

// init finds the way past package net to a connection's descriptor.
func (c *stdConn) init() (err error) {
	if sc, ok := c.conn.(syscall.Conn); ok {
		if c.raw, err = sc.SyscallConn(); err == nil {
			err = c.raw.Control(func(fd uintptr) {
				c.fd = fd
				inlineUrgent(fd)
			})
		}
	}
	return err
}

func (b *std) discard(sk Socket) {
	if c := takeStdSocket(sk); c != nil {
		c.close(false)
	}
}

func (c *stdConn) close(reset bool) error {
	switch {
	case c.listener != nil:
		return c.listener.Close()
	case c.conn != nil:
		if t, ok := c.conn.(*net.TCPConn); ok && reset {
			t.SetLinger(0)
		}
		return c.conn.Close()
	}
	return nil
}

func (b *std) close(s *sock, reset bool) error {
	c := b.conns[s.index]
	b.conns[s.index] = nil
	return c.close(reset)
}

func (b *std) shutdown(s *sock) error {
	if c, ok := b.conns[s.index].conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return syscall.ENOTCONN
}

// tell queues an event and wakes the driver.
func (b *std) tell(e stdEvent) {
	b.mu.Lock()
	b.note(e)
	b.mu.Unlock()
}

// note is tell where mu is held.
func (b *std) note(e stdEvent) {
	b.events = append(b.events, e)
	if len(b.events) == 1 {
		b.wake()
	}
}

func (b *std) poll(dst []Completion) (n int) {
	for n == 0 && b.take() {
		for ; n < len(dst) && b.next < len(b.taken); b.next++ {
			e := &b.taken[b.next]
			if e.part {
				e.op.advance(e.n)
				continue
			}
			s := b.p.socks.get(e.h)
			dst[n] = b.completion(s, e)
			n++
			if e.buf != nil {
				b.dequeued(b.conns[s.index])
			}
			if !e.more {
				b.p.finish(s, e.op)
			}
		}
	}
	if b.next < len(b.taken) {
		b.wake()
	}
	return n
}

// take takes the events that came, once those taken before are dealt with.
func (b *std) take() bool {
	if b.next == len(b.taken) {
		clear(b.taken)
		b.next = 0
		b.mu.Lock()
		b.taken, b.events = b.events, b.taken[:0]
		b.mu.Unlock()
	}
	return len(b.taken) > 0
}

// completion turns an event into the caller's completion.
func (b *std) completion(s *sock, e *stdEvent) Completion {
	op, sc := e.op, b.conns[s.index]
	c := Completion{Op: op, Key: s.key, Kind: op.kind, N: e.n, More: e.more, Buf: e.buf, lease: Lease(e.lease)}
	switch {
	case e.err == io.EOF:
		c.Err = io.EOF
	case e.err != nil && op.flags&opCanceled != 0 && stopped(e.err):
		c.Err = canceled(op.kind)
	case e.err != nil:
		c.Err = sysErrorOnce(op.kind, e.err)
	}
	switch op.kind {
	case KindSend:
		op.advance(e.n)
		c.N = int(op.n)
	case KindAccept:
		if e.made != nil {
			c.Socket = addStdSocket(&stdConn{conn: e.made, options: sc.options})
		}
	case KindConnect:
		sc.dial()
		if e.made != nil {
			sc.conn = e.made
			if err := sc.init(); err != nil {
				c.Err = sysError(KindConnect, err)
			} else {
				c.Err = b.p.connectError(s, nil)
			}
		}
	}
	return c
}

// stopped reports an end that cancel brought about.
func stopped(err error) bool {
	return errors.Is(err, ErrCanceled) || classify(err) == ErrTimeout || classify(err) == ErrCanceled
}

// cancel ends what a goroutine waits for, by a deadline that has passed.
func (b *std) cancel(s *sock, op *Op) {
	c := b.conns[s.index]
	switch op.kind {
	case KindAccept:
		c.listener.(deadliner).SetDeadline(longAgo)
	case KindConnect:
		c.dial()
	case KindRecv:
		if c.conn != nil {
			b.mu.Lock()
			c.canceled = true
			b.fed.Broadcast()
			b.mu.Unlock()
			c.conn.SetReadDeadline(longAgo)
		}
	case KindSend:
		if c.conn != nil {
			c.late = true
			b.cancelSend(c)
		}
	}
}

func (b *std) release(lease uint32) {
	b.mu.Lock()
	if b.lender.release(lease) {
		b.fed.Broadcast()
	}
	b.mu.Unlock()
}

func (b *std) leased() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lender.out
}

func (b *std) flush() {}
func (b *std) destroy() {
	b.still()
	b.group.Wait()
}
