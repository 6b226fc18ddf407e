package work

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

// When a connection has closed its context is done, and what waits is dropped.
func TestCancelOnClose(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{})
		g := newGate()
		returned := make(chan error, 1)
		conns := make(chan *proactor.Conn, 1)
		s := r.serve(Handler{Serve: func(ctx context.Context, q Request) error {
			conns <- q.Conn
			err := g.serve(ctx, q)
			returned <- err
			return err
		}})
		c := r.dial(s)
		c.send("stop", "a", "b", "c")
		take(t, "a message being served", g.entered)
		r.waiting(3)
		c.reset(<-conns)
		if err := take(t, "Serve", returned); err != context.Canceled {
			t.Errorf("Serve ended with %v", err)
		}
		take(t, "Closed", r.causes)
		r.until("all dropped", func(s Stats) bool { return s.Dropped == 3 && s.Busy == 0 && s.Buffers == 0 })
	})
}

// Closed does not wait for a Serve that takes no notice.
func TestClosedWhileServed(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{})
		entered, open := make(chan *proactor.Conn, 1), make(chan struct{})
		wrote := make(chan error, 1)
		s := r.serve(Handler{Serve: func(ctx context.Context, q Request) error {
			entered <- q.Conn
			<-open
			text := string(q.Msg) // its buffer is still its own
			wrote <- reply(q, text)
			if text != "hello" {
				t.Errorf("the message is %q", text)
			}
			return errors.New("too late")
		}})
		c := r.dial(s)
		c.send("hello", "dropped")
		conn := take(t, "a message being served", entered)
		r.waiting(1)
		c.reset(conn)
		take(t, "Closed", r.causes)
		if st := r.pool.Stats(); st.Busy != 1 || st.Buffers != 1 || st.Dropped != 1 {
			t.Errorf("%+v", st)
		}
		close(open)
		if err := take(t, "the late write", wrote); err != proactor.ErrClosed {
			t.Errorf("the late write: %v", err)
		}
	})
}

// After the client's FIN all replies come, then a FIN; Ended is called after
// the last was served.
func TestHalfClose(t *testing.T) {
	for _, own := range []bool{false, true} {
		name, cause := "no Ended", proactor.ErrPeerClosed
		if own {
			name, cause = "Ended", proactor.ErrLocalClosed
		}
		t.Run(name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend, Config{PerConn: 3})
				g := newGate()
				h := Handler{Serve: g.serve}
				if own {
					h.Ended = func(c *proactor.Conn, why error) {
						if !errors.Is(why, proactor.ErrPeerClosed) {
							t.Errorf("ended with %v", why)
						}
						r.pool.Stats() // no lock is held
						c.Write([]byte("bye\r\n"))
						c.Close()
					}
				}
				s := r.serve(h)
				c := r.dial(s)
				want := append([]string{"stop"}, lines("line ", 50)...)
				c.send(want...)
				c.CloseWrite()
				take(t, "a message being served", g.entered)
				close(g.open)
				c.expect(want...)
				if own {
					c.expect("bye")
				}
				c.expectEnd()
				r.ends(cause)

				c = r.dial(s) // and one that never sent anything
				c.CloseWrite()
				if own {
					c.expect("bye")
				}
				c.expectEnd()
				r.ends(cause)
			})
		})
	}
}

// What came before broken framing is served before Ended hears of it.
func TestBrokenFraming(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{})
		g := newGate()
		s := r.serve(Handler{Serve: g.serve, Handler: proactor.Handler{
			NewSplit: frame.Line(5).Splitter,
			Ended: func(c *proactor.Conn, why error) {
				c.Write([]byte("bad\r\n"))
				c.Close()
			},
		}})
		c := r.dial(s)
		c.send("stop", "1", "2", "much too long", "3")
		r.waiting(2)
		close(g.open)
		c.expect("stop", "1", "2", "bad")
		c.expectEnd()
		c.Close()
		var tooLong *frame.TooLongError
		if cause := take(t, "Closed", r.causes); !errors.As(cause, &tooLong) {
			t.Errorf("the cause is %v", cause)
		}
	})
}

