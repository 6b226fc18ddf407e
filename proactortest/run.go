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

// Patience is how long, on the simulated clock, an expectation waits.
const Patience = 10 * time.Minute

// Config says on what networks a test runs. The zero value is that of [Run].
type Config struct {
	// Seeds is how many, unless the flag -proactor.seeds says it. 0: 100.
	Seeds int
	// Network is what they do. The zero value is [Fair].
	Network port.SimConfig
	// Engine is the engine's. Sim is set by Run; Loops are 1 if they are not
	// set, and Log is silent, but for the seed that is replayed.
	Engine proactor.Config
}

// Fair is a network on which nothing is lost, and nothing comes as one likes
// it: slow, in small pieces, with windows that are soon full and loops that are
// kept from running.
func Fair() port.SimConfig {
	return port.SimConfig{
		MinDelay: 50 * time.Microsecond, MaxDelay: 100 * time.Millisecond, Split: .3, Window: 16 << 10,
		Stall: .02, StallFor: time.Second, Spurious: .05,
	}
}

// Rough is a network like Fair on which things break as well: connections are
// refused, cut off for minutes and reset, and descriptors run out.
func Rough() port.SimConfig {
	c := Fair()
	c.Reset, c.Refuse, c.Hang = .005, .05, .02
	c.Cut, c.CutFor = .005, 3*time.Minute
	c.Scarce, c.ScarceFor = .05, time.Second
	return c
}

// Run runs f on 100 networks that are [Fair]. f makes the server and is its
// clients. When it and what it started by [Env.Go] have returned, all clients
// are closed, the servers are shut down, and nothing may be left.
func Run(t *testing.T, f func(*Env)) {
	t.Helper()
	Config{}.Run(t, f)
}

// Run is like the function Run.
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

// Env is one run: a network, an engine on it, and the servers and clients that
// the test makes. What it has of testing.T is that of the test; as everywhere,
// a goroutine other than the test's is all that its FailNow ends.
type Env struct {
	*testing.T
	// Seed is what the run's chance comes from, Rand a generator that it
	// seeds, for what the test draws itself.
	Seed uint64
	Rand *rand.Rand
	// Net is the network: for clients that may fail to connect, and more.
	Net *port.Sim
	// Engine is the engine of the servers, and for a Dialer.
	Engine *proactor.Engine

	scripts sync.WaitGroup
	mu      sync.Mutex
	servers []*proactor.Server
	clients []*Client
}

// Serve has the server listen, on the engine of this run, and at a port of the
// network's choice if it has no address. It is shut down when the run ends.
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

// Go runs f beside the test, which waits for it at its end.
func (e *Env) Go(f func()) {
	e.scripts.Add(1)
	e.Net.Go(func() {
		defer e.scripts.Done()
		f()
	})
}

// Sleep waits until d has passed on the simulated clock, and everybody else
// waits for something.
func (e *Env) Sleep(d time.Duration) { e.Net.Sleep(d) }

// end closes everything, and looks whether anything is left.
func (e *Env) end() {
	e.Net.Calm()
	for _, c := range e.clients {
		c.Close()
	}
	e.scripts.Wait()
	e.Sleep(0)
	for _, s := range e.servers {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		if err := s.Shutdown(ctx); err != nil && err != proactor.ErrServerClosed {
			e.Errorf("connections do not close an hour after the clients have closed theirs: %v", err)
		}
		cancel()
	}
	e.Engine.Close()
	if s := e.Engine.Stats(); s.Conns() != 0 || s.Pending != 0 || s.Leased != 0 {
		e.Errorf("after all was closed: %+v", s)
	}
}
