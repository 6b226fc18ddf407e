package lifecycle_test

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
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// They met: callbacks made under a lock, and a deadlock. Required: no lock is held
// while a callback runs.
//
// So a callback may call everything, and wait for another goroutine that does.
func TestMetCallbackUnderLock(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
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
				c.SetIdleTimeout(must.Patience)
				c.SetReadTimeout(must.Patience)
				c.SetWriteTimeout(must.Patience)
				c.Post(func() {})
				c.After(must.Patience, func() {}).Stop()
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
				s.After(must.Patience, func() {}).Stop()
			}
			r.Engine.Stats()
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
			case <-time.After(must.Patience):
				t.Errorf("%s holds a lock", name)
			}
		}
		named := func(name string) func(*proactor.Conn) {
			return func(c *proactor.Conn) { once(name, c) }
		}
		l := rig.Limits(proactor.Limits{HighWater: 1, MaxPending: 1 << 20})
		data = r.Serve(proactor.Handler{
			Opened:  named("Opened"),
			Data:    func(c *proactor.Conn, p []byte) int { once("Data", c); return len(p) },
			Drained: named("Drained"),
			Ended:   func(c *proactor.Conn, _ error) { once("Ended", c); c.Close() },
			Closed:  func(c *proactor.Conn, _ error) { once("Closed", c) },
		}, l)
		messages = r.Serve(proactor.Handler{
			Split: func(p []byte, eof bool) (int, []byte, error) {
				once("Split", nil)
				return bufio.ScanLines(p, eof)
			},
			Message: func(c *proactor.Conn, _ []byte) { once("Message", c) },
		}, l)
		close(ready)
		var peers []*net.TCPConn
		for _, s := range []*proactor.Server{data, messages} {
			peer := rig.Client(t, s)
			c := r.Accepted()
			go io.Copy(io.Discard, peer)
			c.Post(func() { once("Post", c) })
			c.After(0, func() { once("After", c) })
			s.After(0, func() { once("Server.After", nil) })
			d := &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(proactor.Handler{})}
			d.DialAsync(must.Context(t), "tcp", s.ListenAddr().String(), func(c *proactor.Conn, err error) {
				switch {
				case err == nil:
					once("DialAsync", c)
				case !errors.Is(err, context.Canceled) && !errors.Is(err, proactor.ErrEngineClosed): // by the end of the test
					t.Error(err)
				}
			})
			must.Send(t, peer, []byte("a line\n"))
			peers = append(peers, peer)
		}
		wait := func(names ...string) {
			t.Helper()
			missing := map[string]bool{}
			for _, name := range names {
				missing[name] = true
			}
			for len(missing) > 0 {
				delete(missing, must.Take(t, fmt.Sprint("callbacks ", missing), told))
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
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{LingerTimeout: must.Short}))
		n := testenv.Scaled(200)
		closers := make([]func(), 0, 3*n)
		var panics atomic.Int64
		for i := range n {
			peer := rig.Client(t, s)
			c := r.Accepted()
			acts := []func(){
				func() { c.Close() }, c.Abort, func() { c.CloseWrite() },
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
		must.Within(t, "Close", s.Close) // in the middle of it
		all.Wait()
		for range n {
			e := must.Take(t, "Closed", r.Closed)
			_, panicked := errors.AsType[*proactor.PanicError](e.Cause)
			known := panicked
			for _, cause := range causes {
				known = known || errors.Is(e.Cause, cause)
			}
			if !known {
				t.Errorf("closed with %v", e.Cause)
			}
		}
		rig.OnEveryLoop(t, r.Engine)
		r.Panics = panics.Load()
	})
}

