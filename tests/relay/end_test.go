package relay_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// When a connection that is fed takes nothing more, the stream of the other ends
// with ErrRelayEnd. What a Close or CloseWrite found under way still arrives.
func TestRelayEnds(t *testing.T) {
	want := must.Pattern(6, 64<<20)
	for name, end := range map[string]func(b *proactor.Conn, cb *net.TCPConn){
		"Close":      func(b *proactor.Conn, _ *net.TCPConn) { b.Close() },
		"CloseWrite": func(b *proactor.Conn, _ *net.TCPConn) { b.CloseWrite() },
		"Abort":      func(b *proactor.Conn, _ *net.TCPConn) { b.Abort() },
		"reset":      func(_ *proactor.Conn, cb *net.TCPConn) { cb.SetLinger(0); cb.Close() },
	} {
		for _, under := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + " under way"}[under], func(t *testing.T) {
				rig.EachTogether(t, func(t *testing.T, backend string) {
					r := rig.New(t, backend, rig.OneLoop)
					why := make(chan error, 2)
					s := r.Serve(proactor.Handler{Ended: func(c *proactor.Conn, err error) { why <- err; c.Abort() }},
						rig.Limits(proactor.Limits{LingerTimeout: must.Lifetime})) // Ended does not wait for the end of b
					a, b, ca, cb := r.Couple(s)
					rig.Relayed(t, a, b)
					if under {
						push(ca, want, false)
						settled(t, 2*must.Short, func() int64 { return b.Stats().BytesOut })
					} else {
						must.Send(t, ca, want[:100])
						must.Read(t, cb, want[:100])
					}
					end(b, cb)
					if name != "reset" || under { // else it is b that tells
						if err := must.Take(t, "Ended", why); !errors.Is(err, proactor.ErrRelayEnd) {
							t.Errorf("Ended with %v", err)
						}
					}
					if under && (name == "Close" || name == "CloseWrite") {
						got, err := io.ReadAll(cb)
						// Where it copies, what is kept has no place to go any more.
						copied := backend != "uring" && backend != "epoll"
						if in := a.Stats().BytesIn; err != nil || int64(len(got)) != in && !copied || !bytes.Equal(got, want[:len(got)]) {
							t.Errorf("%d bytes of %d received arrive, %v", len(got), in, err)
						}
						if out := b.Stats().BytesOut; int64(len(got)) != out {
							t.Errorf("%d bytes arrive, %d went out", len(got), out)
						}
					}
				})
			})
		}
	}
}

// settled waits until a number has not moved for a time.
func settled(t *testing.T, quiet time.Duration, number func() int64) {
	t.Helper()
	last, since := int64(-1), time.Now()
	must.Eventually(t, "something to be under way, and to be stuck", func() bool {
		if n := number(); n != last {
			last, since = n, time.Now()
		}
		return last > 0 && time.Since(since) > quiet
	})
}

// A shutdown of the server does not lose what is under way.
func TestRelayShutdown(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		var a, b *proactor.Conn
		s := r.Serve(proactor.Handler{Ended: func(c *proactor.Conn, _ error) {
			if c == b {
				c.Close()
			}
		}})
		var ca, cb *net.TCPConn
		a, b, ca, cb = r.Couple(s)
		rig.Relayed(t, a, b)
		want := must.Pattern(7, 64<<20)
		push(ca, want, false)
		settled(t, 2*must.Short, func() int64 { return b.Stats().BytesOut })
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(must.Context(t)) }()
		got, err := io.ReadAll(cb)
		if err != nil || !bytes.Equal(got, want[:len(got)]) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		// Where it copies, what a shutdown finds kept is not delivered any more.
		if in := a.Stats().BytesIn; int64(len(got)) != in && (backend == "uring" || backend == "epoll" || int64(len(got)) > in) {
			t.Errorf("%d bytes of %d", len(got), in)
		}
		a.Close()
		cb.Close()
		ca.Close()
		if err := must.Take(t, "Shutdown", ended); err != nil {
			t.Error(err)
		}
	})
}

// A peer of which nothing was read, because the other one took nothing, has no timeout when that
// one ends, not even at the same moment.
func TestRelayEndsAtATimeout(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{Ended: func(c *proactor.Conn, _ error) { c.Abort() }}, smallBuffers)
		a, b, ca, cb := r.Couple(s)
		ca.SetWriteBuffer(small)
		cb.SetReadBuffer(small)
		rig.Relayed(t, a, b)
		push(ca, make([]byte, 64<<20), false)
		settled(t, 20*must.Short, func() int64 { return a.Stats().BytesIn + b.Stats().BytesOut })
		a.SetReadTimeout(must.Short)
		rig.OnEveryLoop(t, r.Engine)
		a.Post(func() {
			b.After(0, b.Abort)
			time.Sleep(2 * must.Short) // so that a's timeout is due in the round of b's end
		})
		for range 2 {
			e := must.Take(t, "Closed", r.Closed)
			if want := map[*proactor.Conn]error{a: proactor.ErrRelayEnd, b: proactor.ErrLocalClosed}[e.Conn]; !errors.Is(e.Cause, want) {
				t.Errorf("closed with %v, want %v", e.Cause, want)
			}
		}
	})
}

// The system's own buffers may grow until it drops what arrives: then a peer whose bytes are under
// way is silent for seconds.
const small = 64 << 10

var smallBuffers = rig.Limits(proactor.Limits{SendBuffer: small, ReceiveBuffer: small})

// The timeouts are of reading one side and writing to the other: a peer that
// takes nothing is the one that is too slow.
func TestRelayTimeouts(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{Ended: func(c *proactor.Conn, why error) {
			if !errors.Is(why, proactor.ErrRelayEnd) {
				t.Errorf("Ended with %v", why)
			}
			c.Abort()
		}}, smallBuffers)
		a, b, ca, cb := r.Couple(s)
		ca.SetWriteBuffer(small)
		cb.SetReadBuffer(small)
		rig.Relayed(t, a, b)
		push(ca, make([]byte, 64<<20), false)
		settled(t, 20*must.Short, func() int64 { return a.Stats().BytesIn + b.Stats().BytesOut })
		a.SetReadTimeout(2 * must.Short)
		b.SetWriteTimeout(8 * must.Short) // later than the other one would end it
		for range 2 {
			e := must.Take(t, "Closed", r.Closed)
			if want := map[*proactor.Conn]error{a: proactor.ErrRelayEnd, b: proactor.ErrWriteTimeout}[e.Conn]; !errors.Is(e.Cause, want) {
				t.Errorf("closed with %v, want %v", e.Cause, want)
			}
		}
	})
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{})
		a, b, ca, cb := r.Couple(s)
		rig.Relayed(t, a, b)
		must.Send(t, ca, []byte("x"))
		must.Read(t, cb, []byte("x"))
		a.SetReadTimeout(100 * time.Millisecond)
		must.ReadEnd(t, ca, nil)
		ca.Close()
		if c := r.Ends(proactor.ErrReadTimeout); c != a {
			t.Error("the wrong side had a timeout")
		}
	})
}
