package work

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
)

// Clients that send much more than may wait: no more waits, all is answered.
func TestFlood(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cfg     Config
		clients int
		bytes   int // that may wait at the most; 0: not looked at
	}{
		{"one connection", Config{Max: 1, PerConn: 4}, 1, 0},
		{"one at a time", Config{Max: 1, PerConn: 1, Queue: 1}, 3, 0},
		{"queue", Config{Max: 2, PerConn: 50, Queue: 8}, 6, 0},
		{"bytes", Config{Max: 2, PerConn: 50, QueueBytes: 500}, 4, 500 + 4*100},
		{"all", Config{Max: 3, PerConn: 3, Queue: 7, QueueBytes: 300}, 8, 300 + 8*100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend, tt.cfg)
				n := scaled(400)
				g := newGate()
				var s *proactor.Server
				cfg := r.pool.cfg
				s = r.serve(Handler{Serve: func(ctx context.Context, q Request) error {
					p := r.pool
					p.mu.Lock()
					if l := p.queues[q.Conn]; l != nil && l.waiting > cfg.PerConn {
						t.Errorf("%d messages of one connection wait", l.waiting)
					}
					p.mu.Unlock()
					return g.serve(ctx, q)
				}})
				var all sync.WaitGroup
				for range tt.clients {
					c := r.dial(s)
					want := append([]string{"stop"}, lines(strings.Repeat("x", 90), n)...)
					all.Go(func() {
						if _, err := c.Write([]byte(strings.Join(want, "\r\n") + "\r\n")); err != nil {
							t.Error(err)
						}
					})
					all.Go(func() {
						for _, w := range want {
							if got, err := c.in.ReadString('\n'); err != nil || got != w+"\r\n" {
								t.Errorf("got %q, %v, want %q", got, err, w)
								return
							}
						}
					})
				}
				r.until("a connection stopped", func(s Stats) bool { return s.Paused > 0 })
				close(g.open)
				all.Wait()
				st := r.pool.Stats()
				if most := cfg.Queue + tt.clients; st.PeakWaiting > most || st.PeakWaiting > tt.clients*cfg.PerConn {
					t.Errorf("%d messages waited", st.PeakWaiting)
				}
				if tt.bytes > 0 && st.PeakWaitingBytes > tt.bytes {
					t.Errorf("%d bytes waited", st.PeakWaitingBytes)
				}
				r.until("all counted", func(s Stats) bool { return s.Served == int64(tt.clients*(n+1)) && s.Dropped == 0 })
			})
		})
	}
}

// Each bound stops a connection when it is reached, not before, and is counted;
// what was stopped goes on.
func TestStopsAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    Config
		lines  [2]string // of the connection that is stopped: below the bound, and to it
		counts func(Stats) int64
	}{
		{"PerConn", Config{Max: 1, PerConn: 2}, [2]string{"a", "b"}, func(s Stats) int64 { return s.StoppedByPerConn }},
		{"Queue", Config{Max: 1, Queue: 2}, [2]string{"a", "b"}, func(s Stats) int64 { return s.StoppedByQueue }},
		{"QueueBytes", Config{Max: 1, QueueBytes: 10}, [2]string{"123456789", "x"}, func(s Stats) int64 { return s.StoppedByQueueBytes }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend, tt.cfg)
				g := newGate()
				s := r.serve(Handler{Serve: g.serve})
				blocker, c := r.dial(s), r.dial(s)
				blocker.send("stop")
				take(t, "the worker blocked", g.entered)
				c.send(tt.lines[0])
				r.waiting(1)
				if st := r.pool.Stats(); st.Paused != 0 {
					t.Errorf("stopped below the bound: %+v", st)
				}
				c.send(tt.lines[1])
				r.waiting(2)
				st := r.pool.Stats()
				if all := st.StoppedByPerConn + st.StoppedByQueue + st.StoppedByQueueBytes; st.Paused != 1 || tt.counts(st) != 1 || all != 1 {
					t.Errorf("at the bound: %+v", st)
				}
				c.send("over")
				close(g.open)
				c.expect(tt.lines[0], tt.lines[1], "over")
				blocker.expect("stop")
			})
		})
	}
}

// Many more connections are stopped than there is room for, and most have
// nothing more to say when they may go on: they keep nobody else's room.
func TestAllGoOn(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1, Queue: 2})
		g := newGate()
		s := r.serve(Handler{Serve: g.serve})
		blocker := r.dial(s)
		blocker.send("stop")
		take(t, "the worker blocked", g.entered)
		var clients []*client
		for i := range 40 {
			c := r.dial(s)
			c.send(fmt.Sprint("first ", i))
			clients = append(clients, c)
			r.waiting(i + 1)
		}
		if st := r.pool.Stats(); st.Paused != 39 {
			t.Errorf("%d connections are stopped, want 39", st.Paused)
		}
		close(g.open)
		for i, c := range clients {
			c.expect(fmt.Sprint("first ", i)) // first come, first served
		}
		r.until("all go on", func(s Stats) bool { return s.Paused == 0 })
		for i, c := range clients {
			c.send(fmt.Sprint("second ", i))
			c.expect(fmt.Sprint("second ", i))
		}
		blocker.expect("stop")
	})
}

// Connections go on in the order in which they were stopped, and only when
// there is room.
func TestGoOnInOrder(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1, Queue: 1})
		g := newGate()
		order := make(chan string, 100)
		s := r.serve(Handler{Serve: func(ctx context.Context, q Request) error {
			if q.N > 1 {
				order <- string(q.Msg)
			}
			return g.serve(ctx, Request{Conn: q.Conn, Msg: []byte("stop"), N: q.N})
		}})
		const n = 6
		want := lines("conn ", n)
		for i, name := range want {
			// The second message is received with the first. That of the first
			// connection waits, those of the others are shown when they may go on.
			r.dial(s).send("first", name)
			r.waiting(i + 1)
		}
		take(t, "the first", g.entered)
		for served := 1; served < n; served++ {
			if st := r.pool.Stats(); st.Paused != n || st.Waiting != n+1-served {
				t.Errorf("before %d: %+v", served, st)
			}
			g.open <- struct{}{}
			take(t, "the next", g.entered)
		}
		close(g.open)
		for _, w := range want {
			if got := take(t, "a second message", order); got != w {
				t.Errorf("%q went on, want %q", got, w)
			}
		}
		r.until("the end", func(s Stats) bool { return s.Waiting == 0 && s.Busy == 0 && s.Paused == 0 })
	})
}

// A connection that closes while it is stopped gives its place back.
func TestCloseWhileStopped(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, Config{Max: 1, Queue: 1, PerConn: 2})
		g := newGate()
		conns := make(chan *proactor.Conn, 10)
		s := r.serve(Handler{Serve: g.serve, Handler: proactor.Handler{Opened: func(c *proactor.Conn) { conns <- c }}})
		blocker := r.dial(s)
		take(t, "Opened", conns)
		blocker.send("stop")
		take(t, "the worker blocked", g.entered)
		for i := range 3 {
			c := r.dial(s)
			c.send("a", "b", "c")
			r.until("it is stopped", func(s Stats) bool { return s.Paused == 1 && s.Waiting == 1 })
			take(t, "Opened", conns).Abort()
			r.ends(proactor.ErrLocalClosed)
			if st := r.pool.Stats(); st.Paused != 0 || st.Waiting != 0 || st.Dropped != int64(i+1) {
				t.Errorf("%+v", st)
			}
		}
		good := r.dial(s)
		good.send("hello")
		r.waiting(1)
		close(g.open)
		good.expect("hello")
		blocker.expect("stop")
	})
}
