package layer_test

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// masks is a small layer: it changes every byte, greets on the wire, says a word before our
// FIN, and knows one for the peer's.
type masks struct {
	later   time.Duration       // after which it is ready
	begun   chan *proactor.Wire // gets the wire, of which the test says when it is ready
	trouble map[string]func()   // what its methods do first
	ends    *atomic.Int64
	buf     []byte
}

const mask, endMark = 0x20, '$'

func (m *masks) act(method string) {
	if f := m.trouble[method]; f != nil {
		f()
	}
}

func (m *masks) Begin(w *proactor.Wire) {
	m.act("Begin")
	w.Send([]byte("hello:"))
	switch {
	case m.begun != nil:
		m.begun <- w
	case m.later == 0:
		w.Ready(nil)
	default:
		w.Conn().After(m.later, func() { w.Ready(nil) })
	}
}

func (m *masks) Receive(wire []byte, fin bool) (plain, reply []byte, err error) {
	if len(wire) > 0 {
		m.act("Receive")
	}
	m.buf = m.buf[:0]
	for _, b := range wire {
		switch b {
		case endMark:
			return m.buf, nil, io.EOF
		case '!':
			return m.buf, []byte("?"), errMasked
		}
		m.buf = append(m.buf, b^mask)
	}
	return m.buf, nil, nil
}

func (m *masks) Send(plain []byte) ([]byte, error) {
	m.act("Send")
	return masked(plain), nil
}

func (m *masks) CloseWrite() []byte {
	m.act("CloseWrite")
	return []byte{endMark}
}

func (m *masks) End() {
	m.ends.Add(1)
	m.act("End")
}

// masked is p as the layer puts it on the wire.
func masked(p []byte) []byte {
	wire := make([]byte, len(p))
	for i, b := range p {
		wire[i] = b ^ mask
	}
	return wire
}

var errMasked = errors.New("a byte that cannot be")

// shift answers letters with their neighbours: the next for those that are large, the one
// before for the others. So an answer tells which sort the handler saw.
func shift(c *proactor.Conn, p []byte) int {
	for i, b := range p {
		if b&mask == 0 {
			p[i] = b + 1
		} else {
			p[i] = b - 1
		}
	}
	c.Write(p)
	return len(p)
}

// On any network, what is said in the words of the layer is answered so, also where it
// arrives before the layer is ready, and every layer is ended.
func TestLayerSimulated(t *testing.T) {
	for _, later := range []time.Duration{0, time.Second} {
		proactortest.Config{Seeds: 50}.Run(t, func(e *proactortest.Env) {
			ends := new(atomic.Int64)
			s := e.Serve(&proactor.Server{
				Handler: proactor.Handler{Data: shift},
				Layer:   func() proactor.Layer { return &masks{later: later, ends: ends} },
			})
			for _, last := range []string{"", "$"} { // a FIN, and the layer's own before it
				c := e.Dial(s)
				c.Send("abcDEF" + last)
				c.CloseWrite()
				c.Expect("hello:bcdCDE$")
				c.ExpectEnd()
			}
			for s.Conns() > 0 {
				e.Sleep(proactortest.Patience / 1000)
			}
			if n := ends.Load(); n != 2 {
				e.Errorf("%d layers of 2 were ended", n)
			}
		})
	}
}

// An error of the layer ends the stream, with that as the cause, when all before it was
// delivered, and the layer is ended.
func TestLayerErrors(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		ends := new(atomic.Int64)
		s := r.Serve(proactor.Handler{Data: shift}, func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return &masks{ends: ends} }
		})
		c := rig.Client(t, s)
		must.Send(t, c, []byte("abc!abc"))
		must.ReadEnd(t, c, []byte("hello:?bcd$"))
		c.CloseWrite()
		r.Ends(errMasked)
		must.Eventually(t, "End", func() bool { return ends.Load() == 1 })
	})
}

// What was delivered before an error of the layer is not lost to a handler that has paused: it
// is told of the error after that.
func TestLayerErrorAfterPause(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		told := make(chan string, 10)
		s := r.Serve(proactor.Handler{
			Data: func(c *proactor.Conn, p []byte) int {
				n := len(p)
				if p[0] == 'A' {
					c.PauseRead()
					n = 1
				}
				told <- string(p)
				return n
			},
			Ended: func(c *proactor.Conn, why error) { told <- why.Error(); c.Close() },
		}, func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return &masks{ends: new(atomic.Int64)} }
		})
		c := rig.Client(t, s)
		must.Send(t, c, []byte("abc!"))
		must.Read(t, c, []byte("hello:?"))
		if got := must.Take(t, "Data", told); got != "ABC" {
			t.Fatalf("told %q", got)
		}
		conn := r.Accepted()
		rig.Returned(t, conn)
		conn.ResumeRead()
		for _, want := range []string{"BC", errMasked.Error()} {
			if got := must.Take(t, "Data", told); got != want {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		c.CloseWrite()
		r.Ends(errMasked)
	})
}