// They met: a client dies without a word. Required: a read is always pending (or
// its equivalent), keep-alive and idle timeouts are options.
func TestMetClientDiesSilently(t *testing.T) {
	// A handler that never reads nor writes hears of the reset at once.
	t.Run("ReadIsPending", func(t *testing.T) {
		rig.Each(t, func(t *testing.T, backend string) {
			r := rig.New(t, backend)
			peer := rig.Client(t, r.Serve(proactor.Handler{}))
			r.Accepted()
			peer.SetLinger(0)
			peer.Close()
			r.Ends(port.ErrReset)
		})
	})
	// The peer answers nothing, not even a FIN, and it ends all the same.
	for _, tt := range []struct {
		name string
		want error
		l    proactor.Limits
		owed int // bytes that wait for the peer
	}{
		{"Idle", proactor.ErrIdle, proactor.Limits{IdleTimeout: must.Short}, 0},
		{"IdleOwed", proactor.ErrIdle, proactor.Limits{IdleTimeout: must.Short, Overflow: proactor.RejectWrites}, 32 << 20},
		{"Read", proactor.ErrReadTimeout, proactor.Limits{ReadTimeout: must.Short}, 0},
		{"Write", proactor.ErrWriteTimeout, proactor.Limits{WriteTimeout: must.Short}, 32 << 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.l.LingerTimeout = must.Short
			rig.EachTogether(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				rig.Client(t, r.Serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Write(make([]byte, tt.owed)) }}, rig.Limits(tt.l)))
				r.Accepted()
				r.Ends(tt.want)
			})
		})
	}
	// The system probes for peers whose machine is gone.
	t.Run("KeepAlive", func(t *testing.T) {
		if !hasDescriptors {
			t.Skip("only on Linux do the tests read the options of a socket that a port has")
		}
		rig.Each(t, func(t *testing.T, backend string) {
			r := rig.New(t, backend)
			for set, want := range map[time.Duration]time.Duration{0: 15 * time.Second, 7 * time.Second: 7 * time.Second, -1: 0} {
				rig.Client(t, r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{KeepAlive: set})))
				if got := keepAlive(t, r.Accepted()); got != want {
					t.Errorf("KeepAlive %v: the system probes after %v, want %v", set, got, want)
				}
			}
		})
	})
}

// They met: accept stalls behind silent clients (AcceptEx waiting for first data).
// Required: accept never waits for data.
func TestMetSilentClientsStallAccept(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{
			Opened: func(c *proactor.Conn) { c.Write([]byte("welcome\r\n")) },
			Data:   rig.Echo,
		})
		// More of them than IOCP has accepts outstanding.
		silent := make([]net.Conn, max(40, testenv.Scaled(300)))
		for i := range silent {
			silent[i] = rig.Client(t, s)
		}
		for _, c := range silent {
			must.Read(t, c, []byte("welcome\r\n"))
			r.Accepted()
		}
		c := rig.Client(t, s)
		must.Read(t, c, []byte("welcome\r\n"))
		must.Ask(t, c, "behind all of them")
	})
}

// They met: no timers, and servers that only answer. Required: timers on the loop
// that owns the connection, periodic and per connection; pushed data; no goroutine
// per timer.
func TestMetTimersAndPush(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const conns, lines = 8, 20
		r := rig.New(t, backend)
		var peers [conns]net.Conn
		s := r.Serve(proactor.Handler{Opened: func(c *proactor.Conn) {
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
			peers[i] = rig.Client(t, s) // which says nothing
		}
		var want strings.Builder
		for n := range lines {
			fmt.Fprintf(&want, "line %d\n", n+1)
		}
		for _, c := range peers {
			must.ReadEnd(t, c, []byte(want.String()))
			c.Close()
			r.Ends(proactor.ErrLocalClosed)
		}

		rig.Client(t, s)
		for range conns {
			r.Accepted()
		}
		c := r.Accepted()
		before := runtime.NumGoroutine()
		timers := make([]*proactor.Timer, testenv.Scaled(40_000))
		for i := range timers {
			timers[i] = c.After(must.Patience, func() { t.Error("a timer that was stopped") })
		}
		rig.OnLoop(t, c, func() {})
		if grown := runtime.NumGoroutine() - before; grown > len(timers)/10+10 {
			t.Errorf("%d goroutines more for %d timers", grown, len(timers))
		}
		for _, tm := range timers {
			tm.Stop()
		}
	})
}
