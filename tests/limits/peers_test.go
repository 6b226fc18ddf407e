package limits_test

import (
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/inspect"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// Who was accepted first has the places of a peer, although its loop is busy; who
// comes after is reset, and waits for no other loop either.
func TestPeersAreCountedWhenAccepted(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		const most, peer = 2, "127.0.0.2"
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, func(s *proactor.Server) { s.MaxConnsPerPeer = most })
		rig.Client(t, s)
		release := r.Hold(s, r.Accepted())
		var first [most]net.Conn
		for i := range first {
			first[i] = rig.From(t, s, peer)
			rig.Counted(t, s, 2+i)
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(peer)}, Timeout: must.Patience}
		for n := range 4 {
			// The reset may come before the dial has ended.
			if c, err := d.Dial("tcp", s.ListenAddr().String()); err == nil {
				c.SetDeadline(time.Now().Add(must.Patience))
				porttest.Reset(t, c)
				c.Close()
			}
			rig.Limited(t, r, proactor.LimitCounts{PerPeer: int64(n + 1)})
		}
		release()
		for _, c := range first {
			must.Ask(t, c, "first come, first served")
		}
		if n := inspect.Peers(s); n != 1+most {
			t.Errorf("%d connections are counted for their peers, want %d", n, 1+most)
		}
	})
}
