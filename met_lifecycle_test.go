package proactor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
	"github.com/proactor-go/proactor/port"
)

// They met: callbacks made under a lock, and a deadlock. Required: no lock is held
// while a callback runs.
//
// So a callback may call everything, and wait for another goroutine that does.
func TestMetCallbackUnderLock(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		var registry proactor.Registry[string]
		var data, messages *proactor.Server
		ready := make(chan struct{})
		everything := func(c *proactor.Conn) {
			if c != nil {
				c.Write([]byte("x"))
				c.Writev([]byte("y"), []byte("z"))
				c.WriteShared([]byte("shared"))
				c.SetValue(c.Value())
				c.Stats()
				c.LocalAddr()
				c.RemoteAddr()
				c.PauseRead()
				c.ResumeRead()
				c.SetIdleTimeout(patience)
				c.SetReadTimeout(patience)
				c.SetWriteTimeout(patience)
				c.Post(func() {})
				c.After(patience, func() {}).Stop()
				registry.Add("key", c)
				registry.Get("key")
				registry.Broadcast([]byte("to all"))
				registry.Remove("key", c)
			}
			for _, s := range []*proactor.Server{data, messages} {
				s.Pause()
				s.Resume()
				s.Conns()
				s.ListenAddr()
				s.After(patience, func() {}).Stop()
			}
			r.engine.Stats()
		}
		told := make(chan string, 20)
		var names sync.Map
		once := func(name string, c *proactor.Conn) {
			<-ready
			if _, again := names.LoadOrStore(name, true); again {
				return // a Write in Drained brings the next Drained
			}
			everything(c)
			done := make(chan struct{})
			go func() { defer close(done); everything(c) }()
			select {
			case <-done:
				told <- name
			case <-time.After(patience):
				t.Errorf("%s holds a lock", name)
			}
		}
		named := func(name string) func(*proactor.Conn) {
			return func(c *proactor.Conn) { once(name, c) }
		}
		l := limits(proactor.Limits{HighWater: 1})
		data = r.serve(proactor.Handler{
			Opened:  named("Opened"),
			Data:    func(c *proactor.Conn, p []byte) int { once("Data", c); return len(p) },
			Drained: named("Drained"),
			Ended:   func(c *proactor.Conn, _ error) { once("Ended", c); c.Close() },
			Closed:  func(c *proactor.Conn, _ error) { once("Closed", c) },
		}, l)
		messages = r.serve(proactor.Handler{
			Split: func(p []byte, eof bool) (int, []byte, error) {
				once("Split", nil)
				return bufio.ScanLines(p, eof)
			},
			Message: func(c *proactor.Conn, _ []byte) { once("Message", c) },
		}, l)
		close(ready)
		var peers []*net.TCPConn
		for _, s := range []*proactor.Server{data, messages} {
			peer := client(t, s)
			c := r.accepted()
			go io.Copy(io.Discard, peer)
			c.Post(func() { once("Post", c) })
			c.After(0, func() { once("After", c) })
			s.After(0, func() { once("Server.After", nil) })
			d := &proactor.Dialer{Engine: r.engine, Handler: r.watch(proactor.Handler{})}
			d.DialAsync(bounded(t), "tcp", s.ListenAddr().String(), func(c *proactor.Conn, err error) {
				switch {
				case err == nil:
					once("DialAsync", c)
				case !errors.Is(err, context.Canceled): // by the end of the test
					t.Error(err)
				}
			})
			send(t, peer, []byte("a line\n"))
			peers = append(peers, peer)
		}
		wait := func(names ...string) {
			t.Helper()
			missing := map[string]bool{}
			for _, name := range names {
				missing[name] = true
			}
			for len(missing) > 0 {
				delete(missing, take(t, fmt.Sprint("callbacks ", missing), told))
			}
		}
		wait("Opened", "Data", "Drained", "Split", "Message", "Post", "After", "Server.After", "DialAsync")
		for _, peer := range peers {
			peer.CloseWrite()
		}
		wait("Ended", "Closed")
	})
}

