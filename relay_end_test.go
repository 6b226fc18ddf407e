package proactor_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
)

// When a connection that is fed takes nothing more, the stream of the other ends
// with ErrRelayEnd. What a Close or CloseWrite found under way still arrives.
func TestRelayEnds(t *testing.T) {
	for name, end := range map[string]func(b *proactor.Conn, cb *net.TCPConn){
		"Close":      func(b *proactor.Conn, _ *net.TCPConn) { b.Close() },
		"CloseWrite": func(b *proactor.Conn, _ *net.TCPConn) { b.CloseWrite() },
		"Abort":      func(b *proactor.Conn, _ *net.TCPConn) { b.Abort() },
		"reset":      func(_ *proactor.Conn, cb *net.TCPConn) { cb.SetLinger(0); cb.Close() },
	} {
		for _, under := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + " under way"}[under], func(t *testing.T) {
				eachBackend(t, func(t *testing.T, backend string) {
					r := newRig(t, backend, oneLoop)
					why := make(chan error, 2)
					s := r.serve(proactor.Handler{Ended: func(c *proactor.Conn, err error) { why <- err; c.Abort() }})
					a, b, ca, cb := r.couple(s)
					relayed(t, a, b)
					want := pattern(6, 64<<20)
					if under {
						push(ca, want, false)
						settled(t, func() int64 { return b.Stats().BytesOut })
					} else {
						send(t, ca, want[:100])
						expect(t, cb, want[:100])
					}
					end(b, cb)
					if name != "reset" || under { // else it is b that tells
						if err := take(t, "Ended", why); !errors.Is(err, proactor.ErrRelayEnd) {
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

// settled waits until a number moves no more.
func settled(t *testing.T, number func() int64) {
	t.Helper()
	last, since := int64(-1), time.Now()
	eventually(t, "something to be under way, and to be stuck", func() bool {
		if n := number(); n != last {
			last, since = n, time.Now()
		}
		return last > 0 && time.Since(since) > 100*time.Millisecond
	})
}

// A shutdown of the server does not lose what is under way.
func TestRelayShutdown(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, oneLoop)
		var a, b *proactor.Conn
		s := r.serve(proactor.Handler{Ended: func(c *proactor.Conn, _ error) {
			if c == b {
				c.Close()
			}
		}})
		var ca, cb *net.TCPConn
		a, b, ca, cb = r.couple(s)
		relayed(t, a, b)
		want := pattern(7, 64<<20)
		push(ca, want, false)
		settled(t, func() int64 { return b.Stats().BytesOut })
		ended := make(chan error, 1)
		go func() { ended <- s.Shutdown(bounded(t)) }()
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
		if err := take(t, "Shutdown", ended); err != nil {
			t.Error(err)
		}
	})
}

// The timeouts are of reading one side and writing to the other: a peer that
// takes nothing is the one that is too slow.
func TestRelayTimeouts(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, oneLoop)
		s := r.serve(proactor.Handler{Ended: func(c *proactor.Conn, why error) {
			if !errors.Is(why, proactor.ErrRelayEnd) {
				t.Errorf("Ended with %v", why)
			}
			c.Abort()
		}}, limits(proactor.Limits{WriteTimeout: 500 * time.Millisecond}))
		a, b, ca, _ := r.couple(s)
		relayed(t, a, b)
		push(ca, make([]byte, 64<<20), false)
		eventually(t, "bytes on their way", func() bool { return b.Stats().BytesOut > 0 })
		a.SetReadTimeout(400 * time.Millisecond)
		for range 2 {
			e := take(t, "Closed", r.closed)
			if want := map[*proactor.Conn]error{a: proactor.ErrRelayEnd, b: proactor.ErrWriteTimeout}[e.c]; !errors.Is(e.cause, want) {
				t.Errorf("closed with %v, want %v", e.cause, want)
			}
		}
	})
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend, oneLoop)
		s := r.serve(proactor.Handler{})
		a, b, ca, cb := r.couple(s)
		relayed(t, a, b)
		send(t, ca, []byte("x"))
		expect(t, cb, []byte("x"))
		a.SetReadTimeout(100 * time.Millisecond)
		expectEnd(t, ca, nil)
		ca.Close()
		if c := r.ends(proactor.ErrReadTimeout); c != a {
			t.Error("the wrong side had a timeout")
		}
	})
}
