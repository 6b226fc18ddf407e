package tls_test

import (
	"net"
	"runtime"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

// Thousands of clients that stop in the middle of the handshake, half of them behind a whole
// ClientHello, keep no more goroutines than have a place, and nobody from being served: who has stalled
// longest ends where others wait.
func TestThousandsStop(t *testing.T) {
	if !testenv.Long() {
		t.Skip("PROACTOR_LONG is not set")
	}
	rig.Each(t, func(t *testing.T, backend string) {
		const places = 1024 // of clients, see docs/bounds.md
		serves, dials := rig.TLS()
		full := hello(t, dials)
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves), rig.Limits(proactor.Limits{HandshakeTimeout: -1, LingerTimeout: -1}))
		n := testenv.Scaled(5000)
		before := runtime.NumGoroutine()
		stalled := make([]net.Conn, n)
		for i := range stalled {
			stalled[i] = rig.Client(t, s)
			must.Send(t, stalled[i], full[:len(full)-i%2])
		}
		ended := int64(max(n/2-places, 0)) // for the others; more is right, too
		must.Eventually(t, "handshakes end so that others begin", func() bool { return r.Engine.Stats().Handshakes.Crowded >= ended })
		if now := runtime.NumGoroutine(); backend != "std" && now > before+places+100 {
			t.Errorf("%d goroutines, and %d before", now, before)
		}
		c := client(r, s, dials)
		must.Send(t, c, []byte("x"))
		must.Read(t, c, []byte("x"))
		c.Close()
		for _, c := range stalled {
			c.Close()
		}
		must.Eventually(t, "all are gone", func() bool { return s.Conns() == 0 })
	})
}