// They met: the closing hook is sometimes not called. Required: Closed is called
// exactly once for every Open, whoever closes, with the cause.
//
// Here all close at the same time; that it is once the rig checks.
func TestMetClosingHookNotCalled(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Data: echo}, limits(proactor.Limits{LingerTimeout: short}))
		n := scaled(200)
		closers := make([]func(), 0, 3*n)
		var panics atomic.Int64
		for i := range n {
			peer := client(t, s)
			c := r.accepted()
			acts := []func(){
				c.Close, c.Abort, c.CloseWrite,
				func() { c.Write(make([]byte, 1<<20)); c.Close() },
				func() { c.SetIdleTimeout(time.Millisecond) },
				func() { c.After(0, func() { panics.Add(1); panic("at the end") }) },
				func() { peer.CloseWrite() },
				func() { peer.SetLinger(0); peer.Close() },
				func() { peer.Write(make([]byte, 1000)); peer.Close() },
			}
			closers = append(closers, acts[i%len(acts)], acts[(i/2+1)%len(acts)], acts[(i/3+2)%len(acts)])
		}
		begin := make(chan struct{})
		var all sync.WaitGroup
		for _, f := range closers {
			all.Go(func() { <-begin; f() })
		}
		close(begin)
		within(t, "Close", s.Close) // in the middle of it
		all.Wait()
		for range n {
			e := take(t, "Closed", r.closed)
			_, panicked := errors.AsType[*proactor.PanicError](e.cause)
			known := panicked
			for _, cause := range causes {
				known = known || errors.Is(e.cause, cause)
			}
			if !known {
				t.Errorf("closed with %v", e.cause)
			}
		}
		onEveryLoop(t, r.engine)
		r.panics = panics.Load()
	})
}

// onEveryLoop waits until the loops have done what was asked of them before.
func onEveryLoop(t *testing.T, e *proactor.Engine) {
	t.Helper()
	within(t, "a round of every loop", func() error {
		_, err := e.Conns()
		return err
	})
}

// They met: a client dies without a word. Required: a read is always pending (or
// its equivalent), keep-alive and idle timeouts are options.
func TestMetClientDiesSilently(t *testing.T) {
	// A handler that never reads nor writes hears of the reset at once.
	t.Run("ReadIsPending", func(t *testing.T) {
		eachBackend(t, func(t *testing.T, backend string) {
			r := newRig(t, backend)
			peer := client(t, r.serve(proactor.Handler{}))
			r.accepted()
			peer.SetLinger(0)
			peer.Close()
			r.ends(port.ErrReset)
		})
	})
	// The peer answers nothing, not even a FIN, and it ends all the same.
	for _, tt := range []struct {
		name string
		want error
		l    proactor.Limits
		owed int // bytes that wait for the peer
	}{
		{"Idle", proactor.ErrIdle, proactor.Limits{IdleTimeout: short}, 0},
		{"IdleOwed", proactor.ErrIdle, proactor.Limits{IdleTimeout: short, Overflow: proactor.RejectWrites}, 32 << 20},
		{"Read", proactor.ErrReadTimeout, proactor.Limits{ReadTimeout: short}, 0},
		{"Write", proactor.ErrWriteTimeout, proactor.Limits{WriteTimeout: short}, 32 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend)
				tt.l.LingerTimeout = short
				client(t, r.serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Write(make([]byte, tt.owed)) }}, limits(tt.l)))
				r.accepted()
				r.ends(tt.want)
			})
		})
	}
	// The system probes for peers whose machine is gone.
	t.Run("KeepAlive", func(t *testing.T) {
		if !hasDescriptors {
			t.Skip("only on Linux do the tests read the options of a socket that a port has")
		}
		eachBackend(t, func(t *testing.T, backend string) {
			r := newRig(t, backend)
			for set, want := range map[time.Duration]time.Duration{0: 15 * time.Second, 7 * time.Second: 7 * time.Second, -1: 0} {
				client(t, r.serve(proactor.Handler{}, limits(proactor.Limits{KeepAlive: set})))
				if got := keepAlive(t, r.accepted()); got != want {
					t.Errorf("KeepAlive %v: the system probes after %v, want %v", set, got, want)
				}
			}
		})
	})
}

