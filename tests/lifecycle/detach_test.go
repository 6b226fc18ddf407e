package lifecycle_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// smallBuffer, in bytes, is what the system is asked to hold of a connection at either end: it
// doubles that, and some round it up.
const smallBuffer = 64 << 10

// A connection leaves from wherever Detach is called: the bytes that its handler has not
// consumed come with it, what waits to be sent goes out before, and the engine keeps nothing.
func TestDetach(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r, other := rig.New(t, backend), rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		big := must.Pattern(1, 1<<20) // more than the system takes
		at := make(chan func(*proactor.Conn), 1)
		h := proactor.Handler{
			Data: func(c *proactor.Conn, p []byte) int {
				if len(p) < len("upgrade,rest") {
					return 0
				}
				c.Write([]byte("101\n"))
				c.Write(big)
				(<-at)(c)
				return len("upgrade,")
			},
			Closed: func(c *proactor.Conn, cause error) {
				if _, err := c.Write([]byte("x")); !errors.Is(err, proactor.ErrClosed) {
					t.Errorf("Write in Closed: %v", err)
				}
			},
		}
		limits := rig.Limits(proactor.Limits{SendBuffer: smallBuffer, MaxPending: 2 << 20, IdleTimeout: time.Hour, WriteTimeout: time.Hour, ReadTimeout: time.Hour})
		s := r.Serve(h, limits, func(s *proactor.Server) { s.MaxConns, s.MaxConnsPerPeer = 3, 3 })
		var neighbors []*proactor.Conn
		for range 2 {
			rig.Client(t, s)
			neighbors = append(neighbors, r.Accepted())
		}
		rig.Client(t, other.Serve(proactor.Handler{}))
		stranger := other.Accepted()
		asks := func(c *proactor.Conn, done func(net.Conn, []byte, error)) {
			if err := c.Detach(done); err != nil {
				t.Errorf("Detach: %v", err)
			}
			if err := c.Detach(done); !errors.Is(err, proactor.ErrClosed) {
				t.Errorf("Detach once more: %v", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, proactor.ErrClosed) {
				t.Errorf("Write after Detach: %v", err)
			}
			if err := c.CloseWrite(); !errors.Is(err, proactor.ErrClosed) {
				t.Errorf("CloseWrite after Detach: %v", err)
			}
			c.ResumeRead() // it stays stopped
			c.Again()
		}
		for name, on := range map[string]*proactor.Conn{"its own": nil, "a neighbor's": neighbors[0], "the other loop's": neighbors[1], "another engine's": stranger, "no": stranger} {
			done, told := rig.Takes(t)
			asked := make(chan *proactor.Conn, 1)
			at <- func(c *proactor.Conn) {
				c.After(time.Hour, func() { t.Error("a timer fired after Detach") })
				if on == nil {
					asks(c, done)
					asked <- c
					return
				}
				c.PauseRead()
				asked <- c
			}
			client := rig.Client(t, s)
			c := r.Accepted()
			must.Send(t, client, []byte("upgrade,rest"))
			must.Take(t, name, asked)
			switch {
			case on == nil:
			case name == "no":
				asks(c, done)
			default:
				rig.OnLoop(t, on, func() { asks(c, done) })
			}
			must.Send(t, client, []byte(" and more"))
			must.Read(t, client, []byte("101\n"))
			must.Within(t, name, func() error { return readAll(client, big) })
			got := must.Take(t, "done", told)
			if got.Err != nil {
				t.Fatalf("Detach in %s callback: %v", name, got.Err)
			}
			if _, ok := got.Conn.(*net.TCPConn); !ok {
				t.Errorf("it is a %T", got.Conn)
			}
			r.Ends(proactor.ErrDetached)
			rest := append(got.Received, make([]byte, len("rest and more")-len(got.Received))...)
			must.Within(t, "the rest", func() error { _, err := io.ReadFull(got.Conn, rest[len(got.Received):]); return err })
			if string(rest) != "rest and more" {
				t.Errorf("what was not consumed is %q", rest)
			}
			talks(t, got.Conn, client)
			talks(t, client, got.Conn)
			must.Eventually(t, "room", func() bool { return s.Conns() == 2 })
			client.Close()
			if _, err := got.Conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the end of the stream: %v", err)
			}
			got.Conn.Close()
		}
		if st := r.Engine.Stats(); st.Pending != 0 || st.Kept != 0 || st.Leased != 0 {
			t.Errorf("something is left: %+v", st)
		}
	})
}

