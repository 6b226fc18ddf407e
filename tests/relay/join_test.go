package relay_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// pairHandler is that of connections that are joined: nothing is shown to it.
func pairHandler(t *testing.T) proactor.Handler {
	return proactor.Handler{
		Data:  func(_ *proactor.Conn, p []byte) int { t.Errorf("Data is shown %d bytes", len(p)); return len(p) },
		Ended: func(_ *proactor.Conn, why error) { t.Errorf("Ended with %v", why) },
	}
}

func joined(t *testing.T, a, b *proactor.Conn) {
	t.Helper()
	if err := proactor.Join(a, b); err != nil {
		t.Fatal(err)
	}
}

// What each of two peers sends comes to the other, then the end of its stream: at once, or
// when the other direction has ended long ago.
func TestJoin(t *testing.T) {
	for name, first := range map[string]bool{"both": false, "one after the other": true} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend, rig.OneLoop)
				a, b, ca, cb := r.Couple(r.Serve(pairHandler(t)))
				joined(t, a, b)
				there, back := must.Pattern(1, testenv.Scaled(8<<20)), must.Pattern(2, testenv.Scaled(4<<20))
				got := make(chan error, 1)
				go func() { got <- rig.ReadExactly(cb, there) }()
				sentA := push(ca, there, true)
				if first {
					if err := must.Take(t, "the first direction", got); err != nil {
						t.Fatal(err)
					}
				}
				sentB := push(cb, back, true)
				if err := rig.ReadExactly(ca, back); err != nil {
					t.Errorf("back: %v", err)
				}
				if !first {
					if err := must.Take(t, "the first direction", got); err != nil {
						t.Fatal(err)
					}
				}
				for _, done := range []<-chan error{sentA, sentB} {
					if err := must.Take(t, "a sender", done); err != nil {
						t.Error(err)
					}
				}
				r.Ends(proactor.ErrPeerClosed)
				r.Ends(proactor.ErrPeerClosed)
			})
		})
	}
}

// What came before Join, its FIN included, is relayed, and not shown.
func TestJoinPaused(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		h := pairHandler(t)
		h.Opened = func(c *proactor.Conn) { c.PauseRead() }
		a, b, ca, cb := r.Couple(r.Serve(h))
		want := must.Pattern(3, 10_000) // for which there is room while nobody reads
		must.Take(t, "the sender", push(ca, want, true))
		rig.OnLoop(t, a, func() {
			joined(t, a, b)
			a.ResumeRead()
			b.ResumeRead()
		})
		if err := rig.ReadExactly(cb, want); err != nil {
			t.Error(err)
		}
		cb.Close()
		must.ReadEnd(t, ca, nil)
		r.Ends(proactor.ErrPeerClosed)
		r.Ends(proactor.ErrPeerClosed)
	})
}

// However one of a pair ends otherwise than in order, the other is reset, and its cause
// tells why; also when the other's stream has ended before.
func TestJoinEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end   func(b *proactor.Conn, cb *net.TCPConn)
		cause error // of b
	}{
		"reset": {end: func(_ *proactor.Conn, cb *net.TCPConn) { cb.SetLinger(0); cb.Close() }, cause: port.ErrReset},
		"Abort": {end: func(b *proactor.Conn, _ *net.TCPConn) { b.Abort() }, cause: proactor.ErrLocalClosed},
		"Close": {end: func(b *proactor.Conn, _ *net.TCPConn) { b.Close() }, cause: proactor.ErrLocalClosed},
		"idle":  {cause: proactor.ErrIdle},
	} {
		for _, halfway := range []bool{false, true} {
			t.Run(map[bool]string{false: name, true: name + " after the other's FIN"}[halfway], func(t *testing.T) {
				rig.EachTogether(t, func(t *testing.T, backend string) {
					r := rig.New(t, backend, rig.OneLoop)
					limits := proactor.Limits{LingerTimeout: 100 * time.Millisecond} // neither peer closes
					a, b, ca, cb := r.Couple(r.Serve(pairHandler(t), rig.Limits(limits)))
					joined(t, a, b)
					must.Send(t, ca, []byte("there"))
					must.Read(t, cb, []byte("there"))
					if halfway {
						ca.CloseWrite()
						must.ReadEnd(t, cb, nil)
					}
					if tt.end != nil {
						tt.end(b, cb)
					} else {
						a.SetIdleTimeout(must.Short)
						b.SetIdleTimeout(must.Short)
					}
					for range 2 {
						e := must.Take(t, "Closed", r.Closed)
						var why *proactor.JoinError
						if tt.end == nil { // either may be idle first
							if !errors.Is(e.Cause, tt.cause) {
								t.Errorf("closed with %v", e.Cause)
							}
							continue
						}
						if told := errors.As(e.Cause, &why); told != (e.Conn == a) || !errors.Is(e.Cause, tt.cause) ||
							told && !errors.Is(e.Cause, proactor.ErrRelayEnd) {
							if porttest.OnWine && tt.cause == port.ErrReset && errors.Is(e.Cause, proactor.ErrPeerClosed) {
								continue // it tells a reset late as an end
							}
							t.Errorf("a is %v: closed with %v, want %v", e.Conn == a, e.Cause, tt.cause)
						}
					}
				})
			})
		}
	}
}

// Close of both in one callback sends what waits at either, and resets nobody.
func TestJoinCloseBoth(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		a, b, ca, cb := r.Couple(r.Serve(pairHandler(t)))
		joined(t, a, b)
		rig.OnLoop(t, a, func() {
			for _, c := range []*proactor.Conn{a, b} {
				c.Write([]byte("goodbye"))
				c.Close()
			}
		})
		for _, c := range []*net.TCPConn{ca, cb} {
			must.ReadEnd(t, c, []byte("goodbye"))
			c.Close()
		}
		r.Ends(proactor.ErrLocalClosed)
		r.Ends(proactor.ErrLocalClosed)
	})
}

// A pair that cannot be is not made by half.
func TestJoinErrors(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		told := make(chan error, 10)
		s := r.Serve(proactor.Handler{Data: rig.Echo, Ended: func(_ *proactor.Conn, why error) { told <- why }})
		a, b, ca, cb := r.Couple(s)
		c, d, cc, _ := r.Couple(s)
		refused := func(what string, got, want error) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		refused("itself", proactor.Join(a, a), proactor.ErrRelaying)
		rig.Relayed(t, c, d)
		refused("relayed", proactor.Join(a, c), proactor.ErrRelaying)
		refused("fed", proactor.Join(d, a), proactor.ErrRelaying)
		cb.CloseWrite()
		must.Take(t, "the FIN", told)
		refused("its stream has ended", proactor.Join(a, b), proactor.ErrClosed)
		other := rig.New(t, backend)
		rig.Client(t, other.Serve(proactor.Handler{}))
		refused("another engine", proactor.Join(a, other.Accepted()), proactor.ErrOtherLoop)
		must.Send(t, ca, []byte("it echoes still"))
		must.Read(t, ca, []byte("it echoes still"))
		cc.Close()
	})
}
