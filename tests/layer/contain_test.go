package layer_test

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
	"github.com/proactor-go/proactor/tests/rig"
)

var errPlanted = errors.New("planted")

// ways are the ways in which a method does not return.
var ways = map[string]struct {
	leave func()
	cause error
}{
	"panic":  {func() { panic(errPlanted) }, errPlanted},
	"Goexit": {runtime.Goexit, proactor.ErrGoexit},
}

// A method of a layer that does not return ends its connection, with a PanicError as the cause.
// It leaves no lock held, no buffer out, and the loop serves others.
func TestLayerDoesNotReturn(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for way, w := range ways {
			for _, tt := range []struct {
				method string
				opened bool // the handler hears of the connection
			}{
				{"Make", false}, {"Begin", false}, {"Receive", true}, {"Send", true}, {"CloseWrite", true}, {"End", true},
			} {
				t.Run(tt.method+" "+way, func(t *testing.T) {
					r := rig.New(t, backend, rig.OneLoop)
					ends := new(atomic.Int64)
					var bad atomic.Bool
					bad.Store(true)
					s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
						n := shift(c, p)
						c.CloseWrite()
						return n
					}}, func(s *proactor.Server) {
						s.Layer = func() proactor.Layer {
							m := &masks{ends: ends}
							if bad.Swap(false) {
								m.trouble = map[string]func(){tt.method: w.leave}
							}
							m.act("Make")
							return m
						}
					})
					cause := w.cause
					if c, err := net.Dial("tcp", s.ListenAddr().String()); err == nil { // else it was reset at once
						defer c.Close()
						c.Write([]byte("abc"))
						go func() {
							io.Copy(io.Discard, c)
							c.(*net.TCPConn).CloseWrite()
						}()
					}
					if tt.opened {
						r.Accepted()
						if tt.method == "End" {
							cause = proactor.ErrPeerClosed
						}
						conn := r.Ends(cause)
						must.Within(t, "its lock", func() error { conn.Stats(); return nil })
						if _, err := conn.Write([]byte("x")); !errors.Is(err, proactor.ErrClosed) {
							t.Errorf("a Write after the end: %v", err)
						}
					}
					must.Eventually(t, "gone", func() bool { return r.Engine.Stats().Closed == 1 && s.Conns() == 0 })
					want := int64(1)
					if tt.method == "Make" {
						want = 0
					}
					if n := ends.Load(); n != want {
						t.Errorf("ended %d times, want %d", n, want)
					}
					r.Panics = 1

					other := rig.Client(t, s)
					must.Send(t, other, []byte("abc"))
					must.ReadEnd(t, other, []byte("hello:bcd$"))
					other.CloseWrite()
					r.Accepted()
					r.Ends(proactor.ErrPeerClosed)
				})
			}
		}
	})
}

// The same where another goroutine writes.
func TestLayerDoesNotReturnElsewhere(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for way, w := range ways {
			r := rig.New(t, backend)
			r.Panics = 1
			s := r.Serve(proactor.Handler{}, func(s *proactor.Server) {
				s.Layer = func() proactor.Layer {
					return &masks{ends: new(atomic.Int64), trouble: map[string]func(){"Send": w.leave}}
				}
			})
			rig.Client(t, s)
			conn := r.Accepted()
			rig.Returned(t, conn) // in Opened, the Write would only be gathered
			over := make(chan bool, 1)
			go func() {
				returned := false
				defer func() { over <- returned }()
				conn.Writev([]byte("ab"), []byte("c"))
				returned = true
			}()
			if returned := must.Take(t, "the end of the Write", over); returned != (way == "panic") {
				t.Errorf("%s: the Write returned: %v", way, returned)
			}
			if way == "panic" {
				r.Panics = r.Engine.Stats().Panics // one for each piece
			}
			r.Ends(w.cause)
			conn.Stats()
		}
	})
}

