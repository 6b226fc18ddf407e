package port

import (
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// SimConfig says what a network of [NewSimSeed] does to connections. With the zero value
// each event takes some microseconds, and nothing goes wrong.
//
// Chances lie between 0 (never) and 1 (always).
type SimConfig struct {
	// MinDelay and MaxDelay bound the time that a message takes in one direction. The
	// messages of one end arrive in order; those of different connections may overtake
	// each other.
	MinDelay, MaxDelay time.Duration
	// Split is the chance that the bytes of one send arrive in two pieces. The second has a
	// delay of its own, and may be split again.
	Split float64
	// Window, in bytes, bounds what is on its way or waits to be received, in one direction
	// of a connection. Each direction gets a window between 1 byte and Window.
	// 0: the window is that of the socket options.
	Window int

	// Reset is the chance, for each message, that the network resets the connection
	// instead of delivering it.
	Reset float64
	// Refuse is the chance that a connect is refused. Hang is the chance that it gets no
	// answer; it fails with ErrTimeout after SimTimeout.
	Refuse, Hang float64
	// Cut is the chance, for each message, that it does not arrive, and nothing else on this
	// connection for up to CutFor. Then all of it is sent again. Bytes that the peer has
	// not taken for SimTimeout end the connection with ErrTimeout.
	Cut    float64
	CutFor time.Duration

	// Scarce is the chance, at each accept and each Port.Socket, that the port
	// is out of descriptors, for up to ScarceFor.
	Scarce    float64
	ScarceFor time.Duration
	// Stall is the chance, each time a port waits, that it does not wake for up to StallFor,
	// whatever happens. Spurious is the chance that it wakes without a reason.
	Stall    float64
	StallFor time.Duration
	Spurious float64

	// Trace gets a line for each event: the time since the network was first used, the event
	// and the connection. nil: no trace.
	Trace io.Writer
}

// SimTimeout is how long a network of [NewSimSeed] waits for an answer before it gives up a
// connect or a connection.
const SimTimeout = 2 * time.Minute

// NewSimSeed makes a network on which everything takes time and may go wrong, as cfg says. All
// random choices come from seed. The clock is that of package time. So in a bubble of
// testing/synctest, if the network was made there, an hour costs no more than the events in
// it.
//
// In a bubble the same seed gives the same run, event by event, if the program itself is
// deterministic: ports must be Exclusive, and the program must start its goroutines with
// [Sim.Go] and let them sleep with [Sim.Sleep], so that no two of them run at the same
// instant.
func NewSimSeed(seed uint64, cfg SimConfig) *Sim {
	n := NewSim()
	n.seed, n.cfg = seed, cfg
	n.clock = newSimClock(n.tick)
	n.draws = n.chance(0)
	return n
}

// Calm ends all faults: from now on only the delays, splits and windows of the configuration
// apply. Connections that are cut are healed.
func (n *Sim) Calm() {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &n.cfg
	c.Reset, c.Refuse, c.Hang, c.Cut, c.Scarce, c.Stall, c.Spurious = 0, 0, 0, 0, 0, 0, 0
	for _, number := range slices.Sorted(maps.Keys(n.severed)) {
		n.heal(n.severed[number])
	}
}

// UpTo returns a random duration between 0 and d, for programs that wait for a random time. On
// a network without a clock it does not come from a seed.
func (n *Sim) UpTo(d time.Duration) time.Duration {
	if n.clock == nil {
		return rand.N(min(d, math.MaxInt64-1) + 1)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.draws.upTo(d)
}

// simChance is what one port or one end of a connection draws from. Each draws
// from its own, so that none depends on what the others do.
type simChance struct{ *rand.Rand }

// chance gives that of a number.
func (n *Sim) chance(number uint64) simChance {
	if n.clock == nil {
		return simChance{}
	}
	return simChance{rand.New(rand.NewPCG(n.seed, number))}
}

// strikes draws whether something with this chance happens.
func (c simChance) strikes(chance float64) bool { return chance > 0 && c.Float64() < chance }

// upTo draws a duration.
func (c simChance) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(c.Int64N(min(int64(d), math.MaxInt64-1) + 1))
}

// delay draws how long something is on its way.
func (n *Sim) delay(c simChance) time.Duration {
	if n.clock == nil {
		return 0
	}
	return n.cfg.MinDelay + c.upTo(n.cfg.MaxDelay-n.cfg.MinDelay)
}

// trace tells what happened. mu is held.
func (n *Sim) trace(format string, args ...any) {
	if n.cfg.Trace != nil {
		now := time.Duration(n.clock.in(0))
		fmt.Fprintf(n.cfg.Trace, "%v "+format+"\n", append([]any{now}, args...)...)
	}
}

// digest is a short form of bytes for the trace.
func digest(p []byte) uint32 {
	h := fnv.New32a()
	h.Write(p)
	return h.Sum32()
}
