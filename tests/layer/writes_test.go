package layer_test

import (
	"bytes"
	"io"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// Every sort of Write goes through the layer, in the order of the calls: also what would be
// sent at once, shared or lent without one.
func TestLayerWrites(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		large, shared := must.Pattern(1, 32<<10), must.Pattern(2, 4000)
		var all proactor.Registry[int]
		s := r.Serve(proactor.Handler{
			Opened: func(c *proactor.Conn) { all.Add(1, c) },
			Data: func(c *proactor.Conn, p []byte) int {
				c.Write(large)
				c.Write([]byte("1"))
				c.Writev([]byte("2"), large, nil, []byte("3"))
				c.WriteShared(shared)
				c.WriteLent(p)
				c.Write(nil)
				all.Broadcast(shared)
				all.BroadcastFunc(func(int, *proactor.Conn) []byte { return large })
				return len(p)
			},
		}, func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return &masks{ends: new(atomic.Int64)} }
		})
		c := rig.Client(t, s)
		must.Read(t, c, []byte("hello:"))
		lent := must.Pattern(3, 1000)
		for i, b := range lent {
			if b == '!' || b == endMark {
				lent[i] = 'x'
			}
		}
		must.Send(t, c, lent)
		conn := r.Accepted()
		want := bytes.Join([][]byte{large, []byte("12"), large, []byte("3"), shared, masked(lent), shared, large}, nil)
		must.Read(t, c, masked(want))

		// The loop sleeps, so that another goroutine could send at once.
		if _, err := conn.WriteContext(must.Context(t), large); err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("4"))
		conn.Write(large)
		must.Read(t, c, masked(bytes.Join([][]byte{large, []byte("4"), large}, nil)))
		c.CloseWrite()
		must.ReadEnd(t, c, []byte{endMark})
		r.Ends(proactor.ErrPeerClosed)
	})
}

// What is written before the layer is ready waits for that, behind what the layer says first, and
// so does our FIN. Where the connection ends before, nothing of it is sent.
func TestLayerWriteBeforeReady(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		begun := make(chan *proactor.Wire, 1)
		ends := new(atomic.Int64)
		s := r.Serve(proactor.Handler{}, func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return &masks{begun: begun, ends: ends} }
		})
		c := rig.Client(t, s)
		w := must.Take(t, "Begin", begun)
		conn, large := w.Conn(), must.Pattern(1, 100_000)
		conn.Write([]byte("a"))
		conn.Write(large)
		conn.WriteShared(large)
		if n := conn.Stats().Pending; n < 1+2*len(large) {
			t.Errorf("%d bytes wait", n)
		}
		conn.CloseWrite()
		rig.Returned(t, conn)
		if err := w.Send([]byte("more:")); err != nil {
			t.Errorf("Wire.Send before the layer is ready: %v", err)
		}
		must.Read(t, c, []byte("hello:more:"))
		w.Ready(nil)
		must.ReadEnd(t, c, append(masked(bytes.Join([][]byte{[]byte("a"), large, large}, nil)), endMark))
		c.CloseWrite()
		r.Ends(proactor.ErrPeerClosed)
		must.Eventually(t, "the first End", func() bool { return ends.Load() == 1 }) // it follows Closed

		for what, end := range map[string]func(*proactor.Conn){"Close": func(c *proactor.Conn) { c.Close() }, "Abort": (*proactor.Conn).Abort} {
			before := ends.Load()
			c = rig.Client(t, s)
			w = must.Take(t, "Begin", begun)
			w.Conn().Write(large)
			end(w.Conn())
			must.Eventually(t, "End", func() bool { return ends.Load() == before+1 })
			if got, _ := io.ReadAll(c); len(got) > len("hello:") {
				t.Errorf("%s: %d bytes were sent", what, len(got))
			}
			c.Close()
			if err := w.Send([]byte("x")); err != proactor.ErrClosed {
				t.Errorf("%s: Wire.Send after the end: %v", what, err)
			}
			w.Ready(nil) // nothing comes of it
		}
	})
}

