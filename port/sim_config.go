package port

import (
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// SimConfig says what the network of [NewSimSeed] does to those who are on it.
// The zero value is a network that does nothing to them but take its time, some
// microseconds for each thing.
//
// The chances lie between 0, never, and 1, always.
type SimConfig struct {
	// MinDelay and MaxDelay bound how long anything is on its way, in one
	// direction. What one end sends arrives in order; connections overtake
	// each other.
	MinDelay, MaxDelay time.Duration
	// Split is the chance that what is sent at once arrives in two pieces, the
	// second after a delay of its own, and may be cut again.
	Split float64
	// Window, in bytes, is the most that may be on its way and waiting to be
	// received, in one direction of a connection. Each direction has a window of
	// its own, of 1 byte to Window. 0: what the socket options say.
	Window int

	// Reset is the chance, at each thing that arrives, that the network has
	// reset the connection instead.
	Reset float64
	// Refuse is the chance that a connect is refused, Hang that it gets no
	// answer; after SimTimeout it fails with ErrTimeout.
	Refuse, Hang float64
	// Cut is the chance, at each thing that arrives, that it does not, and
	// nothing else on this connection either for up to CutFor. Then all of it
	// is sent again. What was not taken by the peer for SimTimeout ends the
	// connection with ErrTimeout.
	Cut    float64
	CutFor time.Duration

	// Scarce is the chance, at each accept and each Port.Socket, that the port
	// is out of descriptors, for up to ScarceFor.
	Scarce    float64
	ScarceFor time.Duration
	// Stall is the chance, each time a port waits, that it does not wake for
	// up to StallFor, whatever happens; Spurious, that it wakes for nothing.
	Stall    float64
	StallFor time.Duration
	Spurious float64

	// Trace gets a line for everything that happens: the time since the network
	// was first used, what, and on which connection. nil: none.
	Trace io.Writer
}

// SimTimeout is after how long without an answer a network of [NewSimSeed]
// gives up a connect or a connection.
const SimTimeout = 2 * time.Minute

// NewSimSeed makes a network on which everything takes time and may go wrong
// as cfg says. Chance is drawn from seed alone. The time is that of package
// time, so that in a bubble of testing/synctest, where the network must have
// been made, an hour costs no more than what happens in it.
//
// In a bubble the same seed gives the same run, event by event, provided that
// the program does not depend on chance itself: ports must be Exclusive, and
// goroutines that the program starts must be started by [Sim.Go] and pause by
// [Sim.Sleep], lest two of them run at the same instant.
func NewSimSeed(seed uint64, cfg SimConfig) *Sim {
	n := NewSim()
	n.seed, n.cfg = seed, cfg
	n.clock = newSimClock(n.tick)
	n.draws = n.chance(0)
	return n
}

// Calm ends all faults: from now on only the delays, splits and windows of the
// configuration are left. What is cut is healed.
func (n *Sim) Calm() {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &n.cfg
	c.Reset, c.Refuse, c.Hang, c.Cut, c.Scarce, c.Stall, c.Spurious = 0, 0, 0, 0, 0, 0, 0
	for _, number := range slices.Sorted(maps.Keys(n.severed)) {
		n.heal(n.severed[number])
	}
}

// UpTo draws a duration between 0 and d, for programs that wait by chance. On a
// network without a clock it is not drawn from a seed.
func (n *Sim) UpTo(d time.Duration) time.Duration {
	if n.clock == nil {
		return rand.N(d + 1)
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
	return time.Duration(c.Int64N(int64(d) + 1))
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
