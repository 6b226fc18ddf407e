package proactor_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/proactortest"
)

// oneLoop has all connections of a rig on one loop.
func oneLoop(cfg *proactor.Config) { cfg.Loops = 1 }

// couple makes two connections of one loop, and gives both ends of each.
func (r *rig) couple(s *proactor.Server) (a, b *proactor.Conn, ca, cb *net.TCPConn) {
	r.Helper()
	ca = client(r.T, s)
	a = r.accepted()
	cb = client(r.T, s)
	return a, r.accepted(), ca, cb
}

// relayed begins a relay that must begin.
func relayed(t *testing.T, from, to *proactor.Conn) {
	t.Helper()
	if err := from.Relay(to); err != nil {
		t.Fatal(err)
	}
}

// push sends from another goroutine, then the end of the stream if it is wanted.
func push(c *net.TCPConn, p []byte, end bool) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Write(p)
		if err == nil && end {
			err = c.CloseWrite()
		}
		done <- err
	}()
	return done
}

// What each of two clients sends comes to the other, all of it and in its order,
// and the end of each stream is passed on. Both connections count the bytes.
func TestRelay(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, oneLoop)
		var a, b *proactor.Conn
		s := r.serve(proactor.Handler{
			Data: func(_ *proactor.Conn, p []byte) int { t.Errorf("Data is shown %d bytes", len(p)); return len(p) },
			Ended: func(c *proactor.Conn, why error) {
				if !errors.Is(why, proactor.ErrPeerClosed) {
					t.Errorf("Ended with %v", why)
				}
				if c == a {
					b.CloseWrite()
				} else {
					a.CloseWrite()
				}
			},
		})
		a, b, ca, cb := r.couple(s)
		relayed(t, a, b)
		relayed(t, b, a)
		there, back := pattern(1, scaled(20<<20)), pattern(2, scaled(10<<20))
		sentA, sentB := push(ca, there, true), push(cb, back, true)
		got := make(chan error, 1)
		go func() { got <- readExactly(cb, there) }()
		if err := readExactly(ca, back); err != nil {
			t.Errorf("back: %v", err)
		}
		for _, done := range []<-chan error{got, sentA, sentB} {
			if err := take(t, "the other direction", done); err != nil {
				t.Errorf("there: %v", err)
			}
		}
		r.ends(proactor.ErrPeerClosed)
		r.ends(proactor.ErrPeerClosed)
		for _, c := range []*proactor.Conn{a, b} {
			in, out := int64(len(there)), int64(len(back))
			if c == b {
				in, out = out, in
			}
			if s := c.Stats(); s.BytesIn != in || s.BytesOut != out {
				t.Errorf("%d bytes in, %d out, want %d and %d", s.BytesIn, s.BytesOut, in, out)
			}
		}
	})
}

// A relay that a callback begins has what the callback did not consume, and all
// that follows; no callback is shown any of it.
func TestRelayFromCallback(t *testing.T) {
	for _, split := range []bool{false, true} {
		t.Run(map[bool]string{false: "Data", true: "Message"}[split], func(t *testing.T) {
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend, oneLoop)
				var to atomic.Pointer[proactor.Conn]
				h := proactor.Handler{Ended: func(c *proactor.Conn, _ error) { to.Load().CloseWrite(); c.Close() }}
				begin := func(c *proactor.Conn, p []byte) {
					if string(p) != "head" {
						t.Errorf("shown %d bytes: %.10q", len(p), p)
					}
					if err := c.Relay(to.Load()); err != nil {
						t.Error(err)
					}
				}
				if split {
					h.Split = func(p []byte, _ bool) (int, []byte, error) { n := min(4, len(p)); return n, p[:n], nil }
					h.Message = begin
				} else {
					h.Data = func(c *proactor.Conn, p []byte) int { n := min(4, len(p)); begin(c, p[:n]); return n }
				}
				s := r.serve(h)
				_, b, ca, cb := r.couple(s)
				to.Store(b)
				want := pattern(3, scaled(2<<20))
				sent := push(ca, append([]byte("head"), want...), true)
				expectEnd(t, cb, want)
				if err := take(t, "sent", sent); err != nil {
					t.Error(err)
				}
				r.ends(proactor.ErrLocalClosed)
				cb.Close()
				r.ends(proactor.ErrLocalClosed)
			})
		})
	}
}

