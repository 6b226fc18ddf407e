package work

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{
		{Min: -1}, {Max: -1}, {IdleAfter: -1}, {Queue: -1}, {QueueBytes: -1}, {MaxBytes: -1}, {QueueBytes: 10, MaxBytes: 9}, {PerConn: -1}, {Aging: -1}, {Min: 3, Max: 2},
	} {
		if p, err := New(cfg); p != nil || err == nil {
			t.Errorf("%+v: no error", cfg)
		}
	}
	for _, cfg := range []Config{{}, {Min: 2, Max: 2}, {Min: 100}} {
		p, err := New(cfg)
		if err != nil {
			t.Errorf("%+v: %v", cfg, err)
			continue
		}
		for range 2 {
			if err := p.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestHandlerWithoutSense(t *testing.T) {
	p, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	split := proactor.Handler{NewSplit: frame.Line(10).Splitter}
	data, message := split, split
	data.Data = func(*proactor.Conn, []byte) int { return 0 }
	message.Message = func(*proactor.Conn, []byte) {}
	for name, h := range map[string]Handler{
		"no Serve": {Handler: split}, "no Split": {Serve: echo}, "Data": {Handler: data, Serve: echo}, "Message": {Handler: message, Serve: echo},
	} {
		func() {
			defer func() {
				if v := recover(); v == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			p.Handler(h)
		}()
	}
}

// Messages of one connection are served one at a time and in order, whatever
// others do; nothing is mixed up.
func TestOrderWithinAConnection(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 4, PerConn: 16, Queue: 100})
		type state struct {
			busy atomic.Bool
			last int64
		}
		s := r.serve(Handler{
			Handler: proactor.Handler{Opened: func(c *proactor.Conn) { c.SetValue(new(state)) }},
			Serve: func(_ context.Context, q Request) error {
				st := q.Conn.Value().(*state)
				if !st.busy.CompareAndSwap(false, true) {
					t.Error("two messages of a connection are served at once")
				}
				if st.last++; q.N != st.last {
					t.Errorf("message %d after %d", q.N, st.last-1)
				}
				r.pool.Stats() // no lock is held
				text := string(q.Msg)
				clear(q.Msg) // it is Serve's own
				runtime.Gosched()
				err := reply(q, text)
				st.busy.Store(false)
				return err
			},
		})
		n := scaled(500)
		var all sync.WaitGroup
		for i := range 10 {
			c := r.dial(s)
			want := lines(fmt.Sprintf("client %d line ", i), n)
			all.Go(func() {
				if _, err := c.Write([]byte(strings.Join(want, "\r\n") + "\r\n")); err != nil {
					t.Error(err)
				}
				c.CloseWrite()
			})
			all.Go(func() {
				for _, w := range want {
					got, err := c.in.ReadString('\n')
					if err != nil || got != w+"\r\n" {
						t.Errorf("got %q, %v, want %q", got, err, w)
						return
					}
				}
				if b, err := c.in.ReadByte(); err == nil {
					t.Errorf("then %q", b)
				}
			})
		}
		all.Wait()
		for range 10 {
			r.ends(proactor.ErrPeerClosed)
		}
		if st := r.pool.Stats(); st.Served != int64(10*n) || st.Dropped != 0 || st.Failed != 0 || st.PeakWorkers > 4 {
			t.Errorf("%+v", st)
		}
	})
}

// Two connections, also of different servers: neither Serve ends before the
// other has begun.
func TestConnectionsInParallel(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 2})
		a, b := make(chan bool), make(chan bool)
		meet := func(mine, theirs chan bool) Handler {
			return Handler{Serve: func(ctx context.Context, q Request) error {
				go func() {
					select {
					case mine <- true:
					case <-ctx.Done():
					}
				}()
				select {
				case <-theirs:
				case <-ctx.Done():
					return ctx.Err()
				}
				return echo(ctx, q)
			}}
		}
		first, second := r.dial(r.serve(meet(a, b))), r.dial(r.serve(meet(b, a)))
		for i := range 5 {
			text := fmt.Sprint("hello ", i)
			first.send(text)
			second.send(text)
			first.expect(text)
			second.expect(text)
		}
		if st := r.pool.Stats(); st.PeakWorkers != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// A connection with many messages goes behind the others after each.
