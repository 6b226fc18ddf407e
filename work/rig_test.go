package work

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// patience is how long anything may take before it counts as hanging.
const patience = 20 * time.Second

// scaled is a count made smaller on Windows, which may be an emulated one.
func scaled(n int) int {
	if runtime.GOOS == "windows" {
		n = max(n/10, 1)
	}
	return n
}

// eachBackend runs f on every backend. No goroutine of its may be left.
func eachBackend(t *testing.T, f func(t *testing.T, backend string)) {
	porttest.Each(t, func(t *testing.T, backend string) {
		known := goleak.IgnoreCurrent()
		t.Cleanup(func() { must.NoGoroutines(t, known) })
		f(t, backend)
	})
}

// rig is a pool under test and an engine. At the end of the test both are
// closed, and nothing may be left in the pool.
type rig struct {
	*testing.T
	pool   *Pool
	engine *proactor.Engine
	clock  clock
	causes chan error // what Closed was told, in all servers
	log    logged
}

// logged is what was logged as an error.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// clock is the pool's, set by the test.
type clock struct {
	mu sync.Mutex
	at time.Duration
}

func (c *clock) now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

func newRig(t *testing.T, backend string, cfg Config, change ...func(*proactor.Config)) *rig {
	t.Helper()
	r := &rig{T: t, causes: make(chan error, 1000)}
	log := slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelError}))
	cfg.Log = log
	var err error
	if r.pool, err = newPool(cfg, r.clock.now); err != nil {
		t.Fatal(err)
	}
	on := proactor.Config{Backend: backend, Loops: 2, Log: log}
	for _, f := range change {
		f(&on)
	}
	if r.engine, err = proactor.NewEngine(on); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.engine.Close()
		r.within("the pool's end", func() error { return r.pool.Shutdown(context.Background()) })
		nothingLeft(t, r.pool)
		if log := r.log.String(); log != "" && r.pool.Stats().Panics == 0 {
			t.Errorf("logged:\n%s", log)
		}
	})
	return r
}

// nothingLeft checks the books of a pool whose connections have all closed.
func nothingLeft(t *testing.T, p *Pool) {
	t.Helper()
	s := p.Stats()
	if s.Workers != 0 || s.Busy != 0 || s.Waiting != 0 || s.WaitingBytes != 0 || s.Memory != 0 || s.Paused != 0 || s.Buffers != 0 {
		t.Errorf("at the end: %+v", s)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queues) > 0 || p.queue.len() > 0 || p.parked.Len() > 0 || p.grants != (grants{}) {
		t.Errorf("at the end: %d queues, %d in the queue, %d parked, %+v", len(p.queues), p.queue.len(), p.parked.Len(), p.grants)
	}
}

// serve starts a server, of lines if h says nothing else, on the rig's pool
// and engine.
func (r *rig) serve(h Handler) *proactor.Server {
	r.Helper()
	if h.Split == nil && h.NewSplit == nil {
		h.NewSplit = frame.Line(10_000).Splitter
	}
	user := h.Closed
	h.Closed = func(c *proactor.Conn, cause error) {
		if user != nil {
			user(c, cause)
		}
		r.causes <- cause
	}
	s := &proactor.Server{Addr: "127.0.0.1:0", Engine: r.engine, Handler: r.pool.Handler(h)}
	if err := s.Listen(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { s.Close() })
	return s
}

func (r *rig) dial(s *proactor.Server) *client {
	r.Helper()
	c := echotest.Dial(r, s.ListenAddr().String())
	return &client{Conn: c, t: r.T, in: bufio.NewReader(c)}
}

// ends takes the cause of the next connection that closes.
func (r *rig) ends(want error) {
	r.Helper()
	if got := take(r.T, "Closed", r.causes); !errors.Is(got, want) {
		r.Errorf("the cause is %v, want %v", got, want)
	}
}

func (r *rig) within(what string, f func() error) {
	r.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	if err := take(r.T, what, done); err != nil {
		r.Fatalf("%s: %v", what, err)
	}
}

// until looks until the pool's counts are as they should.
func (r *rig) until(what string, cond func(s Stats) bool) {
	r.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s := r.pool.Stats()
		if cond(s) {
			return
		}
		if time.Now().After(end) {
			r.Fatalf("waited in vain: %s; %+v", what, s)
		}
	}
}

func (r *rig) waiting(n int) {
	r.Helper()
	r.until(fmt.Sprintf("%d messages that wait", n), func(s Stats) bool { return s.Waiting == n })
}

// take receives from a channel.
func take[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

// client is a client of lines.
type client struct {
	echotest.Conn
	t  *testing.T
	in *bufio.Reader
}

// send sends lines, in one piece.
func (c *client) send(lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads lines.
func (c *client) expect(lines ...string) {
	c.t.Helper()
	for i, want := range lines {
		got, err := c.in.ReadString('\n')
		if err != nil || got != want+"\r\n" {
			c.t.Fatalf("line %d is %q, %v, want %q", i, got, err, want)
		}
	}
}

// expectEnd reads the end of the stream.
func (c *client) expectEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); len(rest) > 0 || err != nil {
		c.t.Fatalf("at the end: %q, %v", rest, err)
	}
}

// reset closes the connection without a FIN. Where the server would be told of
// a FIN all the same, at, the server's end, is aborted in its place.
func (c *client) reset(at *proactor.Conn) {
	if porttest.OnWine {
		at.Abort()
	}
	c.SetLinger(0)
	c.Close()
}

func reply(r Request, text string) error {
	_, err := r.Conn.Write([]byte(text + "\r\n"))
	return err
}

func echo(_ context.Context, r Request) error { return reply(r, string(r.Msg)) }

// gate is a Serve that echoes, and for a line "stop" waits until it is opened
// once. entered tells of each that waits.
type gate struct{ entered, open chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

func (g *gate) serve(ctx context.Context, r Request) error {
	if string(r.Msg) == "stop" {
		g.entered <- struct{}{}
		select {
		case <-g.open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return echo(ctx, r)
}

// lines are so many different lines.
func lines(prefix string, n int) []string {
	l := make([]string, n)
	for i := range l {
		l[i] = fmt.Sprintf("%s%d", prefix, i+1)
	}
	return l
}