// Ended comes twice when the server shuts down after the peer's FIN, and in
// that order, also if both had to wait.
func TestEndedTwice(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{})
		g := newGate()
		told := make(chan error, 10)
		s := r.serve(Handler{Serve: g.serve, Handler: proactor.Handler{Ended: func(c *proactor.Conn, why error) {
			told <- why
			if why == proactor.ErrServerClosed {
				c.Close()
			}
		}}})
		waiting, idle := r.dial(s), r.dial(s)
		waiting.send("stop", "more")
		r.waiting(1)
		waiting.CloseWrite()
		idle.CloseWrite()
		if why := take(t, "Ended of the idle one", told); why != proactor.ErrPeerClosed {
			t.Errorf("ended with %v", why)
		}
		r.until("Ended noted", func(Stats) bool { return r.owedEnds() == 1 })
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(context.Background()) }()
		if why := take(t, "Ended of the idle one", told); why != proactor.ErrServerClosed {
			t.Errorf("ended with %v", why)
		}
		idle.expectEnd()
		r.until("Ended noted again", func(Stats) bool { return r.owedEnds() == 2 })
		if len(told) > 0 {
			t.Error("Ended before the last message was served")
		}
		close(g.open)
		waiting.expect("stop", "more")
		waiting.expectEnd()
		for _, want := range []error{proactor.ErrPeerClosed, proactor.ErrServerClosed} {
			if why := take(t, "Ended", told); why != want {
				t.Errorf("ended with %v, want %v", why, want)
			}
		}
		if err := take(t, "the server's end", down); err != nil {
			t.Error(err)
		}
	})
}

// An Ended that comes when another is on its way to the loop is not made before
// that.
func TestEndedKeepsItsOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{})
		g := newGate()
		told := make(chan error, 10)
		conns := make(chan *proactor.Conn, 1)
		on := r.pool.Handler(Handler{Serve: g.serve, Handler: proactor.Handler{
			NewSplit: frame.Line(100).Splitter,
			Opened:   func(c *proactor.Conn) { conns <- c },
			Ended:    func(c *proactor.Conn, why error) { told <- why },
		}})
		s := &proactor.Server{Addr: "127.0.0.1:0", Engine: r.engine, Handler: on}
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		c := r.dial(s)
		c.send("stop")
		c.CloseWrite()
		r.until("Ended noted", func(Stats) bool { return r.owedEnds() == 1 })

		conn, release := take(t, "Opened", conns), make(chan struct{})
		conn.Post(func() { <-release })
		conn.Post(func() { on.Ended(conn, proactor.ErrServerClosed) })
		close(g.open)
		r.until("the first is on its way", func(s Stats) bool { return s.Busy == 0 })
		close(release)
		for _, want := range []error{proactor.ErrPeerClosed, proactor.ErrServerClosed} {
			if why := take(t, "Ended", told); why != want {
				t.Errorf("ended with %v, want %v", why, want)
			}
		}
		c.expect("stop")
	})
}

// owedEnds is how many calls of Ended wait, of all connections.
func (r *rig) owedEnds() (n int) {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	for _, l := range r.pool.queues {
		n += len(l.ends)
	}
	return n
}

var errServe = errors.New("no more of this")

// An error of Serve ends the connection, in an orderly way.
func TestServeFails(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{})
		g := newGate()
		s := r.serve(Handler{
			Handler: proactor.Handler{Ended: func(*proactor.Conn, error) { t.Error("Ended after Serve failed") }},
			Serve: func(ctx context.Context, q Request) error {
				if err := g.serve(ctx, q); err != nil || string(q.Msg) != "fail" {
					return err
				}
				return errServe
			},
		})
		c := r.dial(s)
		c.send("stop", "1", "fail", "2", "3")
		c.CloseWrite()
		r.waiting(4)
		r.until("Ended noted", func(Stats) bool { return r.owedEnds() == 1 })
		close(g.open)
		c.expect("stop", "1", "fail")
		c.expectEnd()
		r.ends(errServe)
		if st := r.pool.Stats(); st.Served != 3 || st.Failed != 1 || st.Dropped != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// Shutdown serves what waits; what comes after is dropped, and its connection
