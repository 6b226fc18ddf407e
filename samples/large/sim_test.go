package large

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/samples/echotest/pooltest"
)

func TestSimulated(t *testing.T) {
	var most int
	echotest.Simulated{
		Seeds: 10, // each carries much
		Start: func(e *proactortest.Env) echotest.Server {
			most = Header + 1 + e.Rand.IntN(20_000)
			s, err := New(Options{
				Addr: "127.0.0.1:0", MaxPacket: most, Workers: 1 + e.Rand.IntN(4), Queue: 1 + e.Rand.IntN(5),
				Engine: e.Engine, Log: echotest.Quiet(),
			})
			if err != nil {
				e.Fatal(err)
			}
			pooltest.Left(e.T, s.Pool)
			return s
		},
		Talk: func(r *rand.Rand, at netip.AddrPort) (sent, owed []byte) {
			for range r.IntN(20) {
				sent = append(sent, packet(r.IntN(100), Header+r.IntN(most-Header+1))...)
			}
			switch r.IntN(4) {
			case 0: // a length that may be refused, or be that of a message that is cut
				sent = append(sent, echotest.Bytes(r, 2)...)
			case 1:
				sent = append(sent, byte(r.IntN(2)), 0, 'x', 'y')
			}
			owed = fmt.Appendf(nil, "Welcome to large packet echo server %s:%d - 0\r\n", at.Addr(), at.Port())
			return sent, append(owed, answers(sent, most)...)
		},
	}.Check(t)
}
