package relay_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

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
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		var a, b *proactor.Conn
		s := r.Serve(proactor.Handler{
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
		a, b, ca, cb := r.Couple(s)
		rig.Relayed(t, a, b)
		rig.Relayed(t, b, a)
		there, back := must.Pattern(1, testenv.Scaled(20<<20)), must.Pattern(2, testenv.Scaled(10<<20))
		sentA, sentB := push(ca, there, true), push(cb, back, true)
		got := make(chan error, 1)
		go func() { got <- rig.ReadExactly(cb, there) }()
		if err := rig.ReadExactly(ca, back); err != nil {
			t.Errorf("back: %v", err)
		}
		for _, done := range []<-chan error{got, sentA, sentB} {
			if err := must.Take(t, "the other direction", done); err != nil {
				t.Errorf("there: %v", err)
			}
		}
		r.Ends(proactor.ErrPeerClosed)
		r.Ends(proactor.ErrPeerClosed)
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
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend, rig.OneLoop)
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
				s := r.Serve(h)
				_, b, ca, cb := r.Couple(s)
				to.Store(b)
				want := must.Pattern(3, testenv.Scaled(2<<20))
				sent := push(ca, append([]byte("head"), want...), true)
				must.ReadEnd(t, cb, want)
				if err := must.Take(t, "sent", sent); err != nil {
					t.Error(err)
				}
				r.Ends(proactor.ErrLocalClosed)
				cb.Close()
				r.Ends(proactor.ErrLocalClosed)
			})
		})
	}
}

// What is written to a connection that is fed goes between what is relayed, each
// Write in one piece, and neither loses anything.
func TestRelayWrites(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{Ended: func(*proactor.Conn, error) {}})
		a, b, ca, cb := r.Couple(s)
		rig.Relayed(t, a, b)
		const mark, length, writes = 0xff, 20_000, 100
		stream := must.Pattern(4, testenv.Scaled(16<<20))
		for i := range stream {
			stream[i] &^= 0x80
		}
		sent := push(ca, stream, false)
		wrote := make(chan error, 1)
		go func() {
			for range writes {
				if _, err := b.WriteContext(must.Context(t), bytes.Repeat([]byte{mark}, length)); err != nil {
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
		if i := must.Differs(got, stream); i != len(stream) || len(got) != len(stream) {
			t.Errorf("%d bytes relayed of %d, the same up to %d", len(got), len(stream), i)
		}
		for _, done := range []<-chan error{sent, wrote} {
			if err := must.Take(t, "writers", done); err != nil {
				t.Error(err)
			}
		}
	})
}

// What another goroutine writes waits for the end of a splice, though there is room
// for it: what is in the splice comes first.
func TestRelayIsNotOvertaken(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		blocks, goOn := make(chan struct{}), make(chan struct{})
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { blocks <- struct{}{}; <-goOn; return len(p) }})
		a, b, ca, cb := r.Couple(s)
		other := rig.Client(t, s)
		rig.Relayed(t, a, b)
		block := func() { must.Send(t, other, []byte{1}); must.Take(t, "the loop is busy", blocks) }
		block()
		first := must.Pattern(8, 64<<10) // so much at a time that it is spliced
		must.Send(t, ca, first)
		goOn <- struct{}{}
		must.Read(t, cb, first)
		must.Eventually(t, "all is counted", func() bool { return b.Stats().BytesOut == int64(len(first)) && b.Stats().Pending == 0 })
		rig.OnLoop(t, a, func() {})
		block()
		second := make([]byte, 10_000)
		b.Write(second)
		if s := b.Stats(); s.Pending != len(second) || s.BytesOut != int64(len(first)) {
			t.Errorf("%d bytes wait, %d have gone", s.Pending, s.BytesOut)
		}
		goOn <- struct{}{}
		must.Read(t, cb, second)
	})
}

// Whether little arrives at a time or much, and whichever follows the other, nothing is lost, and nothing
// overtakes: neither of what is relayed, nor of what is written between.
func TestRelayTurns(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{})
		a, b, ca, cb := r.Couple(s)
		rig.Relayed(t, a, b)
		rig.Relayed(t, b, a)
		for i, size := range []int{64, 300_000, 1 << 10, 100, 20 << 10, 4 << 10, 200_000, 1} {
			p := must.Pattern(uint64(i), size)
			for n := range 40 {
				sent := push(ca, p, false)
				if n%8 == 0 {
					if _, err := a.Write(p); err != nil { // goes back to ca, before what is relayed
						t.Fatal(err)
					}
					must.Read(t, ca, p)
				}
				must.Read(t, cb, p)
				must.Send(t, cb, p[:min(size, 1<<10)])
				must.Read(t, ca, p[:min(size, 1<<10)])
				if err := must.Take(t, "sent", sent); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// PauseRead stops a relay at any moment, and ResumeRead has it go on: nothing is
// lost.
func TestRelayPauses(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{})
		a, b, ca, cb := r.Couple(s)
		rig.Relayed(t, a, b)
		want := must.Pattern(5, testenv.Scaled(16<<20))
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
		if err := must.Take(t, "sent", sent); err != nil {
			t.Error(err)
		}
		a.PauseRead()
		a.ResumeRead()
		r.Ends(proactor.ErrPeerClosed)
	})
}

// A relay that cannot be is refused, and changes nothing.
func TestRelayRefused(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend) // two loops, in turns
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		a, other, ca, _ := r.Couple(s)
		b, _, cb, _ := r.Couple(s)
		if err := a.Relay(other); err != proactor.ErrOtherLoop {
			t.Errorf("to another loop: %v", err)
		}
		rig.OnLoop(t, other, func() {
			if err := a.Relay(b); err != proactor.ErrOnLoop {
				t.Errorf("in a callback of another loop: %v", err)
			}
		})
		must.Ask(t, ca, "still here")
		rig.Relayed(t, a, b)
		rig.OnLoop(t, a, func() {
			for _, err := range []error{a.Relay(b), a.Relay(a), b.Relay(b)} {
				if err != proactor.ErrRelaying {
					t.Errorf("relayed already: %v", err)
				}
			}
		})
		must.Send(t, ca, []byte("on"))
		must.Read(t, cb, []byte("on"))
		a.Abort()
		r.Ends(proactor.ErrLocalClosed)
		if err := a.Relay(b); err != proactor.ErrClosed {
			t.Errorf("of what is closed: %v", err)
		}
		if err := b.Relay(a); err != proactor.ErrClosed {
			t.Errorf("to what is closed: %v", err)
		}
		must.Ask(t, cb, "free again")
		rig.Relayed(t, b, b)
		must.Ask(t, cb, "and relayed to itself")
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
			p := string(must.Pattern(uint64(i), 1<<(3*i)))
			c.Send(p)
			c.Expect(p)
		}
		c.CloseWrite()
		c.ExpectEnd()
	})
}
