package sim_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
)

// A deaf receiver holds back a sender that goes by tooFast for a moment at most, in a
// room of two as in a larger one, and whatever little is said is cut in bounded time.
func TestDeafReceivers(t *testing.T) {
	for name, others := range map[string]int{"RoomOfTwo": 1, "RoomOfTwenty": 19} {
		t.Run(name, func(t *testing.T) {
			cfg := proactortest.Config{Seeds: testenv.Scaled(8), Network: proactortest.Fair()}
			cfg.Network.Window = 64 << 10
			cfg.Run(t, func(e *proactortest.Env) {
				var reg proactor.Registry[uint64]
				causes := make(chan error, others+1)
				s := e.Serve(&proactor.Server{
					Handler: proactor.Handler{
						Opened: func(c *proactor.Conn) { reg.Add(c.ID(), c) },
						Closed: func(c *proactor.Conn, cause error) { reg.Remove(c.ID(), c); causes <- cause },
					},
					Limits: proactor.Limits{HighWater: 32 << 10, MaxPending: 64 << 20},
				})
				for range others {
					good := e.Dial(s)
					e.Go(func() {
						for p := make([]byte, 1<<20); ; {
							if _, err := good.Read(p); err != nil {
								return
							}
						}
					})
				}
				e.Dial(s) // reads nothing
				for reg.Len() <= others {
					e.Sleep(time.Millisecond)
				}
				line := []byte(strings.Repeat("x", 9_999) + "\n")
				var held time.Duration
				rounds := 0
				for ; reg.Len() > others && rounds < 200; rounds++ {
					if _, tooFast := reg.Broadcast(line); tooFast {
						held += time.Millisecond
						e.Sleep(time.Millisecond)
					}
					e.Sleep(500 * time.Millisecond)
				}
				if held > 250*time.Millisecond {
					e.Errorf("the sender was held back for %v", held)
				}
				e.Sleep(time.Millisecond)
				if rounds < 60 || reg.Len() != others || len(causes) != 1 {
					e.Errorf("after %d half seconds %d of %d are left", rounds, reg.Len(), others+1)
				} else if cause := <-causes; !errors.Is(cause, proactor.ErrBacklog) {
					e.Errorf("closed with %v", cause)
				}
				for _, c := range reg.All() {
					c.Close()
				}
			})
		})
	}
}