// A relay to a connection whose layer does not return ends; the relay's source lives on
// and is told.
func TestLayerDoesNotReturnInRelay(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for way, w := range ways {
			r := rig.New(t, backend, rig.OneLoop)
			r.Panics = 1
			from := r.Serve(proactor.Handler{Ended: func(c *proactor.Conn, why error) {
				c.Write([]byte(why.Error()))
				c.Close()
			}})
			to := r.Serve(proactor.Handler{}, func(s *proactor.Server) {
				s.Layer = func() proactor.Layer {
					return &masks{ends: new(atomic.Int64), trouble: map[string]func(){"Send": w.leave}}
				}
			})
			ca := rig.Client(t, from)
			a := r.Accepted()
			rig.Client(t, to)
			b := r.Accepted()
			rig.Relayed(t, a, b)
			must.Send(t, ca, []byte("abc"))
			must.ReadEnd(t, net.Conn(ca), []byte(proactor.ErrRelayEnd.Error()))
			ca.CloseWrite()
			causes := map[*proactor.Conn]error{}
			for range 2 {
				e := must.Take(t, "Closed", r.Closed)
				causes[e.Conn] = e.Cause
			}
			if !errors.Is(causes[b], w.cause) || !errors.Is(causes[a], proactor.ErrRelayEnd) {
				t.Errorf("%s: closed with %v and %v", way, causes[a], causes[b])
			}
		}
	})
}

// A layer that ends a Close in the middle is reset, also where more bytes arrive before.
func TestLayerDoesNotReturnInClose(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for way, w := range ways {
			r := rig.New(t, backend, rig.OneLoop, func(cfg *proactor.Config) { cfg.BufferSize = 100 })
			r.Panics = 1
			s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { c.Close(); return len(p) }}, func(s *proactor.Server) {
				s.Layer = func() proactor.Layer {
					return &masks{ends: new(atomic.Int64), trouble: map[string]func(){"CloseWrite": w.leave}}
				}
			})
			c := rig.Client(t, s)
			conn := r.Accepted()
			busy, goOn := make(chan bool), make(chan bool)
			conn.Post(func() { close(busy); <-goOn })
			must.Take(t, "the loop is busy", busy)
			must.Send(t, c, bytes.Repeat([]byte("x"), 10_000)) // many runs of bytes at once
			close(goOn)
			if e := must.Take(t, "Closed", r.Closed); !errors.Is(e.Cause, w.cause) && !errors.Is(e.Cause, proactor.ErrLocalClosed) {
				t.Errorf("%s: closed with %v", way, e.Cause)
			}
		}
	})
}

// A broadcast reaches the others where the layer of one connection does not return.
func TestLayerDoesNotReturnInBroadcast(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for way, w := range ways {
			r := rig.New(t, backend)
			r.Panics = 2
			var bad atomic.Bool
			s := r.Serve(proactor.Handler{}, func(s *proactor.Server) {
				s.Layer = func() proactor.Layer {
					m := &masks{ends: new(atomic.Int64)}
					if bad.Load() {
						m.trouble = map[string]func(){"Send": w.leave}
					}
					return m
				}
			})
			var reg proactor.Registry[int]
			var good []net.Conn
			for i := range 5 {
				bad.Store(i == 0 || i == 2)
				c := rig.Client(t, s)
				if !bad.Load() {
					good = append(good, c)
				}
				conn := r.Accepted()
				rig.Returned(t, conn)
				reg.Add(i, conn)
			}
			over := make(chan int, 1)
			go func() {
				took := -1
				defer func() { over <- took }()
				took, _ = reg.Broadcast([]byte("abc"))
			}()
			if took := must.Take(t, "the end of the broadcast", over); (took < 0) != (way == "Goexit") {
				t.Errorf("%s: %d took it", way, took)
			}
			for _, c := range good {
				must.Read(t, c, []byte("hello:ABC"))
			}
			for range 2 {
				r.Ends(w.cause)
			}
			if reg.Len() != 5 { // its lock is free
				t.Errorf("%d members", reg.Len())
			}
		}
	})
}
