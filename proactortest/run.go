package proactortest

import (
	"context"
	"flag"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

var (
	oneSeed = flag.String("proactor.seed", "", "run simulations with this seed alone, and trace them in the log")
	seeds   = flag.Int("proactor.seeds", 0, "run simulations with so many `seeds`; 0: as many as the test asks for")
)

// Patience is how long an expectation waits, on the simulated clock.
const Patience = 10 * time.Minute

// Config says on which networks a test runs. The zero value is that of the function [Run].
type Config struct {
	// Seeds is the number of runs, each on a network of its own. The flag -proactor.seeds
	// overrides it. 0: 100.
	Seeds int
	// Network is what the networks do to connections. The zero value is that of [Fair].
	Network port.SimConfig
	// Engine is the configuration of the engine. Run sets Sim. Loops is 1 if it is not
	// set. Log discards all if it is not set, except in a run of -proactor.seed.
	Engine proactor.Config
}

// Fair is a network that loses nothing, and delivers nothing conveniently: it is slow, cuts
// streams into small pieces, has windows that are soon full, and delays the loops.
func Fair() port.SimConfig {
	return port.SimConfig{
		MinDelay: 50 * time.Microsecond, MaxDelay: 100 * time.Millisecond, Split: .3, Window: 16 << 10,
		Stall: .02, StallFor: time.Second, Spurious: .05,
	}
}

// Rough is a network like Fair that also breaks things: it refuses connections, cuts them
// off for minutes, resets them, and runs out of descriptors.
func Rough() port.SimConfig {
	c := Fair()
	c.Reset, c.Refuse, c.Hang = .005, .05, .02
	c.Cut, c.CutFor = .005, 3*time.Minute
	c.Scarce, c.ScarceFor = .05, time.Second
	return c
}

// Run runs f on 100 networks of [Fair]. f starts the server and plays its clients. When f and all
// that it started with [Env.Go] have returned, Run closes all clients and shuts down the
// servers. The test fails if a connection, a buffer or a goroutine is left then.
func Run(t *testing.T, f func(*Env)) {
	t.Helper()
	Config{}.Run(t, f)
}

// Run runs f like the function Run, on the networks of cfg.
func (cfg Config) Run(t *testing.T, f func(*Env)) {
	t.Helper()
	if cfg.Network == (port.SimConfig{}) {
		cfg.Network = Fair()
	}
	if cfg.Engine.Loops == 0 {
		cfg.Engine.Loops = 1
	}
	if *oneSeed != "" {
		seed, err := strconv.ParseUint(*oneSeed, 10, 64)
		if err != nil {
			t.Fatalf("-proactor.seed: %v", err)
		}
		if cfg.Network.Trace == nil {
			cfg.Network.Trace = t.Output()
		}
		if cfg.Engine.Log == nil {
			cfg.Engine.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
		}
		cfg.runSeed(t, seed, f)
		return
	}
	if cfg.Engine.Log == nil {
		cfg.Engine.Log = slog.New(slog.DiscardHandler)
	}
	n := cfg.Seeds
	if *seeds > 0 {
		n = *seeds
	} else if n == 0 {
		n = 100
	}
	for seed := range uint64(n) {
		cfg.runSeed(t, seed, f)
		if t.Failed() {
			return
		}
	}
}

// runSeed runs f once. It does not return when f or the bubble panics.
func (cfg Config) runSeed(t *testing.T, seed uint64, f func(*Env)) {
	t.Helper()
	returned := false
	defer func() {
		if t.Failed() || !returned {
			t.Errorf("seed %d fails. To see it again: go test -run '^%s$' -proactor.seed=%d -v", seed, t.Name(), seed)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		e := &Env{T: t, Seed: seed, Rand: rand.New(rand.NewPCG(seed, 1)), Net: port.NewSimSeed(seed, cfg.Network)}
		cfg.Engine.Sim = e.Net
		var err error
		if e.Engine, err = proactor.NewEngine(cfg.Engine); err != nil {
			t.Fatal(err)
		}
		defer e.end()
		f(e)
		e.scripts.Wait()
	})
	returned = true
}

// Env is one run: a network, an engine on it, and the servers and clients that the test
// makes. Its testing.T is that of the test. As everywhere, FailNow ends only the goroutine
// that calls it, so call it on the goroutine of f.
type Env struct {
	*testing.T
	// Seed decides all that is random in this run. Rand is a generator that is seeded with
	// it, for the test's own choices.
	Seed uint64
	Rand *rand.Rand
	// Net is the network, for example to connect clients that may fail to.
	Net *port.Sim
	// Engine carries the servers of the run, and is there for Dialers.
	Engine *proactor.Engine

	scripts sync.WaitGroup
	mu      sync.Mutex
	servers []*proactor.Server
	clients []*Client
}

// Serve has s listen on the engine of this run, at a port that the network chooses if s has no
// address. The run shuts it down at its end. An error fails the test.
func (e *Env) Serve(s *proactor.Server) *proactor.Server {
	e.Helper()
	s.Engine = e.Engine
	if s.Addr == "" {
		s.Network, s.Addr = "tcp4", "127.0.0.1:0"
	}
	if err := s.Listen(); err != nil {
		e.Fatal(err)
	}
	e.mu.Lock()
	e.servers = append(e.servers, s)
	e.mu.Unlock()
	return s
}

// Go runs f on a goroutine of its own. The run waits for it at its end.
func (e *Env) Go(f func()) {
	e.scripts.Add(1)
	e.Net.Go(func() {
		defer e.scripts.Done()
		f()
	})
}

// Sleep waits until d has passed on the simulated clock and all other goroutines wait.
func (e *Env) Sleep(d time.Duration) { e.Net.Sleep(d) }

// end closes everything, and checks that nothing is left.
func (e *Env) end() {
	e.Net.Calm()
	for _, c := range e.clients {
		c.Close()
	}
	e.scripts.Wait()
	e.Sleep(0)
	for _, s := range e.servers {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		if err := s.Shutdown(ctx); err != nil {
			e.Errorf("connections do not close an hour after the clients have closed theirs: %v", err)
		}
		cancel()
	}
	e.Engine.Close()
	if s := e.Engine.Stats(); s.Conns() != 0 || s.Pending != 0 || s.Leased != 0 {
		e.Errorf("after all was closed: %+v", s)
	}
}
