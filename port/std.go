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

// std carries operations out with package net, so it runs wherever Go does. A
// goroutine waits for each operation that is outstanding; what came of it goes
// through a queue to the goroutine that drives the port, which alone touches
// the books.
type std struct {
	p     *Port
	conns []*stdConn // by the socket's slot; the driver's alone
	*bell
	group sync.WaitGroup // goroutines

	mu     sync.Mutex // guards what follows
	events []stdEvent
	taken  []stdEvent
	lender lender
	fed    chan struct{} // closed when a buffer is free again; nil: nobody waits
}

// stdEvent is what a goroutine tells the driver of an operation.
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
	local    Addr
	options  SocketOptions
	late     bool               // what is written has a deadline that has passed
	dial     context.CancelFunc // ends the connect in flight
	stop     chan struct{}      // closed to end a recv that waits for a buffer
	ahead    chan struct{}      // a token for each piece that waits to be dequeued

	// A peer's reset is told once, by the first call that finds it; the other
	// direction then finds an end of stream that it must not believe. calls
	// is held from a system call until what it told is noted.
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
	return &std{p: p, bell: newBell(), lender: newLender(p.cfg.buffers(DefaultBufferSize))}, nil
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
	return nil
}

// init finds the way past package net to a connection's descriptor.
func (c *stdConn) init() (err error) {
	if sc, ok := c.conn.(syscall.Conn); ok {
		c.raw, err = sc.SyscallConn()
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
	b.events = append(b.events, e)
	first := len(b.events) == 1
	b.mu.Unlock()
	if first {
		b.wake()
	}
}

func (b *std) poll(dst []Completion) int {
	b.mu.Lock()
	n := min(len(b.events), len(dst))
	b.taken = append(b.taken[:0], b.events[:n]...)
	rest := copy(b.events, b.events[n:])
	clear(b.events[rest:])
	b.events = b.events[:rest]
	b.mu.Unlock()
	made := 0
	for i := range b.taken {
		e := &b.taken[i]
		if e.part {
			e.op.advance(e.n)
			continue
		}
		s := b.p.socks.get(e.h)
		dst[made] = b.completion(s, e)
		made++
		if e.buf != nil {
			<-b.conns[s.index].ahead
		}
		if !e.more {
			b.p.finish(s, e.op)
		}
	}
	clear(b.taken)
	if rest > 0 {
		b.wake()
	}
	return made
}

// completion turns an event into what the caller gets.
func (b *std) completion(s *sock, e *stdEvent) Completion {
	op, sc := e.op, b.conns[s.index]
	c := Completion{Op: op, Key: s.key, Kind: op.kind, N: e.n, More: e.more, Buf: e.buf, lease: e.lease}
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
		if c.stop != nil {
			close(c.stop)
			c.stop = nil
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
	if b.lender.release(lease) && b.fed != nil {
		close(b.fed)
		b.fed = nil
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
