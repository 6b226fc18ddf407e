package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// Over a rough network for long, a redialer comes back whatever happened to its
// connection, and never has two; a dial ends, one way or the other, in the time
// it was given; and every connection that was opened is closed.
func TestOutboundProperties(t *testing.T) {
	outboundConfig(12, nil).Run(t, outbound)
}

// The same seeds give the same runs of redialers and dials, byte for byte.
func TestOutboundPropertiesReplay(t *testing.T) {
	porttest.SameAgain(t, func() string {
		var trace strings.Builder
		outboundConfig(6, &trace).Run(t, outbound)
		return trace.String()
	})
}

func outboundConfig(seeds int, trace io.Writer) proactortest.Config {
	network := proactortest.Rough()
	network.Reset, network.Trace = .02, trace
	return proactortest.Config{Seeds: testenv.Scaled(seeds), Network: network, Engine: proactor.Config{Loops: 2, BufferSize: 500, BufferCount: 4}}
}

func outbound(e *proactortest.Env) {
	s := e.Serve(&proactor.Server{
		Handler: proactor.Handler{Data: rig.Echo},
		Limits:  proactor.Limits{IdleTimeout: 5 * time.Minute},
	})
	address := s.ListenAddr().String()
	var kept, opened, closed, answers atomic.Int64
	limits := proactor.Limits{IdleTimeout: time.Minute, WriteTimeout: time.Minute}
	k := &proactor.Redialer{Network: "tcp", Address: address, Dialer: &proactor.Dialer{
		Engine: e.Engine, Limits: limits, Timeout: 10 * time.Second,
		Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) {
				opened.Add(1)
				if n := kept.Add(1); n != 1 {
					e.Errorf("the redialer has %d connections", n)
				}
				c.Write([]byte("ping"))
			},
			Data: func(c *proactor.Conn, p []byte) int {
				if len(p) < len("ping") {
					return 0
				}
				answers.Add(1)
				c.After(10*time.Second, func() { c.Write([]byte("ping")) })
				return len(p)
			},
			Closed: func(*proactor.Conn, error) { closed.Add(1); kept.Add(-1) },
		}}}
	if err := k.Start(); err != nil {
		e.Fatal(err)
	}
	for i := range 3 {
		e.Go(func() { dials(e, i, address, &opened, &closed) })
	}
	e.Sleep(30 * time.Minute)
	e.Net.Calm()
	e.Sleep(2 * time.Minute) // a wait of the redialer, a dial
	before := answers.Load()
	if e.Sleep(time.Minute); k.Conn() == nil || answers.Load() == before {
		e.Errorf("the network is calm, and the redialer has no connection that answers; %d redials", k.Redialed())
	}
	k.Stop()
	e.Sleep(time.Minute)
	if n, m := opened.Load(), closed.Load(); n != m {
		e.Errorf("%d connections were opened, %d closed", n, m)
	}
}

// dials dials again and again, with more or less time.
func dials(e *proactortest.Env, i int, address string, opened, closed *atomic.Int64) {
	d := &proactor.Dialer{Engine: e.Engine, Handler: proactor.Handler{
		Opened: func(*proactor.Conn) { opened.Add(1) },
		Closed: func(*proactor.Conn, error) { closed.Add(1) },
	}}
	for n := range 50 {
		limit := time.Duration(1+i*n) * 20 * time.Millisecond
		ctx, cancel := context.WithTimeout(e.Context(), limit)
		begun := time.Now()
		c, err := d.Dial(ctx, "tcp", address)
		cancel()
		switch {
		case err == nil:
			e.Sleep(time.Duration(n) * time.Millisecond)
			c.Abort()
		case !errors.Is(err, port.ErrTimeout) && !errors.Is(err, port.ErrRefused) && !errors.Is(err, port.ErrReset) && !errors.Is(err, port.ErrNoDescriptors):
			e.Error(fmt.Errorf("dial %d: %w", n, err))
		}
		if took := time.Since(begun); took > limit+2*time.Second { // a loop may be stalled twice
			e.Errorf("dial %d took %v, and had %v", n, took, limit)
		}
		e.Sleep(time.Second)
	}
}
