package packet

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func TestSimulated(t *testing.T) {
	all := framings()
	var f framing // of this run
	echotest.Simulated{
		Start: func(e *proactortest.Env) echotest.Server {
			f = all[e.Rand.IntN(len(all))]
			o := f.options()
			o.Addr, o.Engine, o.Log = "127.0.0.1:0", e.Engine, echotest.Quiet()
			srv, err := New(o)
			if err != nil {
				e.Fatal(err)
			}
			return srv
		},
		Talk: func(r *rand.Rand, _ netip.AddrPort) (sent, owed []byte) {
			for range r.IntN(40) {
				sent = append(sent, f.packet(f.header+r.IntN(f.most-f.header+1))...)
			}
			if r.IntN(2) == 0 {
				sent = append(sent, echotest.Bytes(r, r.IntN(20))...)
			}
			return sent, f.owed(sent, true)
		},
	}.Check(t)
}
