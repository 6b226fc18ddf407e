package linepool

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/samples/echotest/pooltest"
)

func TestSimulated(t *testing.T) {
	lines := []string{"NOOP\r\n", "user somebody\r\n", "Quit\r\n", "TOPmost 1\r\n", "retr \xff\x00\n\r 2\r\n", "HELO\r\n", "LIST\r", "x"}
	echotest.Simulated{
		Start: func(e *proactortest.Env) echotest.Server {
			s, err := New(Options{
				Addr: "127.0.0.1:0", Work: time.Duration(e.Rand.IntN(30)) * time.Millisecond, Workers: 1 + e.Rand.IntN(4),
				Queue: 1 + e.Rand.IntN(5), Priority: e.Rand.IntN(2) == 0, Engine: e.Engine, Log: echotest.Quiet(),
			})
			if err != nil {
				e.Fatal(err)
			}
			pooltest.Left(e.T, s.Pool)
			return s
		},
		Talk: func(r *rand.Rand, at netip.AddrPort) (sent, owed []byte) {
			text, most := "", 5 // known commands, then others, too
			for n := range r.IntN(50) {
				if n > 20 {
					most = len(lines)
				}
				text += lines[r.IntN(most)]
			}
			c := &client{at: at.String()}
			return []byte(text), []byte("+OK POP3 server ready - " + c.at + " - 0\r\n" + c.answers(text))
		},
	}.Check(t)
}
