package netconn_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// A connection goes from a goroutine to a handler and back to a goroutine, in the middle of the
// stream: bytes that were read ahead, that nobody has read and that arrive later keep their order.
// The FIN is told on both sides, also where it had come before.
func TestAttachAndHijack(t *testing.T) {
	for name, early := range map[string]bool{"FINLater": false, "FINBefore": true} {
		t.Run(name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				c, peer := pair(t, r.Engine, proactor.Limits{})
				all := "headone\ntwo\nthree\nback\ntail"
				must.Send(t, peer, []byte(all))
				if early {
					peer.CloseWrite()
				}
				must.Read(t, c, []byte("head"))
				ahead := make([]byte, 2)
				if _, err := io.ReadFull(c, ahead); err != nil {
					t.Fatal(err)
				}
				lines, hijacked := make(chan string, 10), make(chan *netconn.Conn, 1)
				opened := make(chan *proactor.Conn, 1)
				h := proactor.Handler{
					Opened:   func(pc *proactor.Conn) { opened <- pc },
					NewSplit: func() bufio.SplitFunc { return bufio.ScanLines },
					Message: func(pc *proactor.Conn, msg []byte) {
						if string(msg) != "back" {
							lines <- string(msg)
							return
						}
						again, err := netconn.Hijack(pc)
						if err != nil {
							t.Error(err)
						}
						hijacked <- again
					},
				}
				pc, err := c.Attach(&h, ahead)
				if err != nil {
					t.Fatal(err)
				}
				if got := must.Take(t, "Opened", opened); got != pc {
					t.Error("Opened is of another connection")
				}
				_, err = c.Read(make([]byte, 1))
				wants(t, "Read after Attach", err, net.ErrClosed)
				for _, want := range []string{"one", "two", "three"} {
					if got := must.Take(t, want, lines); got != want {
						t.Errorf("%q, want %q", got, want)
					}
				}
				back := must.Take(t, "Hijack", hijacked)
				back.SetDeadline(time.Now().Add(must.Lifetime))
				if !early {
					peer.CloseWrite()
				}
				must.ReadEnd(t, back, []byte("tail"))
				if _, err := back.Write([]byte("bye")); err != nil {
					t.Error(err)
				}
				back.Close()
				must.ReadEnd(t, peer, []byte("bye"))
			})
		})
	}
}

// A connection that is taken over when its peer has closed has the end of the stream to read, and
// can still write.
func TestHijackAtTheEnd(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		c, peer := pair(t, r.Engine, proactor.Limits{})
		hijacked := make(chan *netconn.Conn, 1)
		_, err := c.Attach(&proactor.Handler{Ended: func(pc *proactor.Conn, _ error) {
			again, err := netconn.Hijack(pc)
			if err != nil {
				t.Error(err)
			}
			hijacked <- again
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		peer.CloseWrite()
		c = must.Take(t, "Hijack", hijacked)
		c.SetDeadline(time.Now().Add(must.Patience))
		must.ReadEnd(t, c, nil)
		must.Send(t, c, []byte("bye"))
		c.Close()
		must.ReadEnd(t, peer, []byte("bye"))
	})
}

// A connection that its handler had paused, and that is taken over later, is read.
func TestHijackPaused(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		c, peer := pair(t, r.Engine, proactor.Limits{})
		pc, err := c.Attach(&proactor.Handler{Opened: (*proactor.Conn).PauseRead}, nil)
		if err != nil {
			t.Fatal(err)
		}
		must.Send(t, peer, []byte("hello"))
		c = hijack(t, pc)
		must.Read(t, c, []byte("hello"))
		c.Close()
	})
}

// Of a connection whose stream has been cut nothing more can be read, and that is told.
func TestHijackAfterCut(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		c, peer := pair(t, r.Engine, proactor.Limits{MaxMessage: 4})
		cut := make(chan error, 1)
		pc, err := c.Attach(&proactor.Handler{
			Data:  func(*proactor.Conn, []byte) int { return 0 },
			Ended: func(_ *proactor.Conn, why error) { cut <- why },
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		must.Send(t, peer, []byte("too long"))
		if why := must.Take(t, "Ended", cut); !errors.Is(why, proactor.ErrTooLong) {
			t.Errorf("Ended with %v", why)
		}
		c = hijack(t, pc)
		_, err = c.Read(make([]byte, 1))
		wants(t, "Read", err, net.ErrClosed)
		must.Send(t, c, []byte("sorry"))
		must.Read(t, peer, []byte("sorry"))
		c.Close()
	})
}

// hijack takes a connection over in a callback of its own.
func hijack(t *testing.T, pc *proactor.Conn) *netconn.Conn {
	t.Helper()
	got := make(chan *netconn.Conn, 1)
	err := pc.Post(func() {
		c, err := netconn.Hijack(pc)
		if err != nil {
			t.Error(err)
		}
		got <- c
	})
	if err != nil {
		t.Fatal(err)
	}
	c := must.Take(t, "Hijack", got)
	c.SetDeadline(time.Now().Add(must.Patience))
	return c
}

// A connection whose reader had been behind, so that it was not read, goes on as a handler's.
func TestAttachWhileStopped(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		c, peer := pair(t, r.Engine, proactor.Limits{})
		sent := must.Pattern(3, 8<<20)
		go func() { peer.Write(sent); peer.CloseWrite() }()
		settle(t, func() int64 { return c.Stats().BytesIn })
		_, err := c.Attach(&proactor.Handler{Data: func(pc *proactor.Conn, p []byte) (n int) {
			for n < len(p) && pc.Writable() {
				m, _ := pc.Write(p[n:min(len(p), n+(4<<10))])
				n += m
			}
			return n
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		must.ReadEnd(t, peer, sent)
	})
}

// A Conn that cannot be given to a handler stays what it is: after a shutdown of its server, which
// waits for it, it can still be written.
func TestAttachFails(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		srv := &proactor.Server{Engine: rig.New(t, backend).Engine}
		l := listen(t, srv)
		peer := must.Dial(t, l.Addr())
		c := accept(t, l)
		_, err := c.Attach(nil, nil)
		wants(t, "Attach to nothing", err, port.ErrInvalid)
		both := proactor.Handler{Data: rig.Echo, Message: func(*proactor.Conn, []byte) {}}
		if _, err := c.Attach(&both, nil); err == nil {
			t.Error("Attach takes a handler that contradicts itself")
		}
		must.Send(t, peer, []byte("still here"))
		must.Read(t, c, []byte("still here"))

		ended := make(chan error, 1)
		go func() { ended <- srv.Shutdown(must.Context(t)) }()
		_, err = c.Read(make([]byte, 1))
		wants(t, "Read", err, proactor.ErrServerClosed)
		_, err = l.Accept()
		wants(t, "Accept", err, net.ErrClosed)
		_, err = c.Attach(&proactor.Handler{Data: rig.Echo}, nil)
		wants(t, "Attach", err, proactor.ErrServerClosed)
		must.Send(t, c, []byte("going down"))
		c.Close()
		must.ReadEnd(t, peer, []byte("going down"))
		peer.Close()
		if err := must.Take(t, "Shutdown", ended); err != nil {
			t.Error(err)
		}
	})
}