func TestConnectionsTakeTurns(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1})
		g := newGate()
		order := make(chan string, 100)
		s := r.serve(Handler{Serve: func(ctx context.Context, q Request) error {
			order <- string(q.Msg)
			return g.serve(ctx, q)
		}})
		many, few, one := r.dial(s), r.dial(s), r.dial(s)
		many.send("stop", "m2", "m3", "m4")
		r.waiting(3)
		few.send("f1")
		r.waiting(4)
		one.send("o1")
		r.waiting(5)
		few.send("f2") // which keeps its place
		r.waiting(6)
		close(g.open)
		for _, want := range []string{"stop", "f1", "o1", "m2", "f2", "m3", "m4"} {
			if got := take(t, "a message served", order); got != want {
				t.Errorf("served %q, want %q", got, want)
			}
		}
	})
}

// Messages of all sizes are copied whole.
func TestSizes(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 3})
		f := frame.Length{Max: 3 << 20}
		srv := &proactor.Server{Addr: "127.0.0.1:0", Engine: r.engine, Limits: proactor.Limits{MaxMessage: 4 << 20, HighWater: 4 << 20},
			Handler: r.pool.Handler(Handler{Handler: proactor.Handler{Split: f.Split}, Serve: func(_ context.Context, q Request) error {
				header, err := f.AppendHeader(nil, len(q.Msg))
				if err == nil {
					_, err = q.Conn.Writev(header, q.Msg)
				}
				return err
			}})}
		if err := srv.Listen(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { srv.Close() })
		c := r.dial(srv)
		for i, size := range []int{0, 1, 63, 64, 65, 4096, 4097, 100_000, 1 << 20, 1<<20 + 1, 2_000_000} {
			want := make([]byte, size)
			for k := range want {
				want[k] = byte(k*7 + k>>8 + i)
			}
			sent, _ := f.Append(nil, want)
			go c.Write(sent)
			got := make([]byte, len(sent))
			r.within("an echo", func() error {
				n := 0
				for n < len(got) {
					k, err := c.in.Read(got[n:])
					if n += k; err != nil {
						return err
					}
				}
				return nil
			})
			if string(got) != string(sent) {
				t.Errorf("%d bytes came back changed", size)
			}
		}
	})
}

// Idle workers above Min end; those that stay go on working.
func TestWorkersRetire(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Min: 2, Max: 5, IdleAfter: time.Millisecond})
		if st := r.pool.Stats(); st.Workers != 0 {
			t.Errorf("%d workers from the start", st.Workers)
		}
		g := newGate()
		s := r.serve(Handler{Serve: g.serve})
		for range 3 {
			var clients []*client
			for range 5 {
				c := r.dial(s)
				c.send("stop")
				take(t, "a message being served", g.entered)
				clients = append(clients, c)
			}
			if st := r.pool.Stats(); st.Workers != 5 || st.Busy != 5 {
				t.Errorf("while all work: %+v", st)
			}
			for range 5 {
				g.open <- struct{}{}
			}
			for _, c := range clients {
				c.expect("stop")
				c.Close()
			}
			r.until("two workers", func(s Stats) bool { return s.Workers == 2 && s.Busy == 0 })
		}
		if st := r.pool.Stats(); st.PeakWorkers != 5 || st.Served != 15 {
			t.Errorf("%+v", st)
		}
	})
}

