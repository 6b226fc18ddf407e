package proactor_test

import (
	"errors"
	"io"
	"testing"

	"github.com/proactor-go/proactor"
)

// The client sends 16 MiB and its FIN, and gets all of it back, and a FIN.
func TestHalfClosedEcho(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{Data: echo})
		peer := client(t, s)
		want := pattern(1, scaled(16<<20))
		sent := make(chan error, 1)
		begun := make(chan struct{})
		go func() {
			n := min(len(want), 1<<20)
			_, err := peer.Write(want[:n])
			close(begun)
			if err == nil {
				_, err = peer.Write(want[n:])
			}
			if err == nil {
				err = peer.CloseWrite()
			}
			sent <- err
		}()
		// The server stops reading when nobody takes what it sends.
		take(t, "the first bytes sent", begun)
		expectEnd(t, peer, want)
		if err := take(t, "all sent", sent); err != nil {
			t.Fatal(err)
		}
		r.ends(proactor.ErrPeerClosed)
	})
}

// With Ended set, the server goes on sending after the peer's FIN for as
// long as it likes.
func TestEnded(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		told := make(chan *proactor.Conn, 1)
		s := r.serve(proactor.Handler{
			Data:  echo,
			Ended: func(c *proactor.Conn, _ error) { told <- c },
		})
		peer := client(t, s)
		send(t, peer, []byte("first "))
		if err := peer.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c := take(t, "Ended", told)
		expect(t, peer, []byte("first "))
		for range 3 {
			onLoop(t, c, func() {})
			if _, err := c.Write([]byte("more ")); err != nil {
				t.Fatal(err)
			}
			expect(t, peer, []byte("more "))
		}
		c.Close()
		expectEnd(t, peer, nil)
		r.ends(proactor.ErrLocalClosed)
		if len(told) != 0 {
			t.Error("Ended came again")
		}
	})
}

// Ended tells why a stream that goes on is followed no further: nothing of it
// is delivered any more, and what is owed still goes out.
func TestEndedTellsWhy(t *testing.T) {
	for _, tt := range []struct {
		name string
		want error
		h    proactor.Handler
		ends func(r *rig, s *proactor.Server)
	}{
		{name: "TooLong", want: proactor.ErrTooLong, h: proactor.Handler{Data: func(_ *proactor.Conn, p []byte) int { return 0 }}},
		{name: "SplitError", want: errSplit, h: proactor.Handler{
			Split:   func([]byte, bool) (int, []byte, error) { return 0, nil, errSplit },
			Message: func(c *proactor.Conn, _ []byte) { c.Write([]byte("delivered")) },
		}},
		{name: "Shutdown", want: proactor.ErrServerClosed, h: proactor.Handler{Data: func(_ *proactor.Conn, p []byte) int { return len(p) }},
			ends: func(r *rig, s *proactor.Server) { go s.Shutdown(bounded(r)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend)
				type told struct {
					c   *proactor.Conn
					why error
				}
				ended := make(chan told, 2)
				tt.h.Ended = func(c *proactor.Conn, why error) { ended <- told{c, why} }
				s := r.serve(tt.h, limits(proactor.Limits{MaxMessage: 1000}))
				peer := client(t, s)
				r.accepted()
				send(t, peer, make([]byte, 2000))
				if tt.ends != nil {
					tt.ends(r, s)
				}
				e := take(t, "Ended", ended)
				if !errors.Is(e.why, tt.want) {
					t.Errorf("ended with %v, want %v", e.why, tt.want)
				}
				send(t, peer, make([]byte, 2000)) // too late
				onLoop(t, e.c, func() { e.c.Write([]byte("owed ")) })
				e.c.Write([]byte("and more"))
				expect(t, peer, []byte("owed and more"))
				e.c.Close()
				expectEnd(t, peer, nil)
				peer.CloseWrite()
				r.ends(tt.want)
				if len(ended) != 0 {
					t.Error("Ended came again")
				}
			})
		})
	}
}

// Ended comes after all that the peer sent.
func TestEndedIsLast(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		got := 0
		atEnd := make(chan int, 1)
		s := r.serve(proactor.Handler{
			Data:  func(c *proactor.Conn, p []byte) int { got += len(p); return len(p) },
			Ended: func(c *proactor.Conn, _ error) { atEnd <- got; c.Close() },
		})
		peer := client(t, s)
		want := scaled(4 << 20)
		send(t, peer, make([]byte, want))
		peer.CloseWrite()
		if n := take(t, "Ended", atEnd); n != want {
			t.Errorf("%d bytes before Ended, want %d", n, want)
		}
		expectEnd(t, peer, nil)
		r.ends(proactor.ErrLocalClosed)
	})
}

