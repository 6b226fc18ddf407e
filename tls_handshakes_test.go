package proactor_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// Where clients that stall in the middle of the handshake have all places, the one that has
// stalled longest ends so that another client gets in.
func TestCrowdedHandshakes(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		const places = 3
		proactor.HandshakesMost(r.Engine, places)
		serves, dials := rig.TLS()
		s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{HandshakeTimeout: -1, LingerTimeout: -1}), func(s *proactor.Server) { s.TLS = serves })
		var stalled []net.Conn
		stall := func() {
			c := rig.Client(t, s)
			go tls.Client(mute{c}, dials).Handshake()
			stalled = append(stalled, c)
		}
		for i := range places {
			stall()
			must.Eventually(t, "the handshake waits", func() bool { return proactor.HandshakesWait(r.Engine) == i+1 })
		}
		for i := range 3 {
			c := tls.Client(rig.Client(t, s), dials)
			must.Send(t, c, []byte("x"))
			must.Read(t, c, []byte("x"))
			c.Close()
			r.Ends(proactor.ErrPeerClosed)
			io.Copy(io.Discard, stalled[i]) // a FIN, or a reset
			rig.Limited(t, r, proactor.LimitCounts{Crowded: int64(i + 1)})
			must.Eventually(t, "counted", func() bool { return r.Engine.Stats().Handshakes.Crowded == int64(i+1) })
			rig.Counted(t, s, places-1)
			stall()
			must.Eventually(t, "the handshake waits", func() bool { return proactor.HandshakesWait(r.Engine) == places })
		}
	})
}

// mute is a connection on which nothing arrives: a client that does not read goes no further than
// its ClientHello.
type mute struct{ *net.TCPConn }

func (mute) Read([]byte) (int, error) { return 0, io.EOF }