// Where a layer stands, on either side, a relay copies: what one side says in the words of
// its layer arrives in those of the other.
func TestLayerRelayed(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, layers := range [][2]bool{{true, true}, {true, false}, {false, true}} {
			r := rig.New(t, backend, rig.OneLoop)
			said := make([]byte, 1<<20)
			for i := range said {
				said[i] = 'a' + byte(i%7)
			}
			var conns [2]*proactor.Conn
			var clients [2]net.Conn
			for i, has := range layers {
				s := r.Serve(proactor.Handler{}, func(s *proactor.Server) {
					if has {
						s.Layer = func() proactor.Layer { return &masks{ends: new(atomic.Int64)} }
					}
				})
				clients[i] = rig.Client(t, s)
				conns[i] = r.Accepted()
				if has {
					must.Read(t, clients[i], []byte("hello:"))
				}
			}
			rig.Relayed(t, conns[0], conns[1])
			want := said
			if layers[0] != layers[1] {
				want = masked(said)
			}
			go clients[0].Write(said)
			must.Read(t, clients[1], want)
		}
	})
}

// Join passes the end of a stream on in the words of the other one's layer.
func TestLayerJoined(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{}, func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return &masks{ends: new(atomic.Int64)} }
		})
		a, b, ca, cb := r.Couple(s)
		for _, c := range []net.Conn{ca, cb} {
			must.Read(t, c, []byte("hello:"))
		}
		if err := proactor.Join(a, b); err != nil {
			t.Fatal(err)
		}
		must.Send(t, ca, []byte("abc$"))
		must.ReadEnd(t, cb, []byte("abc$"))
		must.Send(t, cb, []byte("xyz$"))
		must.ReadEnd(t, ca, []byte("xyz$"))
		for range 2 {
			r.Ends(proactor.ErrPeerClosed)
		}
	})
}

// Reads that were paused before the layer is ready go on for the layer.
func TestLayerPausedBeforeReady(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		begun := make(chan *proactor.Wire, 1)
		s := r.Serve(proactor.Handler{Data: shift}, func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return &masks{begun: begun, ends: new(atomic.Int64)} }
		})
		c := rig.Client(t, s)
		w := must.Take(t, "Begin", begun)
		conn := w.Conn()
		rig.OnLoop(t, conn, conn.PauseRead)
		must.Send(t, c, []byte("abc"))
		rig.OnLoop(t, conn, conn.ResumeRead)
		must.Eventually(t, "bytes", func() bool { return conn.Stats().BytesIn == 3 })
		w.Ready(nil)
		must.Read(t, c, []byte("hello:bcd"))
		c.CloseWrite()
		r.Ends(proactor.ErrPeerClosed)
	})
}

// An error that the layer finds before it is ready closes the connection, and the handler does
// not hear of it; one that comes when it has called Ready is told after Opened and the bytes.
func TestLayerErrorBeforeReady(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, called := range []bool{false, true} {
			r := rig.New(t, backend)
			ends := new(atomic.Int64)
			s := r.Serve(proactor.Handler{Data: shift}, func(s *proactor.Server) {
				s.Layer = func() proactor.Layer {
					m := &masks{begun: make(chan *proactor.Wire, 1), ends: ends}
					m.trouble = map[string]func(){"Receive": func() {
						if called {
							(<-m.begun).Ready(nil) // a task of the loop, which is in Receive
						}
					}}
					return m
				}
			})
			c := rig.Client(t, s)
			must.Send(t, c, []byte("abc!"))
			want := "hello:?"
			if called {
				want = "hello:?bcd$"
			}
			must.ReadEnd(t, c, []byte(want))
			c.CloseWrite()
			if called {
				r.Accepted()
				r.Ends(errMasked)
			}
			must.Eventually(t, "End", func() bool { return ends.Load() == 1 })
			if n := len(r.Opened); n != 0 {
				t.Errorf("%d more were opened", n)
			}
		}
	})
}

// A handler that closes the connection when it is shown the last bytes before the layer's own end
// has the peer's FIN awaited: the layer's end is none.
func TestLayerEndAfterClose(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			n := shift(c, p)
			c.Close()
			return n
		}}, rig.Limits(proactor.Limits{LingerTimeout: must.Lifetime}), func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return &masks{ends: new(atomic.Int64)} }
		})
		c := rig.Client(t, s)
		rig.Returned(t, r.Accepted()) // what is kept until then is shown with its end
		must.Send(t, c, []byte("abc$"))
		must.ReadEnd(t, c, []byte("hello:bcd$"))
		for range 10 {
			rig.OnEveryLoop(t, r.Engine)
		}
		if n := len(r.Closed); n != 0 {
			t.Error("the socket is closed, and the peer has sent no FIN")
		}
		c.CloseWrite()
		r.Ends(proactor.ErrLocalClosed)
	})
}

// A connection with a layer of the user's stays: what the layer knows would be lost.
func TestDetachWithLayer(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: shift}, func(s *proactor.Server) {
			s.Layer = func() proactor.Layer { return &masks{ends: new(atomic.Int64)} }
		})
		client := rig.Client(t, s)
		c := r.Accepted()
		if err := c.Detach(func(net.Conn, []byte, error) { t.Error("done was called") }); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Detach: %v", err)
		}
		must.Send(t, client, []byte("abc"))
		must.Read(t, client, []byte("hello:bcd"))
	})
}
