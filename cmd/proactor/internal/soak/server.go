package soak

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor"
)

// The bounds of the servers. Where a handler only answers, reads pause long
// before MaxPending.
var limits = proactor.Limits{
	HighWater:     64 << 10,
	MaxPending:    512 << 10,
	MaxMessage:    512 << 10,
	LingerTimeout: 10 * time.Second,
}

// generation is one server, of those that follow each other at an address.
type generation struct {
	run            *run
	srv            *proactor.Server
	stopping       chan struct{} // closed before Shutdown is called
	clients        sync.WaitGroup
	answers        sync.WaitGroup // of goroutines that answer
	opened, closed atomic.Int64
}

func (r *run) newGeneration(addr string) *generation {
	g := &generation{run: r, stopping: make(chan struct{})}
	h := proactor.Handler{Opened: g.connOpened, Data: g.connData, Stopping: g.connStopping, Closed: g.connClosed}
	if r.opt.wrap != nil {
		h = r.opt.wrap(h)
	}
	g.srv = &proactor.Server{Network: "tcp4", Addr: addr, Handler: h, Limits: limits, Engine: r.engine}
	return g
}

// late reports whether the server is being shut down.
func (g *generation) late() bool {
	select {
	case <-g.stopping:
		return true
	default:
		return false
	}
}

// session is the far side of one connection. What is not atomic is of the
// connection's loop alone.
type session struct {
	gen               *generation
	id                uint64
	way               *way // nil until the first frame tells it
	want              *stream
	rng               *rand.Rand
	held              bool // it has paused reads
	last              bool // the next frame is the last: the server shuts down
	over              bool // the rest is not looked at, so that the server ends the connection
	received, written atomic.Int64
	cause             error
	users             atomic.Int32 // the connection, and a goroutine that answers
}

func (g *generation) connOpened(c *proactor.Conn) {
	s := &session{gen: g}
	s.users.Store(1)
	c.SetValue(s)
	g.opened.Add(1)
}

func (g *generation) connClosed(c *proactor.Conn, cause error) {
	s, _ := c.Value().(*session)
	if s == nil || s.cause != nil {
		g.run.violated(invClosed, "a connection from %v was closed that was not open", c.RemoteAddr())
		return
	}
	s.cause = cause
	g.closed.Add(1)
	s.leave()
}

// leave closes the account when the last of those that use it has left.
func (s *session) leave() {
	if s.users.Add(-1) == 0 && s.way != nil {
		s.gen.run.ledger.closeFar(s.id, far{s.received.Load(), s.written.Load(), s.cause, true})
	}
}

func (g *generation) connData(c *proactor.Conn, p []byte) (n int) {
	s := c.Value().(*session)
	if s.cause != nil {
		g.run.violated(invClosed, "connection %#x is given bytes after Closed", s.id)
	}
	if s.over {
		return len(p)
	}
	for !s.held {
		f, ok := frame(p[n:])
		if ok && f == nil {
			break
		}
		if !ok || !s.expected(f) {
			g.run.violated(invBytes, "connection %#x: the server received something else than was sent after %d bytes", s.id, s.received.Load())
			c.Abort()
			return len(p)
		}
		n += len(f)
		s.received.Add(int64(len(f)))
		g.run.count.served.Add(int64(len(f)))
		s.answer(c, f)
	}
	if s.last && n > 0 && !s.held {
		s.over = true
		return len(p)
	}
	return n
}

// connStopping has a client that never pauses be answered up to the end of a frame.
func (g *generation) connStopping(c *proactor.Conn) { c.Value().(*session).last = true }

// expected checks a frame. The first one tells whose connection it is.
func (s *session) expected(f []byte) bool {
	if s.way == nil {
		r, id := s.gen.run, numberOf(f)
		way := r.ledger.meet(id)
		if way == nil {
			return false
		}
		s.id, s.way = id, way
		s.want = newStream(r.opt.Seed, id, way)
		s.rng = rand.New(rand.NewPCG(r.opt.Seed, ^id))
	}
	return s.want.check(f)
}

// answer does what the frame asks.
func (s *session) answer(c *proactor.Conn, f []byte) {
	g, write := s.gen, c.Write
	switch f[0] {
	case askPieces:
		write = func(p []byte) (int, error) { return c.Writev(p[:headerLen], p[headerLen:]) }
	case askShared:
		write = func(p []byte) (int, error) { return c.WriteShared(bytes.Clone(p)) }
	case askBlock:
		g.run.count.blocked.Add(1)
		time.Sleep(between(s.rng, [2]time.Duration{ms, 4 * ms})) // which a handler must not
	case askPanic:
		g.run.count.panics.Add(1)
		panic("provoked")
	case askWorker:
		s.answerLater(c, bytes.Clone(f))
		return
	}
	if g.run.opt.write != nil {
		write = func(p []byte) (int, error) { return g.run.opt.write(c, p) }
	}
	s.written.Add(int64(len(f)))
	if _, err := write(f); err != nil {
		s.written.Add(-int64(len(f)))
		g.run.violated(invWrite, "connection %#x (%s): %v", s.id, s.way.name, err)
	}
	switch f[0] {
	case askClose:
		c.Close()
	case askPause:
		g.run.count.held.Add(1)
		s.held = true
		c.PauseRead()
		c.After(between(s.rng, [2]time.Duration{ms, 20 * ms}), func() { s.goOn(c) })
	}
}

// answerLater answers from another goroutine. Reads are paused meanwhile, so
// that the answers stay in order.
func (s *session) answerLater(c *proactor.Conn, f []byte) {
	s.gen.run.count.workers.Add(1)
	s.held = true
	c.PauseRead()
	s.users.Add(1)
	s.gen.answers.Go(func() {
		defer s.leave()
		ctx, cancel := context.WithTimeout(context.Background(), s.gen.run.opt.patience)
		defer cancel()
		s.written.Add(int64(len(f)))
		if _, err := c.WriteContext(ctx, f); err != nil {
			s.written.Add(-int64(len(f)))
			if !errors.Is(err, proactor.ErrClosed) { // reset, or the server shuts down
				s.gen.run.violated(invStuck, "connection %#x (%s): no room for an answer: %v", s.id, s.way.name, err)
			}
			return
		}
		c.Post(func() { s.goOn(c) })
	})
}

func (s *session) goOn(c *proactor.Conn) {
	s.held = false
	c.ResumeRead()
}
