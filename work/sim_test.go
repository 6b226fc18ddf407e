package work

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
)

// Whatever the network does, and however short of room the pool is: each
// message is served once at the most, those of a connection one at a time and in
// their order, its replies are exact; no bound is exceeded at any moment, and no
// message is passed by one whose turn is later; a connection that has closed has
// its context done; and in the end nothing is left, nor, on a fair network,
// lost.
func TestPoolProperties(t *testing.T) {
	for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
		t.Run(name, func(t *testing.T) {
			seeds := 100
			if testenv.Race {
				seeds = 25
			}
			cfg := proactortest.Config{Seeds: scaled(seeds), Network: network, Engine: proactor.Config{Loops: 2}}
			cfg.Run(t, func(e *proactortest.Env) { poolProperties(e, name == "fair") })
		})
	}
}

func poolProperties(e *proactortest.Env, fair bool) {
	m := newModel(e, fair)
	var servers []*proactor.Server
	for range 1 + e.Rand.IntN(2) {
		servers = append(servers, e.Serve(&proactor.Server{
			Handler: m.handler(),
			Limits:  proactor.Limits{IdleTimeout: time.Hour, LingerTimeout: time.Hour, WriteTimeout: time.Hour},
		}))
	}
	left := make(chan struct{}, len(m.plans))
	for i := range m.plans {
		e.Go(func() {
			m.client(i, servers[i%len(servers)])
			left <- struct{}{}
		})
	}
	ended := make(chan struct{})
	e.Go(func() { m.watch(ended) })
	switch {
	case m.end == endEarly || m.end == endPoolFirst:
		e.Sleep(time.Duration(e.Rand.IntN(3000)) * time.Millisecond)
	default:
		for range m.plans {
			<-left
		}
	}
	e.Sleep(0)
	e.Net.Calm()
	if m.end == endPoolFirst {
		m.refuse()
		within := time.Duration(e.Rand.IntN(2000)) * time.Millisecond
		ctx, cancel := context.WithTimeout(context.Background(), within)
		if err := m.pool.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("the pool's end: %v", err)
		}
		cancel()
	}
	for _, s := range servers {
		if err := s.Shutdown(context.Background()); err != nil {
			e.Errorf("a server's end: %v", err)
		}
	}
	if m.end == endEarly || m.end == endPoolFirst {
		for range m.plans {
			<-left
		}
	}
	if err := m.pool.Shutdown(context.Background()); err != nil {
		e.Errorf("the pool's end: %v", err)
	}
	close(ended)
	m.check()
	nothingLeft(e.T, m.pool)
}
