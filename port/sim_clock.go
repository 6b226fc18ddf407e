package port

import (
	"container/heap"
	"sync"
	"time"

	"github.com/proactor-go/proactor/internal/clock"
)

// simClock carries out the events of a network, one at a time.
//
// Each event has a time that no other event has. The goroutine that it wakes runs alone
// until it waits again. The times are dealt out in advance, so that it does not matter which
// of two goroutines asked first: each source of events, a port or an end of a connection,
// has a number, and may use only the times t for which t modulo simGrain is that number.
type simClock struct {
	mu    sync.Mutex // held for moments, within any other lock
	began time.Time  // of the first use
	timer *time.Timer
	run   func()
	next  simEvents
	taken map[int64]struct{} // the times of those in next
}

// simGrain, in ns, is how far the times of one number are apart.
const simGrain = 1 << 14

// simEvent is something that is to happen.
type simEvent struct {
	at    int64 // ns since the clock began
	index int   // place in the heap, plus one; 0: not in it
	do    func()
}

func newSimClock(run func()) *simClock {
	return &simClock{run: run, taken: make(map[int64]struct{})}
}

// in is the time, in ns, when d will have passed.
func (c *simClock) in(d time.Duration) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return clock.After(c.now(), d)
}

// now is the time in ns. mu is held.
func (c *simClock) now() int64 {
	if c.began.IsZero() {
		c.began = time.Now()
	}
	return int64(time.Since(c.began))
}

// set has e happen when d has passed, and not before the time floor, as soon
// after as is free for this number. It gives that time. If e was to happen
// already, at another time, it moves.
func (c *simClock) set(e *simEvent, number uint64, d time.Duration, floor int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.put(e, number, max(clock.After(c.now(), max(d, 0)), floor))
}

// hasten is set, unless e is to happen earlier already.
func (c *simClock) hasten(e *simEvent, number uint64, d time.Duration, floor int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := max(clock.After(c.now(), max(d, 0)), floor)
	if e.index == 0 || e.at > t+simGrain {
		c.put(e, number, t)
	}
}

// simForever, in ns, is what any later time counts as, so that there are free ones
// after it.
const simForever = never / 2

// put puts e where it belongs after the time t. mu is held.
func (c *simClock) put(e *simEvent, number uint64, t int64) int64 {
	c.drop(e)
	t = min(t, simForever) + 1
	t += (int64(number%simGrain) - t%simGrain + simGrain) % simGrain
	for c.has(t) {
		t += simGrain
	}
	e.at = t
	c.taken[t] = struct{}{}
	heap.Push(&c.next, e)
	if e.index == 1 {
		c.arm()
	}
	return t
}

func (c *simClock) has(t int64) bool {
	_, ok := c.taken[t]
	return ok
}

// cancel keeps e from happening.
func (c *simClock) cancel(e *simEvent) {
	c.mu.Lock()
	c.drop(e)
	c.mu.Unlock()
}

func (c *simClock) drop(e *simEvent) {
	if e.index > 0 {
		heap.Remove(&c.next, e.index-1)
		delete(c.taken, e.at)
	}
}

// due takes out what is to happen now, nil if nothing is yet: then the clock
// runs again when something is. It may have run for what was canceled.
func (c *simClock) due() *simEvent {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.next) > 0 && c.next[0].at <= c.now() {
		e := c.next[0]
		c.drop(e)
		return e
	}
	c.arm()
	return nil
}

// arm sets the timer for what is next.
func (c *simClock) arm() {
	if len(c.next) == 0 {
		return
	}
	d := time.Duration(c.next[0].at - c.now())
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.run)
	} else {
		c.timer.Reset(d)
	}
}

// simEvents is a heap, the next one on top.
type simEvents []*simEvent

func (s simEvents) Len() int           { return len(s) }
func (s simEvents) Less(i, j int) bool { return s[i].at < s[j].at }
func (s simEvents) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i+1, j+1
}
func (s *simEvents) Push(x any) {
	e := x.(*simEvent)
	*s = append(*s, e)
	e.index = len(*s)
}
func (s *simEvents) Pop() any {
	old := *s
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	e.index = 0
	return e
}
