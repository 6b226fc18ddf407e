package proxy

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echo"
	"github.com/proactor-go/proactor/samples/echotest"
)

// Between an echo server and its clients.
func TestSimulated(t *testing.T) {
	echotest.Simulated{
		Seeds: 10, // each carries much
		Start: func(e *proactortest.Env) echotest.Server {
			srv := echo.New(echo.Options{Banner: true, Log: echotest.Quiet()})
			// The proxy takes nothing from it while the client takes what is
			// between the marks, and through a narrow window that takes long.
			srv.Limits.LingerTimeout = time.Hour
			to := e.Serve(srv)
			p, err := New(Options{Addr: "127.0.0.1:0", To: to.ListenAddr().String(), Engine: e.Engine, Log: echotest.Quiet()})
			if err != nil {
				e.Fatal(err)
			}
			p.Limits.IdleTimeout = time.Hour // a cut of minutes is no end
			return p
		},
		Talk: func(r *rand.Rand, _ netip.AddrPort) (sent, owed []byte) {
			sent = echotest.Bytes(r, 1+r.IntN(1<<r.IntN(22)))
			return sent, append([]byte(echo.Banner), sent...)
		},
	}.Check(t)
}