// What is written to a connection that is fed goes between what is relayed, each
// Write in one piece, and neither loses anything.
func TestRelayWrites(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, oneLoop)
		s := r.serve(proactor.Handler{Ended: func(*proactor.Conn, error) {}})
		a, b, ca, cb := r.couple(s)
		relayed(t, a, b)
		const mark, length, writes = 0xff, 1000, 200
		stream := pattern(4, scaled(16<<20))
		for i := range stream {
			stream[i] &^= 0x80
		}
		sent := push(ca, stream, false)
		wrote := make(chan error, 1)
		go func() {
			for range writes {
				if _, err := b.WriteContext(bounded(t), bytes.Repeat([]byte{mark}, length)); err != nil {
					wrote <- err
					return
				}
			}
			wrote <- nil
		}()
		all := make([]byte, len(stream)+writes*length)
		if _, err := io.ReadFull(cb, all); err != nil {
			t.Fatal(err)
		}
		var got []byte
		run := 0
		for _, x := range all {
			switch {
			case x == mark:
				run++
			case run%length != 0:
				t.Fatalf("a Write of %d bytes is cut at %d", length, run%length)
			default:
				got = append(got, x)
			}
		}
		if i := differs(got, stream); i != len(stream) || len(got) != len(stream) {
			t.Errorf("%d bytes relayed of %d, the same up to %d", len(got), len(stream), i)
		}
		for _, done := range []<-chan error{sent, wrote} {
			if err := take(t, "writers", done); err != nil {
				t.Error(err)
			}
		}
	})
}

// PauseRead stops a relay at any moment, and ResumeRead has it go on: nothing is
// lost.
func TestRelayPauses(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, oneLoop)
		s := r.serve(proactor.Handler{})
		a, b, ca, cb := r.couple(s)
		relayed(t, a, b)
		want := pattern(5, scaled(16<<20))
		sent := push(ca, want, true)
		stop := make(chan struct{})
		paused := make(chan int)
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					paused <- n
					return
				default:
				}
				a.PauseRead()
				a.Post(func() { a.ResumeRead() })
				for was := b.Stats().BytesOut; b.Stats().BytesOut == was && was < int64(len(want)); {
					runtime.Gosched() // one that is paused all the time goes nowhere
				}
			}
		}()
		got := make([]byte, len(want))
		if n, err := io.ReadFull(cb, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", n, err)
		}
		close(stop)
		t.Logf("paused %d times", <-paused)
		if err := take(t, "sent", sent); err != nil {
			t.Error(err)
		}
		a.PauseRead()
		a.ResumeRead()
		r.ends(proactor.ErrPeerClosed)
	})
}

// A relay that cannot be is refused, and changes nothing.
func TestRelayRefused(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend) // two loops, in turns
		s := r.serve(proactor.Handler{Data: echo})
		a, other, ca, _ := r.couple(s)
		b, _, cb, _ := r.couple(s)
		if err := a.Relay(other); err != proactor.ErrOtherLoop {
			t.Errorf("to another loop: %v", err)
		}
		onLoop(t, other, func() {
			if err := a.Relay(b); err != proactor.ErrOnLoop {
				t.Errorf("in a callback of another loop: %v", err)
			}
		})
		ask(t, ca, "still here")
		relayed(t, a, b)
		onLoop(t, a, func() {
			for _, err := range []error{a.Relay(b), a.Relay(a), b.Relay(b)} {
				if err != proactor.ErrRelaying {
					t.Errorf("relayed already: %v", err)
				}
			}
		})
		send(t, ca, []byte("on"))
		expect(t, cb, []byte("on"))
		a.Abort()
		r.ends(proactor.ErrLocalClosed)
		if err := a.Relay(b); err != proactor.ErrClosed {
			t.Errorf("of what is closed: %v", err)
		}
		if err := b.Relay(a); err != proactor.ErrClosed {
			t.Errorf("to what is closed: %v", err)
		}
		ask(t, cb, "free again")
		relayed(t, b, b)
		ask(t, cb, "and relayed to itself")
	})
}

// On networks of all sorts a connection that is relayed to itself is an echo.
func TestRelaySimulated(t *testing.T) {
	proactortest.Run(t, func(e *proactortest.Env) {
		s := e.Serve(&proactor.Server{Handler: proactor.Handler{Opened: func(c *proactor.Conn) {
			if err := c.Relay(c); err != nil {
				t.Error(err)
			}
		}}})
		c := e.Dial(s)
		for i := range 5 {
			p := string(pattern(uint64(i), 1<<(3*i)))
			c.Send(p)
			c.Expect(p)
		}
		c.CloseWrite()
		c.ExpectEnd()
	})
}
