package system_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// probed is how often the peers of TestResetUnread and others are asked: as often as
// can be set.
const probed = time.Second

// toldInTime fails the test where the loop of c comes to the end of three times KeepAlive,
// from now on, and the connection has not ended: twice, and once for what holds the loop up
// between two looks. It is the loop's time: that of a machine with much to do passes for both.
func toldInTime(t *testing.T, c *proactor.Conn) {
	c.After(3*probed, func() { t.Error("not told within twice KeepAlive") })
}

// A peer's reset ends a connection that is not read, because reads are paused, what
// came was not consumed, or the stream has ended, though nothing is written to it.
func TestResetUnread(t *testing.T) {
	t.Parallel()
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		told := make(chan struct{}, 1)
		unread := []struct {
			handler proactor.Handler
			ends    bool // its stream
			told    bool
		}{
			{handler: proactor.Handler{Opened: func(c *proactor.Conn) { c.PauseRead() }}},
			{handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
				c.PauseRead()
				told <- struct{}{}
				return 0
			}}, told: true},
			{handler: proactor.Handler{Data: rig.Echo, Ended: func(*proactor.Conn, error) { told <- struct{}{} }}, ends: true, told: true},
			{handler: proactor.Handler{Opened: func(c *proactor.Conn) { c.Relay(c); c.PauseRead() }}},
		}
		for _, u := range unread { // all of them wait together
			peer := rig.Client(t, r.Serve(u.handler, rig.Limits(proactor.Limits{KeepAlive: probed})))
			c := r.Accepted()
			if !u.ends {
				must.Send(t, peer, []byte("hello"))
			} else if err := peer.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if u.told {
				must.Take(t, "what the handler was told", told)
			}
			peer.SetLinger(0)
			peer.Close()
			toldInTime(t, c)
		}
		for range unread {
			r.Ends(port.ErrReset)
		}
	})
}

// A peer's reset ends a connection that is relayed to one whose peer takes nothing, so
// that it is not read.
func TestResetBeforeFullRelay(t *testing.T) {
	t.Parallel()
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		s := r.Serve(proactor.Handler{Ended: func(*proactor.Conn, error) {}}, rig.Limits(proactor.Limits{KeepAlive: probed}))
		from, to, peer, deaf := r.Couple(s)
		for _, c := range []*net.TCPConn{peer, deaf} { // soon full
			if err := errors.Join(c.SetReadBuffer(64<<10), c.SetWriteBuffer(64<<10)); err != nil {
				t.Fatal(err)
			}
		}
		rig.Relayed(t, from, to)
		looked := make(chan struct{})
		from.After(5*probed/2, func() { close(looked) }) // the loop has found that it is read
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
	t.Parallel()
	porttest.EachTogether(t, func(t *testing.T, backend string) {
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
