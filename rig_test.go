package proactor_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
)

// patience is how long anything may take before it counts as hanging.
const patience = 30 * time.Second

// scaled is a count made smaller where everything is slower: under the race
// detector, and on Windows, which may be an emulated one.
func scaled(n int) int {
	if raceEnabled {
		n /= 4
	}
	if runtime.GOOS == "windows" {
		n /= 10
	}
	return max(n, 1)
}

// eachBackend runs f on every backend, see porttest.Each. When f has ended no
// goroutine and no descriptor of its may be left.
func eachBackend(t *testing.T, f func(t *testing.T, backend string)) {
	t.Helper()
	porttest.Each(t, func(t *testing.T, backend string) {
		if l, err := net.Listen("tcp4", "127.0.0.1:0"); err == nil {
			l.Close() // package net keeps descriptors of its own from its first use on
		}
		before, known := descriptors(), goleak.IgnoreCurrent()
		t.Cleanup(func() {
			goleak.VerifyNone(t, known)
			eventually(t, "descriptors given back", func() bool { return descriptors() <= before })
		})
		f(t, backend)
	})
}

// descriptors counts what is open, where the system tells.
func descriptors() int {
	if runtime.GOOS != "linux" {
		return 0
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// eventually looks until the condition holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// take receives from a channel.
func take[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

// within runs f on another goroutine and waits for it.
func within(t *testing.T, what string, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	if err := take(t, what, done); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// rig is an engine under test, and the book of what its handlers were told.
type rig struct {
	*testing.T
	engine *proactor.Engine
	opened chan *proactor.Conn // every connection, at its Opened
	closed chan ending         // and at its Closed
	log    *syncBuffer

	mu     sync.Mutex
	books  map[*proactor.Conn]*book
	panics int64 // that the test wants
}

// ending is what Closed was told.
type ending struct {
	c     *proactor.Conn
	cause error
}

// book is what is known of one connection.
type book struct {
	closed int
	in     sync.Mutex // held in callbacks: there is one at a time
}

// newRig starts an engine. When the test ends, however it ends, the engine is
// closed: then every connection has been told Closed once, nothing waits to be
// sent, and no buffer is in use.
func newRig(t *testing.T, backend string, change ...func(*proactor.Config)) *rig {
	t.Helper()
	r := &rig{
		T:      t,
		opened: make(chan *proactor.Conn, 1<<14),
		closed: make(chan ending, 1<<14),
		books:  map[*proactor.Conn]*book{},
		log:    new(syncBuffer),
	}
	cfg := proactor.Config{Backend: backend, Loops: 2, BufferCount: 64}
	cfg.Log = slog.New(slog.NewTextHandler(r.log, nil))
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if r.engine, err = proactor.NewEngine(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.end)
	return r
}

func (r *rig) end() {
	r.Helper()
	within(r.T, "Engine.Close", func() error {
		if err := r.engine.Close(); !errors.Is(err, proactor.ErrEngineClosed) {
			return err
		}
		return nil
	})
	if n := proactor.Unreturned(r.engine); n > 0 {
		r.Errorf("after the end, %d receive buffers were not given back", n)
	}
	s := r.engine.Stats()
	if s.Leased != 0 || s.Pending != 0 || s.Kept != 0 || s.Conns() != 0 || s.Panics != r.panics {
		r.Errorf("after the end, %d panics expected: %+v", r.panics, s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for c, b := range r.books {
		if b.closed != 1 {
			r.Errorf("connection %d was told Closed %d times", c.ID(), b.closed)
		}
	}
	if r.Failed() {
		r.Logf("log:\n%s", r.log)
	}
}

// watch wraps a handler so that the book is kept, and checks that callbacks
// come one at a time, the first is Opened and the last Closed.
func (r *rig) watch(h proactor.Handler) proactor.Handler {
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
		r.books[c] = new(book)
		r.mu.Unlock()
		defer inside(c, "Opened")()
		if h.Opened != nil {
			defer func() { r.opened <- c }()
			h.Opened(c)
			return
		}
		r.opened <- c
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
		defer func() { r.closed <- ending{c, cause} }()
		if h.Closed != nil {
			h.Closed(c, cause)
		}
	}
	return w
}

// serve starts a server on the engine, at a port of the system's choice.
func (r *rig) serve(h proactor.Handler, change ...func(*proactor.Server)) *proactor.Server {
	r.Helper()
	s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.engine, Handler: r.watch(h)}
	for _, f := range change {
		f(s)
	}
	if err := s.Listen(); err != nil {
		r.Fatal(err)
	}
	return s
}

// limits is a change of a server's limits.
func limits(l proactor.Limits) func(*proactor.Server) {
	return func(s *proactor.Server) { s.Limits = l }
}

// echo is a handler that sends back what it gets.
func echo(c *proactor.Conn, p []byte) int {
	c.Write(p)
	return len(p)
}

// client connects to a server with package net. Whatever it waits for ends in
// time, and the test closes it.
func client(t testing.TB, s *proactor.Server) *net.TCPConn {
	t.Helper()
	return clientOf(t, s.ListenAddr()).(*net.TCPConn)
}

func clientOf(t testing.TB, a net.Addr) net.Conn {
	t.Helper()
	c, err := net.DialTimeout(a.Network(), a.String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// accepted is the next connection that was opened.
func (r *rig) accepted() *proactor.Conn {
	r.Helper()
	return take(r.T, "Opened", r.opened)
}

// ends waits for the next Closed, and checks the cause.
func (r *rig) ends(want error) *proactor.Conn {
	r.Helper()
	e := take(r.T, fmt.Sprintf("Closed with %v", want), r.closed)
	unseen := onWine && want == port.ErrReset && errors.Is(e.cause, proactor.ErrPeerClosed)
	if !errors.Is(e.cause, want) && !unseen {
		r.Fatalf("closed with %v, want %v", e.cause, want)
	}
	return e.c
}
