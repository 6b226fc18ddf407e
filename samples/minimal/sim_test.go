package minimal

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func TestSimulated(t *testing.T) {
	echotest.Simulated{
		Start: func(e *proactortest.Env) echotest.Server {
			srv := New("127.0.0.1:0")
			srv.Engine = e.Engine
			return srv
		},
		Talk: func(r *rand.Rand, _ netip.AddrPort) (sent, owed []byte) {
			sent = echotest.Bytes(r, 1+r.IntN(1<<r.IntN(18)))
			return sent, sent
		},
	}.Check(t)
}
