package layer_test

import (
	"bytes"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// pads is a layer on whose wire every plain byte has ten: itself and nine dots, and any number
// of dots more. It is ready when told to be.
type pads struct {
	ready func(*proactor.Wire)
	buf   []byte
}

const dots = "........."

func padded(p string) string {
	var b strings.Builder
	for i := range len(p) {
		b.WriteByte(p[i])
		b.WriteString(dots)
	}
	return b.String()
}

func (l *pads) Begin(w *proactor.Wire) { l.ready(w) }

func (l *pads) Receive(wire []byte, fin bool) (plain, reply []byte, err error) {
	l.buf = l.buf[:0]
	for _, b := range wire {
		if b != '.' {
			l.buf = append(l.buf, b)
		}
	}
	return l.buf, bytes.Repeat([]byte("r"), bytes.Count(wire, []byte("R"))*1000), nil
}

func (l *pads) Send(plain []byte) ([]byte, error) { return []byte(padded(string(plain))), nil }
func (l *pads) CloseWrite() []byte                { return nil }
func (l *pads) End()                              {}

func atOnce(w *proactor.Wire) { w.Ready(nil) }

func padding(ready func(*proactor.Wire)) func(*proactor.Server) {
	return func(s *proactor.Server) {
		s.Layer = func() proactor.Layer { return &pads{ready: ready} }
	}
}

// MaxMessage counts plain bytes.
func TestLayerMaxMessage(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(rig.Lines(), padding(atOnce), rig.Limits(proactor.Limits{MaxMessage: 100, LingerTimeout: -1}))
		c := rig.Client(t, s)
		line := strings.Repeat("x", 90)
		must.Send(t, c, []byte(padded(line))) // without its end: all of it is kept
		must.Send(t, c, []byte(padded("\n")))
		must.Read(t, c, []byte(padded("0:"+line+"\n")))
		must.Send(t, c, []byte(padded(line+line)))
		r.Ends(proactor.ErrTooLong)
	})
}

// The marks count bytes on the wire, but for what a callback writes: that is gathered, and plain,
// until it reaches the high mark or the callback is over. Drained is called when they have gone.
func TestLayerMarks(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		drained := make(chan bool, 1)
		s := r.Serve(proactor.Handler{
			Opened: func(c *proactor.Conn) {
				for _, step := range []struct {
					plain    int
					writable bool
					pending  int
				}{{90, true, 90}, {10, true, 100}, {900, false, 10000}} {
					c.Write(bytes.Repeat([]byte("x"), step.plain))
					if ok, n := c.Writable(), c.Stats().Pending; ok != step.writable || n != step.pending {
						t.Errorf("writable %v with %d bytes, want %v with %d", ok, n, step.writable, step.pending)
					}
				}
			},
			Drained: func(*proactor.Conn) { drained <- true },
		}, padding(atOnce), rig.Limits(proactor.Limits{HighWater: 1000, LowWater: 10}))
		c := rig.Client(t, s)
		must.Read(t, c, []byte(padded(strings.Repeat("x", 1000))))
		must.Take(t, "Drained", drained)
	})
}

// A peer that makes the layer reply, and does not read the replies, is bounded as any that does
// not read, whatever the policy.
func TestLayerReplies(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{}, padding(atOnce), rig.Limits(proactor.Limits{
			MaxPending: 64 << 10, HighWater: 32 << 10, Overflow: proactor.CloseSlow, SendBuffer: 4 << 10,
		}))
		c := rig.Client(t, s)
		go io.Copy(c, neverEnding('R')) // until it is reset
		r.Ends(proactor.ErrBacklog)
	})
}

