package sim_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/proactortest"
)

// A peer that reads slowly gets everything, however long it takes, before a
// Close and after it. One that reads nothing is given up when its time is over.
func TestSlowReaders(t *testing.T) {
	const limit, size = 5 * time.Second, 200 << 10
	for name, closes := range map[string]bool{"WriteTimeout": false, "LingerTimeout": true} {
		t.Run(name, func(t *testing.T) {
			cfg := proactortest.Config{Seeds: testenv.Scaled(20), Network: proactortest.Fair()}
			cfg.Network.Window = 64 << 10
			cfg.Run(t, func(e *proactortest.Env) {
				type end struct {
					id    uint64
					cause error
					after time.Duration
				}
				ended := make(chan end, 2)
				s := e.Serve(&proactor.Server{
					Limits: proactor.Limits{WriteTimeout: limit, LingerTimeout: limit},
					Handler: proactor.Handler{
						Opened: func(c *proactor.Conn) {
							c.Write(must.Pattern(c.ID(), size))
							if closes {
								c.Close()
							}
						},
						Closed: func(c *proactor.Conn, cause error) { ended <- end{c.ID(), cause, c.Stats().Age} },
					},
				})
				slow := e.Dial(s)
				e.Sleep(time.Second) // it has the smaller ID
				deaf := e.Dial(s)
				e.Go(func() {
					got, buf := make([]byte, 0, size), make([]byte, 1000)
					for len(got) < size {
						n, err := slow.Read(buf)
						got = append(got, buf[:n]...)
						if err != nil {
							e.Errorf("after %d bytes: %v", len(got), err)
							return
						}
						e.Sleep(limit / 3)
					}
					if !bytes.Equal(got, must.Pattern(1, size)) {
						e.Error("these are other bytes")
					}
					if closes {
						if _, err := slow.Read(buf); err != io.EOF {
							e.Errorf("after the last byte: %v", err)
						}
					}
					slow.Close()
				})
				first := <-ended
				want := proactor.ErrWriteTimeout
				if closes {
					want = proactor.ErrLocalClosed
				}
				// A quarter for the looks, and what the network takes to fill up.
				if first.id != 2 || !errors.Is(first.cause, want) || first.after < limit || first.after > limit*5/4+10*time.Second {
					e.Errorf("connection %d ended with %v after %v", first.id, first.cause, first.after)
				}
				deaf.Close()
				second := <-ended
				want = proactor.ErrPeerClosed
				if closes {
					want = proactor.ErrLocalClosed
				}
				if !errors.Is(second.cause, want) {
					e.Errorf("the slow one ended with %v", second.cause)
				}
			})
		})
	}
}