func readAll(c io.Reader, want []byte) error {
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("%d of %d bytes: %w", n, len(want), err)
	}
	if i := must.Differs(got, want); i != len(want) {
		return fmt.Errorf("other bytes from %d on", i)
	}
	return nil
}

// The FIN of the peer, which the engine has read, is there for the next owner.
func TestDetachAfterFIN(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		done, told := rig.Takes(t)
		s := r.Serve(proactor.Handler{Data: rig.Echo, Ended: func(c *proactor.Conn, why error) {
			if err := c.Detach(done); err != nil {
				t.Error(err)
			}
		}})
		client := rig.Client(t, s)
		must.Ask(t, client, "hello")
		client.CloseWrite()
		got := must.Take(t, "done", told)
		if got.Err != nil || len(got.Received) != 0 {
			t.Fatalf("%q, %v", got.Received, got.Err)
		}
		if _, err := got.Conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the end of the stream: %v", err)
		}
		talks(t, got.Conn, client)
		got.Conn.Close()
		must.ReadEnd(t, client, nil)
		r.Accepted()
		r.Ends(proactor.ErrDetached)
	})
}

// A connection that ends before it could leave is handed to nobody: done is told why, after
// Closed.
func TestDetachFails(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		var closed sync.Map
		s := r.Serve(proactor.Handler{
			Data:   func(*proactor.Conn, []byte) int { return 0 },
			Closed: func(c *proactor.Conn, cause error) { closed.Store(c, cause) },
			Ended: func(c *proactor.Conn, why error) {
				if why == proactor.ErrTooLong {
					return // the handler would write what it owes
				}
				c.Close()
			},
		}, rig.Limits(proactor.Limits{SendBuffer: smallBuffer, MaxMessage: 1000, LingerTimeout: -1}))
		open := func() (*proactor.Conn, *net.TCPConn) {
			client := rig.Deaf(t, s, smallBuffer)
			return r.Accepted(), client
		}
		big := make([]byte, 1<<20) // more than the system takes
		fails := func(what string, c *proactor.Conn, want error, end func()) {
			t.Helper()
			done, told := rig.Takes(t)
			check := func(nc net.Conn, received []byte, err error) {
				if _, ok := closed.Load(c); !ok {
					t.Errorf("%s: done before Closed", what)
				}
				done(nc, received, err)
			}
			if err := c.Detach(check); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			end()
			unseen := porttest.OnWine && want == port.ErrReset
			if got := must.Take(t, what, told); got.Conn != nil || got.Received != nil || !errors.Is(got.Err, want) && !unseen {
				t.Errorf("%s: %+v, want %v", what, got, want)
			}
			r.Ends(want)
			if err := c.Detach(done); !errors.Is(err, proactor.ErrClosed) {
				t.Errorf("%s: Detach after the end: %v", what, err)
			}
		}
		c, _ := open()
		c.Write(big)
		fails("Abort", c, proactor.ErrLocalClosed, c.Abort)
		c, _ = open()
		c.SetWriteTimeout(10 * time.Millisecond)
		c.Write(big)
		fails("a write timeout", c, proactor.ErrWriteTimeout, func() {})
		c, client := open()
		c.Write(big)
		fails("a reset", c, port.ErrReset, func() { client.SetLinger(0); client.Close() })
		c, client = open()
		must.Send(t, client, make([]byte, 2000))
		must.Eventually(t, "the limit", func() bool { return c.Stats().BytesIn == 2000 })
		rig.OnLoop(t, c, func() {})
		fails("after a limit", c, proactor.ErrTooLong, func() { client.Close() })
		c, _ = open()
		c.CloseWrite()
		if err := c.Detach(func(net.Conn, []byte, error) {}); !errors.Is(err, proactor.ErrClosed) {
			t.Errorf("after CloseWrite: %v", err)
		}
		c, _ = open()
		c.Write(big)
		fails("Server.Close", c, proactor.ErrServerClosed, func() { must.Within(t, "Close", s.Close) })
	})
}

