package line

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func TestSimulated(t *testing.T) {
	pieces := []string{"NOOP\r\n", "user \r\n", "STAT\r\n", "top 1\r\n", "LIST\r", "\r\n", "\n", "\xff", strings.Repeat("z", 509)}
	echotest.Simulated{
		Start: func(e *proactortest.Env) echotest.Server {
			return New(Options{Addr: "127.0.0.1:0", Engine: e.Engine, Log: echotest.Quiet()})
		},
		Talk: func(r *rand.Rand, _ netip.AddrPort) (sent, _ []byte) {
			most := 4 // only lines that are known; else what ends the conversation soon
			for n := range r.IntN(100) {
				if n > 30 {
					most = len(pieces)
				}
				sent = append(sent, pieces[r.IntN(most)]...)
			}
			return sent, owed(sent, true)
		},
	}.Check(t)
}