// The worker that became idle last is used first: one that is not needed gets
// to be idle for long.
func TestLastIdleIsFirst(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 3})
		g := newGate()
		s := r.serve(Handler{Serve: func(ctx context.Context, q Request) error {
			if string(q.Msg) != "who" {
				return g.serve(ctx, q)
			}
			var b [64]byte
			return reply(q, strings.Fields(string(b[:runtime.Stack(b[:], false)]))[1])
		}})
		var clients []*client
		for range 3 {
			c := r.dial(s)
			c.send("stop")
			take(t, "a message being served", g.entered)
			clients = append(clients, c)
		}
		close(g.open)
		for _, c := range clients {
			c.expect("stop")
		}
		seen := map[string]bool{}
		for i := range 10 {
			r.until("all idle", func(s Stats) bool { return s.Busy == 0 })
			c := clients[i%3]
			c.send("who")
			who, err := c.in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			seen[who] = true
		}
		if len(seen) != 1 {
			t.Errorf("%d workers took turns", len(seen))
		}
	})
}

// A Serve that ends its goroutine aborts its connection, as a panic does, and only that.
func TestGoexit(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1})
		s := r.serve(Handler{Serve: func(ctx context.Context, q Request) error {
			if string(q.Msg) == "exit" {
				runtime.Goexit()
			}
			return echo(ctx, q)
		}})
		bad, good := r.dial(s), r.dial(s)
		for range 2 {
			bad.send("exit", "lost")
			var p *proactor.PanicError
			if cause := take(t, "Closed", r.causes); !errors.Is(cause, proactor.ErrGoexit) || !errors.As(cause, &p) || !strings.Contains(string(p.Stack), "pool_test.go") {
				t.Errorf("the cause is %v", cause)
			}
			bad.Close()
			good.send("hello")
			good.expect("hello")
			bad = r.dial(s)
		}
		r.until("both are counted", func(s Stats) bool { return s.Panics == 2 && s.Failed == 2 })
		if log := r.log.String(); strings.Count(log, proactor.ErrGoexit.Error()) != 2 {
			t.Errorf("logged %q", log)
		}
	})
}

// A panic aborts its connection, whose cause it is, and the worker goes on.
func TestPanic(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1})
		s := r.serve(Handler{Serve: func(ctx context.Context, q Request) error {
			if string(q.Msg) == "panic" {
				panic("boom")
			}
			return echo(ctx, q)
		}})
		bad, good := r.dial(s), r.dial(s)
		bad.send("panic", "lost", "lost")
		cause := take(t, "Closed", r.causes)
		var p *proactor.PanicError
		if !errors.As(cause, &p) || p.Value != "boom" || !strings.Contains(string(p.Stack), "pool_test.go") {
			t.Errorf("the cause is %v", cause)
		}
		if n, err := bad.in.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("then %d bytes, %v", n, err)
		}
		good.send("hello")
		good.expect("hello")
		if log := r.log.String(); strings.Count(log, "panic=boom") != 1 || !strings.Contains(log, "pool_test.go") {
			t.Errorf("logged %q", log)
		}
		r.until("all counted", func(s Stats) bool {
			return s.Panics == 1 && s.Failed == 1 && s.Served == 2 && s.Dropped == 2
		})
	})
}

// A panic is logged, too, when its connection has closed, and when the engine
// has.
func TestLatePanic(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		for _, engineToo := range []bool{false, true} {
			r := newRig(t, backend, Config{})
			entered, open := make(chan *proactor.Conn, 1), make(chan struct{})
			s := r.serve(Handler{Serve: func(_ context.Context, q Request) error {
				entered <- q.Conn
				<-open
				panic("late")
			}})
			c := r.dial(s)
			c.send("hello")
			c.reset(take(t, "a message being served", entered))
			take(t, "Closed", r.causes)
			if engineToo {
				r.engine.Close()
			}
			close(open)
			r.until("it is counted", func(s Stats) bool { return s.Panics == 1 })
			r.until("it is logged", func(Stats) bool { return strings.Count(r.log.String(), "panic=late") == 1 })
		}
	})
}