// A done that panics takes nothing: its connection is closed.
func TestDetachPanics(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		for _, end := range []func(){func() { panic("no") }, runtime.Goexit} {
			client := rig.Client(t, s)
			if err := r.Accepted().Detach(func(net.Conn, []byte, error) { end() }); err != nil {
				t.Fatal(err)
			}
			must.ReadEnd(t, client, nil)
			r.Ends(proactor.ErrDetached)
			r.Panics++
		}
		must.Ask(t, rig.Client(t, s), "still here")
	})
}

// A connection may leave in the moment at which its server shuts down, which does not wait for
// it any more.
func TestDetachInStopping(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		done, told := rig.Takes(t)
		h := rig.Lines()
		h.Stopping = func(c *proactor.Conn) {
			if err := c.Detach(done); err != nil {
				t.Error(err)
			}
		}
		s := r.Serve(h)
		client := rig.Client(t, s)
		must.Send(t, client, []byte("one\ntw"))
		must.Read(t, client, []byte("0:one\n"))
		must.Within(t, "Shutdown", func() error { return s.Shutdown(must.Context(t)) })
		got := must.Take(t, "done", told)
		if got.Err != nil || string(got.Received) != "tw" {
			t.Fatalf("%q, %v", got.Received, got.Err)
		}
		talks(t, got.Conn, client)
		r.Accepted()
		r.Ends(proactor.ErrDetached)
	})
}

// A connection leaves its relays and its pair: what it relays has gone out or is handed on, and
// the others are told.
func TestDetachEndsRelays(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		if !r.Detaches() {
			return
		}
		s := r.Serve(proactor.Handler{})
		t.Run("from", func(t *testing.T) {
			a, b, ca, cb := r.Couple(s)
			rig.Relayed(t, a, b)
			must.Send(t, ca, []byte("one"))
			must.Read(t, cb, []byte("one"))
			done, told := rig.Takes(t)
			if err := a.Detach(done); err != nil {
				t.Fatal(err)
			}
			got := rig.TakeOver(t, told)
			talks(t, ca, got.Conn)
			talks(t, got.Conn, ca)
			r.Ends(proactor.ErrDetached)
			b.Close()
			must.ReadEnd(t, cb, nil)
			cb.Close()
			r.Ends(proactor.ErrLocalClosed)
		})
		t.Run("to", func(t *testing.T) {
			a, b, ca, cb := r.Couple(s)
			rig.Relayed(t, a, b)
			must.Send(t, ca, []byte("one"))
			must.Read(t, cb, []byte("one"))
			done, told := rig.Takes(t)
			if err := b.Detach(done); err != nil {
				t.Fatal(err)
			}
			got := rig.TakeOver(t, told)
			talks(t, cb, got.Conn)
			talks(t, got.Conn, cb)
			ca.Close()
			for range 2 {
				e := must.Take(t, "Closed", r.Closed)
				if want := map[*proactor.Conn]error{a: proactor.ErrRelayEnd, b: proactor.ErrDetached}[e.Conn]; !errors.Is(e.Cause, want) {
					t.Errorf("closed with %v, want %v", e.Cause, want)
				}
			}
		})
		t.Run("pair", func(t *testing.T) {
			a, b, ca, cb := r.Couple(s)
			if err := proactor.Join(a, b); err != nil {
				t.Fatal(err)
			}
			must.Send(t, ca, []byte("one"))
			must.Read(t, cb, []byte("one"))
			must.Send(t, cb, []byte("two"))
			must.Read(t, ca, []byte("two"))
			done, told := rig.Takes(t)
			if err := a.Detach(done); err != nil {
				t.Fatal(err)
			}
			got := rig.TakeOver(t, told)
			talks(t, ca, got.Conn)
			talks(t, got.Conn, ca)
			for range 2 {
				e := must.Take(t, "Closed", r.Closed)
				if !errors.Is(e.Cause, proactor.ErrDetached) || errors.Is(e.Cause, proactor.ErrRelayEnd) != (e.Conn == b) {
					t.Errorf("closed with %v", e.Cause)
				}
			}
		})
	})
}

