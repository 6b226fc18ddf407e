package greet

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func TestSimulated(t *testing.T) {
	echotest.Simulated{
		Start: func(e *proactortest.Env) echotest.Server {
			srv := New(Options{Addr: "127.0.0.1:0", Engine: e.Engine, Log: echotest.Quiet()})
			srv.Limits.IdleTimeout = time.Hour // a silence of minutes is no end in good order
			return srv
		},
		Talk: func(r *rand.Rand, _ netip.AddrPort) (sent, _ []byte) {
			sent = echotest.Bytes(r, r.IntN(600))
			if r.IntN(2) == 0 {
				sent = []byte(ClientHello + Goodbye)
			}
			return sent, owed(sent, true)
		},
	}.Check(t)
}

// After Goodbye the server closes first. A client that does not answer has a minute.
func TestSimulatedEnds(t *testing.T) {
	proactortest.Config{Seeds: 20}.Run(t, func(e *proactortest.Env) {
		s := e.Serve(New(Options{Log: echotest.Quiet()}))
		polite := e.Dial(s)
		polite.Expect(ServerHello)
		polite.Send(ClientHello)
		polite.Expect(SayGoodbye)
		polite.Send(Goodbye)
		said := time.Now()
		polite.ExpectEnd()
		if took := time.Since(said); took > 10*time.Second {
			e.Errorf("it was closed %v after %q", took, Goodbye)
		}
		c := e.Dial(s)
		c.Expect(ServerHello)
		c.Send("x")
		c.Expect(SayGoodbye)
		begun := time.Now()
		c.ExpectEnd()
		if took := time.Since(begun); took < IdleTimeout-time.Second || took > IdleTimeout*5/4+5*time.Second {
			e.Errorf("it was closed after %v", took)
		}
	})
}

// Both sides of the conversation: on a fair network it is held as it stands in
// the script; on a rough one it is, or the client is told why not, in time, and
// what was said is the beginning of it.
func TestSimulatedClient(t *testing.T) {
	const all = "< " + ServerHello + "> " + ClientHello + "< " + SayGoodbye + "> " + Goodbye
	for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
		t.Run(name, func(t *testing.T) {
			proactortest.Config{Seeds: 50, Network: network}.Run(t, func(e *proactortest.Env) {
				s := e.Serve(New(Options{Log: echotest.Quiet()}))
				for range 3 {
					e.Go(func() {
						var said strings.Builder
						begun := time.Now()
						err := Client(context.Background(), ClientOptions{
							Addr: s.ListenAddr().String(), Transcript: &said, Engine: e.Engine, Timeout: 30 * time.Second,
						})
						switch {
						case err == nil && said.String() != all, !strings.HasPrefix(all, said.String()):
							e.Errorf("they said %q, %v", said.String(), err)
						case err != nil && name == "fair":
							e.Error(err)
						case err != nil && !errors.Is(err, port.ErrReset) && !errors.Is(err, port.ErrTimeout) && !errors.Is(err, port.ErrRefused) &&
							!errors.Is(err, port.ErrNoDescriptors) && !errors.Is(err, context.DeadlineExceeded):
							e.Errorf("it ended with %v", err)
						}
						if took := time.Since(begun); took > 35*time.Second {
							e.Errorf("it took %v", took)
						}
					})
				}
			})
		})
	}
}