// However a connection ends that is ready, the layer speaks before a FIN and not before a reset.
func TestLayerEnds(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, tt := range []struct {
			what string
			end  func(*proactor.Conn)
			last string // "": a reset
		}{
			{"Close", func(c *proactor.Conn) { c.Write([]byte("ab")); c.Close() }, "AB$"},
			{"CloseWrite", func(c *proactor.Conn) { c.Write([]byte("ab")); c.CloseWrite() }, "AB$"},
			{"twice", func(c *proactor.Conn) { c.CloseWrite(); c.CloseWrite(); c.Close() }, "$"},
			{"paused", func(c *proactor.Conn) { c.PauseRead(); c.Write([]byte("ab")); c.Close() }, "AB$"},
			{"Abort", func(c *proactor.Conn) { c.Write([]byte("ab")); c.Abort() }, ""},
		} {
			r := rig.New(t, backend)
			ends := new(atomic.Int64)
			s := r.Serve(proactor.Handler{}, func(s *proactor.Server) {
				s.Layer = func() proactor.Layer { return &masks{ends: ends} }
			})
			c := rig.Client(t, s)
			must.Read(t, c, []byte("hello:"))
			conn := r.Accepted()
			rig.OnLoop(t, conn, func() { tt.end(conn) })
			if tt.last == "" {
				if got := porttest.Reset(t, c); bytes.IndexByte(got, endMark) >= 0 {
					t.Errorf("%s: read %q", tt.what, got)
				}
			} else {
				must.ReadEnd(t, c, []byte(tt.last))
				c.CloseWrite()
			}
			must.Take(t, "Closed", r.Closed)
			must.Eventually(t, tt.what+": End", func() bool { return ends.Load() == 1 })
		}
	})
}

// A Shutdown ends a connection whose layer is not ready at once, and its handler does not hear of
// it; the layer speaks before the FIN, as on any other.
func TestLayerShutdown(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		begun := make(chan *proactor.Wire, 2)
		ends := new(atomic.Int64)
		s := r.Serve(proactor.Handler{Ended: func(c *proactor.Conn, why error) { c.Close() }}, func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return &masks{begun: begun, ends: ends} }
			s.Limits.LingerTimeout = must.Lifetime
			s.Handler.Stopping = func(c *proactor.Conn) { c.Write([]byte("bye")) }
		})
		ready := rig.Client(t, s)
		must.Take(t, "Begin", begun).Ready(nil)
		r.Accepted()
		unready := rig.Client(t, s)
		w := must.Take(t, "Begin", begun)
		over := make(chan error, 1)
		go func() { over <- s.Shutdown(must.Context(t)) }()
		must.ReadEnd(t, ready, append([]byte("hello:"), "BYE$"...))
		must.ReadEnd(t, unready, []byte("hello:"))
		must.Eventually(t, "End of the layer that was never ready", func() bool { return ends.Load() == 1 })
		w.Ready(nil) // too late
		ready.CloseWrite()
		unready.CloseWrite()
		if err := must.Take(t, "Shutdown", over); err != nil {
			t.Error(err)
		}
		r.Ends(proactor.ErrServerClosed)
		if n := ends.Load(); n != 2 {
			t.Errorf("%d layers of 2 were ended", n)
		}
	})
}

// A relay gives a layer what arrives in pieces of 16 KiB at most, as Writes are, and none of it counts as waiting
// when the layer has it: it is much more than may wait.
func TestLayerRelayedInPieces(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop, func(cfg *proactor.Config) { cfg.MaxOutbound = 1 << 20 })
		from, to := r.Serve(proactor.Handler{}), r.Serve(proactor.Handler{}, func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return measures{&masks{ends: new(atomic.Int64)}, t} }
		})
		ca := rig.Client(t, from)
		a := r.Accepted()
		cb := rig.Client(t, to)
		b := r.Accepted()
		must.Read(t, cb, []byte("hello:"))
		rig.Relayed(t, a, b)
		said := must.Pattern(1, 4<<20)
		sent := make(chan error, 1)
		go func() {
			_, err := ca.Write(said)
			sent <- err
		}()
		must.Read(t, cb, masked(said))
		if err := must.Take(t, "sent", sent); err != nil {
			t.Error(err)
		}
	})
}

// measures is a layer that is given no more than 16 KiB at a time.
type measures struct {
	*masks
	t *testing.T
}

func (m measures) Send(plain []byte) ([]byte, error) {
	if len(plain) > 16<<10 {
		m.t.Errorf("Send is given %d bytes", len(plain))
	}
	return m.masks.Send(plain)
}