// A connection that goes to and fro between the loops and package net, while its peer sends and
// receives without a pause, loses no byte, and leaves no descriptor behind.
func TestDetachAndAdopt(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() || !canAdopt(r) {
			return
		}
		const trips, conns = 200, 4
		var group sync.WaitGroup
		for i := range conns {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			ours, theirs := plain(t, "tcp4")
			stream := must.Pattern(uint64(i), 1<<20)
			turns := 0
			var s *proactor.Server
			adopt := func(nc net.Conn, received []byte) {
				if err := s.Adopt(nc, received, nil); err != nil {
					t.Errorf("trip %d: %v", turns, err)
					nc.Close()
				}
			}
			h := proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
				if turns >= trips {
					c.Write(p)
					return len(p)
				}
				turns++
				n := rng.IntN(len(p) + 1)
				c.Write(p[:n])
				err := c.Detach(func(nc net.Conn, received []byte, err error) {
					if err != nil {
						t.Errorf("trip %d: %v", turns, err)
						return
					}
					if rng.IntN(2) == 0 {
						adopt(nc, received)
						return
					}
					go func() { // package net has it for a while
						nc.SetDeadline(time.Now().Add(must.Patience))
						nc.Write(received)
						buf := make([]byte, 1+rng.IntN(1000))
						n, _ := nc.Read(buf)
						adopt(nc, buf[:n])
					}()
				})
				if err != nil {
					t.Errorf("Detach: %v", err)
				}
				return n
			}}
			s = r.Start(h, rig.Limits(proactor.Limits{MaxPending: 64 << 20}))
			adopt(ours, nil)
			group.Go(func() {
				for n := 0; n < len(stream); {
					k := min(1+rand.IntN(2000), len(stream)-n)
					if _, err := theirs.Write(stream[n : n+k]); err != nil {
						t.Error(err)
						return
					}
					n += k
				}
				theirs.(*net.TCPConn).CloseWrite()
			})
			group.Go(func() {
				got, err := io.ReadAll(theirs)
				if err != nil || !bytes.Equal(got, stream) {
					t.Errorf("%d of %d bytes came back, the same up to %d; %v", len(got), len(stream), must.Differs(got, stream), err)
				}
			})
		}
		must.Within(t, "the trips", func() error { group.Wait(); return nil })
		if st := r.Engine.Stats(); st.Accepted <= conns {
			t.Error("no connection was handed on")
		}
	})
}

// Bytes of Unread, and those that a pause has kept, are handed on in their order, and count for
// nothing any more. A WriteContext that waits for room learns that it came too late.
func TestDetachGivesKept(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { return 0 }},
			rig.Limits(proactor.Limits{SendBuffer: smallBuffer, MaxPending: 2 << 20}))
		client := rig.Deaf(t, s, smallBuffer)
		c := r.Accepted()
		must.Send(t, client, []byte("three"))
		must.Eventually(t, "it has arrived", func() bool { return c.Stats().BytesIn == 5 })
		rig.OnLoop(t, c, func() {
			c.PauseRead()
			if err := c.Unread([]byte("two ")); err != nil {
				t.Error(err)
			}
			if err := c.Unread([]byte("one ")); err != nil {
				t.Error(err)
			}
		})
		big := must.Pattern(1, 1<<20) // more than the system takes
		c.Write(big)
		ctx, waits := rig.Waited(t)
		wrote := make(chan error, 1)
		go func() { _, err := c.WriteContext(ctx, make([]byte, 2<<20)); wrote <- err }()
		must.Take(t, "WriteContext waits", waits)
		done, told := rig.Takes(t)
		if err := c.Detach(done); err != nil {
			t.Fatal(err)
		}
		must.Within(t, "all that was written", func() error { return readAll(client, big) })
		if err := must.Take(t, "WriteContext", wrote); !errors.Is(err, proactor.ErrClosed) {
			t.Errorf("WriteContext: %v", err)
		}
		got := must.Take(t, "done", told)
		if got.Err != nil || string(got.Received) != "one two three" {
			t.Errorf("%q, %v", got.Received, got.Err)
		}
		r.Ends(proactor.ErrDetached)
		talks(t, client, got.Conn)
		if st := r.Engine.Stats(); st.Kept != 0 || st.Pending != 0 {
			t.Errorf("something is left: %+v", st)
		}
	})
}

