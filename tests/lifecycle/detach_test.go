package lifecycle_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
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