// neverEnding is a reader of one byte, again and again.
type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// FirstByteTimeout is for the first plain byte: dots do not put it off, neither before the
// layer is ready, where it begins anew, nor after. A peer with one plain byte has all time.
func TestLayerFirstByte(t *testing.T) {
	for _, tt := range []struct {
		what  string
		ready func(*proactor.Wire)
		first string
		fin   bool
		least time.Duration
		ends  bool
	}{
		{what: "ready at once", ready: atOnce, least: 10 * time.Second, ends: true},
		{what: "never ready", ready: func(*proactor.Wire) {}, least: 10 * time.Second, ends: true},
		{what: "never ready, and a plain byte", ready: func(*proactor.Wire) {}, first: "x", least: 10 * time.Second, ends: true},
		{what: "never ready, and a FIN", ready: func(*proactor.Wire) {}, fin: true, least: 10 * time.Second, ends: true},
		{what: "ready after 6 s", ready: later(6 * time.Second), least: 16 * time.Second, ends: true},
		{what: "a plain byte", ready: atOnce, first: "x"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			proactortest.Config{Seeds: 10}.Run(t, func(e *proactortest.Env) {
				s := e.Serve(&proactor.Server{
					Handler: proactor.Handler{},
					Limits:  proactor.Limits{FirstByteTimeout: 10 * time.Second, LingerTimeout: -1},
					Layer:   func() proactor.Layer { return &pads{ready: tt.ready} },
				})
				begun := time.Now()
				c := e.Dial(s)
				if tt.first != "" {
					c.Send(tt.first)
				}
				if tt.fin {
					c.CloseWrite()
				}
				for range 25 {
					if !tt.fin {
						c.Write([]byte(dots)) // fails when it is closed
					}
					e.Sleep(time.Second)
					if s.Conns() == 0 {
						break
					}
				}
				took, ended := time.Since(begun), s.Conns() == 0
				if ended != tt.ends || ended && (took < tt.least || took > tt.least+3*time.Second) {
					e.Errorf("ended: %v, after %v", ended, took)
				}
				if n := e.Engine.Stats().Limited.FirstByte; n > 0 != tt.ends {
					e.Errorf("the limit has ended %d", n)
				}
			})
		})
	}
}

func later(d time.Duration) func(*proactor.Wire) {
	return func(w *proactor.Wire) { w.Conn().After(d, func() { w.Ready(nil) }) }
}

// MinRate counts plain bytes: dots do not make a message faster, nor do they make one slower
// that has enough.
func TestLayerMinRate(t *testing.T) {
	for piece, ends := range map[string]bool{padded("x") + strings.Repeat(".", 2000): true, padded(strings.Repeat("x", 300)): false} {
		proactortest.Config{Seeds: 10}.Run(t, func(e *proactortest.Env) {
			s := e.Serve(&proactor.Server{
				Handler: rig.Lines(),
				Limits:  proactor.Limits{MinRate: 100, RateWindow: 5 * time.Second, LingerTimeout: -1},
				Layer:   func() proactor.Layer { return &pads{ready: atOnce} },
			})
			c := e.Dial(s)
			for range 20 {
				c.Write([]byte(piece))
				e.Sleep(time.Second)
			}
			if n := e.Engine.Stats().Limited.Slow; n > 0 != ends {
				e.Errorf("%d were too slow", n)
			}
		})
	}
}

// What a peer sends before the layer is ready is bounded, and is shown when it is.
func TestLayerMost(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		begun := make(chan *proactor.Wire, 1)
		var shown atomic.Int64
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			shown.Add(int64(len(p)))
			return len(p)
		}}, padding(func(w *proactor.Wire) { begun <- w }))
		c := rig.Client(t, s)
		w := must.Take(t, "Begin", begun)
		const all = 16 << 20
		sent := make(chan error, 1)
		go func() {
			_, err := io.Copy(c, io.LimitReader(neverEnding('x'), all))
			sent <- err
		}()
		must.Eventually(t, "enough", func() bool { return w.Conn().Stats().BytesIn >= proactor.LayerMost })
		for range 50 {
			rig.OnEveryLoop(t, r.Engine)
		}
		if n := w.Conn().Stats().BytesIn; n > 4*proactor.LayerMost { // a loop that was late has more at once
			t.Errorf("%d bytes were read before the layer was ready", n)
		}
		w.Ready(nil)
		if err := must.Take(t, "all sent", sent); err != nil {
			t.Fatal(err)
		}
		must.Eventually(t, "all shown", func() bool { return shown.Load() == all })
		w.Ready(io.ErrUnexpectedEOF) // only the first counts
		c.CloseWrite()
		r.Ends(proactor.ErrPeerClosed)
	})
}