// closed.
func TestShutdownDrains(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 2, PerConn: 3})
		g := newGate()
		s := r.serve(Handler{Serve: g.serve})
		busy, late, idle := r.dial(s), r.dial(s), r.dial(s)
		idle.send("hello")
		idle.expect("hello")
		for _, c := range []*client{busy, late} {
			c.send("stop", "1", "2")
		}
		r.until("two served, four wait", func(s Stats) bool { return s.Waiting == 4 && s.Busy == 2 })
		down := make(chan error, 1)
		go func() { down <- r.pool.Shutdown(context.Background()) }()
		r.until("closing", func(Stats) bool { r.pool.mu.Lock(); defer r.pool.mu.Unlock(); return r.pool.closing })
		idle.send("refused")
		idle.expectEnd()
		idle.Close()
		r.ends(ErrPoolClosed)
		late.send("refused")
		r.until("dropped", func(s Stats) bool { return s.Dropped == 2 })
		select {
		case err := <-down:
			t.Fatalf("ended with work to do: %v", err)
		default:
		}
		close(g.open)
		busy.expect("stop", "1", "2")
		late.expect("stop", "1", "2")
		late.expectEnd()
		late.Close()
		r.ends(ErrPoolClosed)
		if err := take(t, "the pool's end", down); err != nil {
			t.Error(err)
		}
		if st := r.pool.Stats(); st.Workers != 0 || st.Served != 7 {
			t.Errorf("%+v", st)
		}
		busy.send("refused")
		busy.expectEnd()
		busy.Close()
		r.ends(ErrPoolClosed)
	})
}

// When Shutdown's time is up the contexts are done, what waits is dropped, and
// a Serve that takes no notice is not waited for.
func TestShutdownGivesUp(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 2})
		g := newGate()
		deaf := make(chan struct{})
		canceled := make(chan error, 1)
		s := r.serve(Handler{Serve: func(ctx context.Context, q Request) error {
			if string(q.Msg) == "deaf" {
				g.entered <- struct{}{}
				<-deaf
				return echo(ctx, q)
			}
			err := g.serve(ctx, q)
			canceled <- err
			return err
		}})
		obeys, ignores, waits := r.dial(s), r.dial(s), r.dial(s)
		obeys.send("stop")
		take(t, "the first", g.entered)
		ignores.send("deaf", "dropped")
		take(t, "the second", g.entered)
		waits.send("dropped", "dropped")
		r.waiting(3)
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		var err error
		r.within("Shutdown", func() error { err = r.pool.Shutdown(ctx); return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if err := take(t, "Serve canceled", canceled); err != context.Canceled {
			t.Errorf("Serve ended with %v", err)
		}
		for _, c := range []*client{obeys, waits} {
			c.expectEnd()
			c.Close()
			if cause := take(t, "Closed", r.causes); !errors.Is(cause, ErrPoolClosed) && !errors.Is(cause, context.Canceled) {
				t.Errorf("the cause is %v", cause)
			}
		}
		if st := r.pool.Stats(); st.Dropped != 3 || st.Waiting != 0 || st.Busy != 1 {
			t.Errorf("%+v", st)
		}
		close(deaf)
		ignores.expect("deaf")
		ignores.expectEnd()
		ignores.Close()
		r.ends(ErrPoolClosed)
		r.within("Shutdown again", func() error { return r.pool.Shutdown(context.Background()) })
	})
}

// A server that shuts down serves what it has received.
func TestServerShutdown(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1, PerConn: 2})
		g := newGate()
		s := r.serve(Handler{Serve: g.serve})
		c := r.dial(s)
		c.send("stop", "1", "2")
		r.waiting(2) // and it is stopped
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(context.Background()) }()
		r.until("Ended noted", func(Stats) bool { return r.owedEnds() == 1 })
		close(g.open)
		c.expect("stop", "1", "2")
		c.expectEnd()
		c.Close()
		if err := take(t, "the server's end", down); err != nil {
			t.Error(err)
		}
		r.ends(proactor.ErrServerClosed)
	})
}

// Shutdown waits neither in a callback nor in Serve, which it would wait for: it
// fails at once and does nothing. In the Serve of another pool it may wait.
func TestShutdownWhereItMustNotWait(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r, other := newRig(t, backend, Config{}), newRig(t, backend, Config{})
		inServe, onLoop := make(chan error, 1), make(chan error, 1)
		s := r.serve(Handler{
			Serve: func(ctx context.Context, q Request) error {
				inServe <- errors.Join(r.pool.Shutdown(context.Background()), other.pool.Shutdown(context.Background()))
				return echo(ctx, q)
			},
			Priority: func([]byte) int {
				onLoop <- r.pool.Shutdown(context.Background())
				return 0
			},
		})
		c := r.dial(s)
		c.send("hello")
		if err := take(t, "Shutdown in a callback", onLoop); !errors.Is(err, proactor.ErrOnLoop) {
			t.Errorf("in a callback: %v", err)
		}
		if err := take(t, "Shutdown in Serve", inServe); err == nil || err.Error() != ErrInServe.Error() {
			t.Errorf("in Serve: %v", err)
		}
		c.expect("hello")
	})
}
