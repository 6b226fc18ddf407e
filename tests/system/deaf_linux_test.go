package system_test

import (
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// probed is how often the peers of TestResetUnread and others are asked: as often as
// can be set.
const probed = time.Second

// toldInTime fails the test where the loop of c comes to the end of twice KeepAlive,
// from now on, and the connection has not ended. It is the loop's time: that of a
// machine with much to do passes for both.
func toldInTime(t *testing.T, c *proactor.Conn) {
	c.After(2*probed+probed/10, func() { t.Error("not told within twice KeepAlive") })
}

// A peer's reset ends a connection that is not read, because reads are paused, what
// came was not consumed, or the stream has ended, though nothing is written to it.
func TestResetUnread(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for name, h := range map[string]proactor.Handler{
			"Paused": {Opened: func(c *proactor.Conn) { c.PauseRead() }},
			"Kept": {Data: func(c *proactor.Conn, p []byte) int {
				c.PauseRead()
				return 0
			}},
			"Ended":   {Data: rig.Echo, Ended: func(*proactor.Conn, error) {}},
			"Relayed": {Opened: func(c *proactor.Conn) { c.Relay(c); c.PauseRead() }},
		} {
			t.Run(name, func(t *testing.T) {
				r := rig.New(t, backend)
				got := make(chan struct{}, 1)
				data, ended := h.Data, h.Ended
				if data != nil && ended == nil {
					h.Data = func(c *proactor.Conn, p []byte) int {
						n := data(c, p)
						got <- struct{}{}
						return n
					}
				}
				if ended != nil {
					h.Ended = func(c *proactor.Conn, why error) { got <- struct{}{} }
				}
				s := r.Serve(h, rig.Limits(proactor.Limits{KeepAlive: probed}))
				peer := rig.Client(t, s)
				c := r.Accepted()
				if name != "Ended" {
					must.Send(t, peer, []byte("hello"))
				} else if err := peer.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				if h.Data != nil {
					must.Take(t, "what the handler was told", got)
				}
				peer.SetLinger(0)
				peer.Close()
				toldInTime(t, c)
				r.Ends(port.ErrReset)
			})
		}
	})
}

// A peer's reset ends a connection that is relayed to one whose peer takes nothing, so
// that it is not read.
func TestResetBeforeFullRelay(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{Ended: func(*proactor.Conn, error) {}}, rig.Limits(proactor.Limits{KeepAlive: probed}))
		from, to, peer, _ := r.Couple(s)
		rig.Relayed(t, from, to)
		looked := make(chan struct{})
		from.After(4*probed, func() { close(looked) }) // the loop has found that it is read
		must.Take(t, "a quiet time", looked)
		go peer.Write(make([]byte, 64<<20))
		last, since := int64(0), time.Now()
		must.Eventually(t, "it to be stuck", func() bool {
			if n := to.Stats().BytesOut + from.Stats().BytesIn; n != last {
				last, since = n, time.Now()
			}
			return last > 0 && time.Since(since) > 100*time.Millisecond
		})
		peer.SetLinger(0)
		peer.Close()
		if got := r.Ends(port.ErrReset); got != from {
			t.Errorf("connection %d ended, not %d", got.ID(), from.ID())
		}
	})
}

// The peer of a Unix socket that has ended its stream and awaits an answer keeps its
// connection; one that has closed its socket has none, though nothing is written to it.
func TestUnixPeerGone(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		ended := make(chan *proactor.Conn, 2)
		s := r.Serve(proactor.Handler{Ended: func(c *proactor.Conn, _ error) { ended <- c }},
			rig.Limits(proactor.Limits{KeepAlive: probed}), func(s *proactor.Server) { s.Network, s.Addr = "unix", t.TempDir()+"/s" })
		dial := func() (*net.UnixConn, *proactor.Conn) {
			c, err := net.Dial("unix", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if err := c.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			return c.(*net.UnixConn), must.Take(t, "the end of the stream", ended)
		}
		waiting, answering := dial()
		gone, c := dial()
		gone.Close()
		toldInTime(t, c)
		if got := r.Ends(port.ErrReset); got != c {
			t.Errorf("connection %d ended, not %d", got.ID(), c.ID())
		}
		answering.Write([]byte("still here"))
		answering.Close()
		waiting.SetDeadline(time.Now().Add(must.Patience))
		must.Read(t, waiting, []byte("still here"))
	})
}
