// Package rig is the engine, the server and the books that black-box tests of package
// proactor run on. What needs no engine is in package must.
package rig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/internal/inspect"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
)

// Each runs f on every backend, see porttest.Each. When f has ended no
// goroutine and no descriptor of its may be left.
func Each(t *testing.T, f func(t *testing.T, backend string)) {
	t.Helper()
	porttest.Each(t, func(t *testing.T, backend string) {
		must.LeaveNothing(t)
		f(t, backend)
	})
}

// EachTogether is Each on all backends at once, see porttest.EachTogether.
func EachTogether(t *testing.T, f func(t *testing.T, backend string)) {
	t.Helper()
	must.LeaveNothing(t)
	porttest.EachTogether(t, f)
}

// Rig is an engine under test, and the book of what its handlers were told.
type Rig struct {
	*testing.T
	Engine *proactor.Engine
	Opened chan *proactor.Conn // every connection, at its Opened
	Closed chan Ending         // and at its Closed
	Logged *must.Log

	mu     sync.Mutex
	books  map[*proactor.Conn]*book
	served []*proactor.Server
	Panics int64 // that the test wants
}

// Ending is what Closed was told.
type Ending struct {
	Conn  *proactor.Conn
	Cause error
}

// book is what is known of one connection.
type book struct {
	closed int
	loop   uint64     // the goroutine of its loop
	in     sync.Mutex // held in callbacks: there is one at a time
}