// Whatever ends a connection in the moment of Detach: done is called once, after Closed, with the
// connection or with the cause, and nothing of either is left.
func TestDetachRaces(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !r.Detaches() {
			return
		}
		ends := map[string]func(*proactor.Server, *proactor.Conn, *net.TCPConn){
			"Close":      func(_ *proactor.Server, c *proactor.Conn, _ *net.TCPConn) { c.Close() },
			"Abort":      func(_ *proactor.Server, c *proactor.Conn, _ *net.TCPConn) { c.Abort() },
			"CloseWrite": func(_ *proactor.Server, c *proactor.Conn, _ *net.TCPConn) { c.CloseWrite() },
			"reset":      func(_ *proactor.Server, _ *proactor.Conn, nc *net.TCPConn) { nc.SetLinger(0); nc.Close() },
			"FIN":        func(_ *proactor.Server, _ *proactor.Conn, nc *net.TCPConn) { nc.Close() },
			"shutdown":   func(s *proactor.Server, _ *proactor.Conn, _ *net.TCPConn) { s.Close() },
		}
		for name, end := range ends {
			for range 10 {
				s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{LingerTimeout: -1}))
				client := rig.Client(t, s)
				must.Send(t, client, []byte("hello"))
				c := r.Accepted()
				done, told := rig.Takes(t)
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					end(s, c, client)
				}()
				err := c.Detach(done)
				must.Take(t, name, ended)
				left := false
				if err != nil { // it came too late
					if !errors.Is(err, proactor.ErrClosed) {
						t.Errorf("%s: Detach: %v", name, err)
					}
					client.Close()
				} else if got := must.Take(t, "done", told); (got.Conn == nil) == (got.Err == nil) {
					t.Errorf("%s: done was told %+v", name, got)
				} else if got.Conn != nil {
					left = true
					got.Conn.Close()
				}
				if e := must.Take(t, "Closed", r.Closed); errors.Is(e.Cause, proactor.ErrDetached) != left {
					t.Errorf("%s: closed with %v, handed on %v", name, e.Cause, left)
				}
				must.Within(t, "Close", s.Close)
				if len(told) > 0 {
					t.Errorf("%s: done was called twice, or after an error", name)
				}
			}
		}
	})
}

// Bytes that the port has received of a connection when its socket begins to leave are handed on:
// more connections than the loop takes completions of at once leave in the moment in which all of
// their peers have sent something.
func TestDetachGivesLate(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		if !r.Detaches() {
			return
		}
		s := r.Serve(proactor.Handler{Data: func(*proactor.Conn, []byte) int { return 0 }})
		clients, conns := rig.Gather(r, s, 200, nil)
		type end struct{ local, remote string }
		by := map[end]net.Conn{} // the clients
		for _, c := range clients {
			by[end{c.LocalAddr().String(), c.RemoteAddr().String()}] = c
		}
		told := make(chan rig.Handed, len(conns))
		busy, sent := make(chan struct{}), make(chan struct{})
		conns[0].Post(func() {
			close(busy)
			<-sent
			for _, c := range slices.Backward(conns) {
				if err := c.Detach(func(nc net.Conn, received []byte, err error) {
					told <- rig.Handed{Conn: nc, Received: received, Err: err}
				}); err != nil {
					t.Error(err)
				}
			}
		})
		must.Take(t, "the loop is busy", busy)
		for _, c := range clients {
			must.Send(t, c, []byte("early"))
		}
		close(sent)
		for range conns {
			got := rig.TakeOver(t, told)
			nc := got.Conn
			client := by[end{nc.RemoteAddr().String(), nc.LocalAddr().String()}]
			must.Send(t, client, []byte(" late"))
			client.Close()
			nc.SetDeadline(time.Now().Add(must.Patience))
			rest, err := io.ReadAll(nc)
			nc.Close()
			if all := string(got.Received) + string(rest); err != nil || all != "early late" {
				t.Errorf("%q, then %q, %v", got.Received, rest, err)
			}
			r.Ends(proactor.ErrDetached)
		}
	})
}
