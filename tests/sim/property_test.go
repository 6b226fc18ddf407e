package sim_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/inspect"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/proactortest"
)

// Whatever the network does, handlers are shown exactly what was sent, peers
// what was written, Closed comes once with the cause that is the true one, what
// waits stays within the limits, nothing waits for ever, and in the end nothing
// is left.
func TestProperties(t *testing.T) {
	for name, cfg := range map[string]proactor.Config{
		"one loop":                 {Loops: 1},
		"two loops, few buffers":   {Loops: 2, BufferSize: 1000, BufferCount: 2},
		"three loops, tiny buffer": {Loops: 3, BufferSize: 16, BufferCount: 1},
	} {
		for network, sim := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
			t.Run(name+"/"+network, func(t *testing.T) {
				proactortest.Config{Seeds: testenv.Scaled(60), Engine: cfg, Network: sim}.Run(t, func(e *proactortest.Env) {
					properties(e, network == "fair")
				})
			})
		}
	}
}

func properties(e *proactortest.Env, fair bool) {
	m := newModel(e, fair)
	s := e.Serve(&proactor.Server{Handler: m.handler(), Limits: m.limits, MaxConns: e.Rand.IntN(4)})
	done := make(chan struct{}, len(m.plans))
	for i := range m.plans {
		e.Go(func() {
			m.client(i, s)
			done <- struct{}{}
		})
	}
	for range m.plans {
		<-done
	}
	e.Sleep(0)
	e.Net.Calm()
	// Whoever is left has lost its client, and a timeout sees to it.
	for end := time.Now().Add(3 * time.Hour); s.Conns() > 0 && time.Now().Before(end); {
		e.Sleep(time.Second)
	}
	m.check()
	if err := s.Shutdown(context.Background()); err != nil {
		e.Errorf("shutdown: %v", err)
	}
	for i, st := range inspect.Ports(e.Engine) {
		if st != (port.Stats{}) {
			e.Errorf("port %d: %+v", i, st)
		}
	}
}

// The same seeds give the same runs, whatever handlers and clients do, byte for
// byte of what happened on the network.
func TestPropertiesReplay(t *testing.T) {
	for _, loops := range []int{1, 3} {
		for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
			t.Run(fmt.Sprintf("%d loops/%s", loops, name), func(t *testing.T) {
				first := porttest.SameAgain(t, func() string {
					var trace strings.Builder
					network.Trace = &trace
					cfg := proactortest.Config{Seeds: testenv.Scaled(20), Network: network, Engine: proactor.Config{Loops: loops, BufferSize: 500, BufferCount: 2}}
					cfg.Run(t, func(e *proactortest.Env) { properties(e, name == "fair") })
					return trace.String()
				})
				if lines := strings.Count(first, "\n"); lines < 100 {
					t.Errorf("%d things happened", lines)
				}
			})
		}
	}
}