// New starts an engine. When the test ends, however it ends, the engine is
// closed: then every connection has been told Closed once, nothing waits to be
// sent, and no buffer is in use.
func New(t *testing.T, backend string, change ...func(*proactor.Config)) *Rig {
	t.Helper()
	r := &Rig{
		T:      t,
		Opened: make(chan *proactor.Conn, 1<<14),
		Closed: make(chan Ending, 1<<14),
		books:  map[*proactor.Conn]*book{},
		Logged: new(must.Log),
	}
	cfg := proactor.Config{Backend: backend, Loops: 2, BufferCount: 64}
	cfg.Log = slog.New(slog.NewTextHandler(r.Logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if r.Engine, err = proactor.NewEngine(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.end)
	return r
}

func (r *Rig) end() {
	r.Helper()
	must.Within(r.T, "Engine.Close", func() error {
		if err := r.Engine.Close(); !errors.Is(err, proactor.ErrEngineClosed) {
			return err
		}
		return nil
	})
	for i, p := range inspect.Ports(r.Engine) {
		if p.Leased > 0 {
			r.Errorf("after the end, %d receive buffers of loop %d were not given back", p.Leased, i)
		}
	}
	must.Eventually(r.T, "every place of a handshake is given back", func() bool { return inspect.Handshakes(r.Engine) == 0 })
	s := r.Engine.Stats()
	if s.Leased != 0 || s.Pending != 0 || s.Kept != 0 || s.Conns() != 0 || s.Panics != r.Panics {
		r.Errorf("after the end, %d panics expected: %+v", r.Panics, s)
	}
	var ended int64
	for _, n := range s.Causes {
		ended += n
	}
	took, err := r.Engine.Histograms(context.Background())
	if lived := took.Lifetimes.Count(); err != nil || ended != s.Closed || lived != s.Closed || took.Received.Count() != s.Closed || took.Sent.Count() != s.Closed {
		r.Errorf("%d connections closed, for %d causes, %d with a lifetime, %v: %+v", s.Closed, ended, lived, err, s)
	}
	if in, out := took.Received.Sum, took.Sent.Sum; in != s.BytesIn || out != s.BytesOut {
		r.Errorf("connections that have gone received %d bytes and sent %d: %+v", in, out, s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, b := range r.books {
		if b.closed != 1 {
			r.Errorf("connection %d was told Closed %d times", c.ID(), b.closed)
		}
	}
	for _, s := range r.served {
		if n := inspect.Peers(s); n != 0 {
			r.Errorf("after the end, %d connections are counted for their peers", n)
		}
	}
	if r.Failed() {
		r.Logf("log:\n%s", r.Logged)
	}
}

// Watch wraps a handler so that the book is kept, and checks that callbacks
// come one at a time, the first is Opened and the last Closed.
func (r *Rig) Watch(h proactor.Handler) proactor.Handler {
	inside := func(c *proactor.Conn, what string) func() {
		r.mu.Lock()
		b := r.books[c]
		r.mu.Unlock()
		switch {
		case b == nil:
			r.Errorf("%s before Opened", what)
			return func() {}
		case b.closed > 0:
			r.Errorf("%s after Closed", what)
			return func() {}
		case !b.in.TryLock():
			r.Errorf("%s while another callback runs", what)
			return func() {}
		}
		return b.in.Unlock
	}
	w := h
	w.Opened = func(c *proactor.Conn) {
		r.mu.Lock()
		if r.books[c] != nil {
			r.Errorf("connection %d was opened twice", c.ID())
		}
		r.books[c] = &book{loop: goid.Current()}
		r.mu.Unlock()
		defer inside(c, "Opened")()
		if h.Opened != nil {
			defer func() { r.Opened <- c }()
			h.Opened(c)
			return
		}
		r.Opened <- c
	}
	if h.Data != nil {
		w.Data = func(c *proactor.Conn, p []byte) int {
			defer inside(c, "Data")()
			return h.Data(c, p)
		}
	}
	if h.Message != nil {
		w.Message = func(c *proactor.Conn, p []byte) {
			defer inside(c, "Message")()
			h.Message(c, p)
		}
	}
	if h.Drained != nil {
		w.Drained = func(c *proactor.Conn) {
			defer inside(c, "Drained")()
			h.Drained(c)
		}
	}
	if h.Stopping != nil {
		w.Stopping = func(c *proactor.Conn) {
			defer inside(c, "Stopping")()
			h.Stopping(c)
		}
	}
	if h.Closing != nil {
		w.Closing = func(c *proactor.Conn, cause error) {
			defer inside(c, "Closing")()
			h.Closing(c, cause)
		}
	}
	if h.Ended != nil {
		w.Ended = func(c *proactor.Conn, why error) {
			defer inside(c, "Ended")()
			h.Ended(c, why)
		}
	}
	w.Closed = func(c *proactor.Conn, cause error) {
		leave := inside(c, "Closed")
		r.mu.Lock()
		if b := r.books[c]; b != nil {
			b.closed++
		}
		r.mu.Unlock()
		defer leave()
		defer func() { r.Closed <- Ending{c, cause} }()
		if h.Closed != nil {
			h.Closed(c, cause)
		}
	}
	return w
}

// Serve starts a server on the engine, at a port of the system's choice.
func (r *Rig) Serve(h proactor.Handler, change ...func(*proactor.Server)) *proactor.Server {
	r.Helper()
	s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Handler: r.Watch(h)}
	for _, f := range change {
		f(s)
	}
	if err := s.Listen(); err != nil {
		r.Fatal(err)
	}
	r.mu.Lock()
	r.served = append(r.served, s)
	r.mu.Unlock()
	return s
}

// Start starts a server on the engine that does not listen.
func (r *Rig) Start(h proactor.Handler, change ...func(*proactor.Server)) *proactor.Server {
	r.Helper()
	s := &proactor.Server{Engine: r.Engine, Handler: r.Watch(h)}
	for _, f := range change {
		f(s)
	}
	if err := s.Start(); err != nil {
		r.Fatal(err)
	}
	r.mu.Lock()
	r.served = append(r.served, s)
	r.mu.Unlock()
	return s
}

// Limits is a change of a server's limits.
func Limits(l proactor.Limits) func(*proactor.Server) {
	return func(s *proactor.Server) { s.Limits = l }
}

// Echo is a handler that sends back what it gets.
func Echo(c *proactor.Conn, p []byte) int {
	c.Write(p)
	return len(p)
}

// Client connects to a server with package net. Whatever it waits for ends in
// time, and the test closes it.
func Client(t testing.TB, s *proactor.Server) *net.TCPConn {
	t.Helper()
	return must.Dial(t, s.ListenAddr()).(*net.TCPConn)
}

// SameLoop is whether one loop makes the callbacks of both, which were opened.
func (r *Rig) SameLoop(a, b *proactor.Conn) bool {
	return r.loopOf(a) == r.loopOf(b)
}

// loopOf is the goroutine of the loop of a connection that was opened.
func (r *Rig) loopOf(c *proactor.Conn) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.books[c].loop
}

// Accepted is the next connection that was opened.
func (r *Rig) Accepted() *proactor.Conn {
	r.Helper()
	return must.Take(r.T, "Opened", r.Opened)
}

// Ends waits for the next Closed, and checks the cause.
func (r *Rig) Ends(want error) *proactor.Conn {
	r.Helper()
	e := must.Take(r.T, fmt.Sprintf("Closed with %v", want), r.Closed)
	unseen := porttest.OnWine && want == port.ErrReset && errors.Is(e.Cause, proactor.ErrPeerClosed)
	if !errors.Is(e.Cause, want) && !unseen {
		r.Fatalf("closed with %v, want %v", e.Cause, want)
	}
	return e.Conn
}