// After CloseWrite the peer reads all that was written and a FIN, and the
// server still gets what the peer sends.
func TestCloseWrite(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		got := make(chan string, 100)
		want := pattern(2, scaled(3<<20))
		s := r.serve(proactor.Handler{
			Opened: func(c *proactor.Conn) {
				c.Write(want)
				c.CloseWrite()
				if _, err := c.Write([]byte("late")); err != proactor.ErrClosed {
					t.Errorf("Write after CloseWrite: %v", err)
				}
			},
			Data: func(c *proactor.Conn, p []byte) int { got <- string(p); return len(p) },
		}, limits(proactor.Limits{MaxPending: 8 << 20, HighWater: 8 << 20}))
		peer := client(t, s)
		expectEnd(t, peer, want)
		for range 3 {
			send(t, peer, []byte("x"))
			if p := take(t, "bytes after CloseWrite", got); p != "x" {
				t.Fatalf("got %q", p)
			}
		}
		peer.Close()
		r.ends(proactor.ErrPeerClosed)
	})
}

// Once both sides have closed, the connection is closed though Ended did
// not do it.
func TestBothCloseWrite(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		for _, first := range []string{"server", "peer"} {
			t.Run(first+" first", func(t *testing.T) {
				r := newRig(t, backend)
				told := make(chan struct{}, 1)
				s := r.serve(proactor.Handler{Ended: func(*proactor.Conn, error) { told <- struct{}{} }})
				peer := client(t, s)
				c := r.accepted()
				if first == "server" {
					c.CloseWrite()
					expectEnd(t, peer, nil)
					peer.CloseWrite()
					take(t, "Ended", told)
				} else {
					peer.CloseWrite()
					take(t, "Ended", told)
					c.CloseWrite()
					expectEnd(t, peer, nil)
				}
				r.ends(proactor.ErrPeerClosed)
			})
		}
	})
}

// Close right after a large Write, while the peer sends and sends: not a byte
// of what was written is lost to a reset.
func TestCloseLosesNothing(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		want := pattern(3, scaled(8<<20))
		s := r.serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			c.Write(want)
			c.Close()
			if _, err := c.Write([]byte("late")); err != proactor.ErrClosed {
				t.Errorf("Write after Close: %v", err)
			}
			return 0
		}})
		for range 3 {
			peer := client(t, s)
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				b := make([]byte, 16<<10)
				for {
					select {
					case <-stop:
						return
					default:
					}
					if _, err := peer.Write(b); err != nil {
						t.Error("while the server closes:", err)
						return
					}
				}
			}()
			expectEnd(t, peer, want)
			close(stop)
			take(t, "the sender's end", stopped)
			peer.CloseWrite()
			r.ends(proactor.ErrLocalClosed)
			if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("then %d bytes and %v", n, err)
			}
		}
	})
}

// The peer's FIN and data wait in the system while reads are paused.
func TestDataAndFINWhilePaused(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		var got []byte
		ended := make(chan []byte, 1)
		paused := true
		s := r.serve(proactor.Handler{
			Opened: func(c *proactor.Conn) { c.PauseRead() },
			Data: func(c *proactor.Conn, p []byte) int {
				if paused {
					t.Error("Data while paused")
				}
				got = append(got, p...)
				return len(p)
			},
			Ended: func(c *proactor.Conn, _ error) {
				if paused {
					t.Error("Ended while paused")
				}
				ended <- got
				c.Close()
			},
		})
		peer := client(t, s)
		c := r.accepted()
		want := pattern(4, 100_000)
		send(t, peer, want)
		peer.CloseWrite()
		other := client(t, s)
		for range 5 { // the loops have gone around
			send(t, other, []byte("x"))
			onLoop(t, c, func() {})
		}
		onLoop(t, c, func() { paused = false; c.ResumeRead() })
		if p := take(t, "the end", ended); string(p) != string(want) {
			t.Errorf("%d bytes, want %d, the same up to %d", len(p), len(want), differs(p, want))
		}
		expectEnd(t, peer, nil)
		if e := r.ends(proactor.ErrLocalClosed); e != c {
			t.Error("the other one was closed")
		}
	})
}