// They met: accept stalls behind silent clients (AcceptEx waiting for first data).
// Required: accept never waits for data.
func TestMetSilentClientsStallAccept(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{
			Opened: func(c *proactor.Conn) { c.Write([]byte("welcome\r\n")) },
			Data:   echo,
		})
		// More of them than IOCP has accepts outstanding.
		silent := make([]net.Conn, max(40, scaled(300)))
		for i := range silent {
			silent[i] = client(t, s)
		}
		for _, c := range silent {
			expect(t, c, []byte("welcome\r\n"))
			r.accepted()
		}
		c := client(t, s)
		expect(t, c, []byte("welcome\r\n"))
		ask(t, c, "behind all of them")
	})
}

// They met: the accept chain ends because one accepted socket failed. Required:
// that socket is dropped, accepting goes on.
func TestMetAcceptedSocketFailed(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		s := r.serve(proactor.Handler{Data: echo})
		first := client(t, s)
		ask(t, first, "before")
		for range 3 {
			// Reset while they wait in the backlog.
			if err := s.Pause(); err != nil {
				t.Fatal(err)
			}
			ask(t, first, "the pause is seen")
			for range 20 {
				c := client(t, s)
				c.SetLinger(0)
				c.Close()
			}
			if err := s.Resume(); err != nil {
				t.Fatal(err)
			}
			ask(t, client(t, s), "behind those that failed")
			// And one that is no socket at all.
			proactor.Give(s, port.Socket(1<<20))
			ask(t, client(t, s), "behind the worst")
		}
		const good = 1 + 3*2
		eventually(t, "only good ones are left", func() bool { return s.Conns() == good })
		ask(t, first, "after")
	})
}

// They met: no timers, and servers that only answer. Required: timers on the loop
// that owns the connection, periodic and per connection; pushed data; no goroutine
// per timer.
func TestMetTimersAndPush(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		const conns, lines = 8, 20
		r := newRig(t, backend)
		var peers [conns]net.Conn
		s := r.serve(proactor.Handler{Opened: func(c *proactor.Conn) {
			loop := goid.Current()
			n := 0 // of this loop alone: no lock
			var push func()
			push = func() {
				if g := goid.Current(); g != loop {
					t.Errorf("a timer on goroutine %d, the connection is on %d", g, loop)
				}
				if n++; n > lines {
					c.Close()
					return
				}
				fmt.Fprintf(c, "line %d\n", n)
				c.After(time.Millisecond, push)
			}
			c.After(time.Millisecond, push)
		}})
		for i := range peers {
			peers[i] = client(t, s) // which says nothing
		}
		var want strings.Builder
		for n := range lines {
			fmt.Fprintf(&want, "line %d\n", n+1)
		}
		for _, c := range peers {
			expectEnd(t, c, []byte(want.String()))
			c.Close()
			r.ends(proactor.ErrLocalClosed)
		}

		client(t, s)
		for range conns {
			r.accepted()
		}
		c := r.accepted()
		before := runtime.NumGoroutine()
		timers := make([]*proactor.Timer, scaled(40_000))
		for i := range timers {
			timers[i] = c.After(patience, func() { t.Error("a timer that was stopped") })
		}
		onLoop(t, c, func() {})
		if grown := runtime.NumGoroutine() - before; grown > len(timers)/10+10 {
			t.Errorf("%d goroutines more for %d timers", grown, len(timers))
		}
		for _, tm := range timers {
			tm.Stop()
		}
	})
}
