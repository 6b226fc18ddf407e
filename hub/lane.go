package hub

import (
	"math"
	"sync"

	"github.com/proactor-go/proactor"
)

const (
	// portion is about how many events a loop tells members before it looks at its connections again. So no callback waits for a
	// large room, and the records of so few sends are in use at a time.
	portion = 64
	// laneMost bounds what waits for a loop, in bytes: payloads, names, what members are sent of them, and 256 for each event and
	// room. A loop for which more waits stands still, or is slower than what comes; then the hub's goroutine writes to the
	// members, as far as each of them has room.
	laneMost = 1 << 20
)

// lane is what the members of all rooms on one loop are to be told.
type lane struct {
	loop proactor.Loop
	uses int // guarded by lanes.mu: parts

	mu     sync.Mutex
	parts  []*part // in which something waits, and which have no turn now
	posted bool    // the loop has a task for them, of which there is never a second one
	ended  bool    // the loop has
	bytes  int     // that wait
}

// lanes are those of the loops on which a hub has members.
type lanes struct {
	mu  sync.Mutex
	all map[proactor.Loop]*lane
}

// get is the lane of a loop, for one more part.
func (l *lanes) get(loop proactor.Loop) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.all[loop]
	if a == nil {
		if l.all == nil {
			l.all = map[proactor.Loop]*lane{}
		}
		a = &lane{loop: loop}
		l.all[loop] = a
	}
	a.uses++
	return a
}

// put gives back what get has given.
func (l *lanes) put(a *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.uses--; a.uses == 0 {
		delete(l.all, a.loop)
	}
}

// take reports whether an event of so many bytes may wait for the loop. Then the part has a turn.
func (l *lane) take(p *part, cost int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || l.bytes+cost > laneMost {
		return false
	}
	l.enlist(p)
	if l.post(); l.ended {
		return false
	}
	l.bytes += cost
	return true
}

// list gives a part another turn.
func (l *lane) list(p *part) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.enlist(p)
}

// enlist puts a part behind those that have a turn before it. mu is held.
func (l *lane) enlist(p *part) {
	if !p.listed {
		p.listed = true
		l.parts = append(l.parts, p)
	}
}

// post has the loop run. mu is held.
func (l *lane) post() {
	if !l.posted && len(l.parts) > 0 && !l.ended {
		l.posted = true
		l.ended = l.loop.Post(l.run) != nil
	}
}

func (l *lane) release(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes -= bytes
}

// run is the task of the loop.
func (l *lane) run() { l.tell(portion) }

// tell gives parts their turns, until members were told about so many events or nothing waits.
func (l *lane) tell(most int) {
	defer l.again() // also where a Layer panics
	for most > 0 {
		p := l.next()
		if p == nil {
			return
		}
		most -= max(1, p.turn(min(most, portion)))
	}
}

// next is the part whose turn it is; nil: nothing waits.
func (l *lane) next() *part {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.parts) == 0 {
		l.parts = nil
		return nil
	}
	p := l.parts[0]
	l.parts[0] = nil
	l.parts = l.parts[1:]
	p.listed = false
	return p
}

// again has the loop go on, when it has looked at its connections. One that has ended takes no more tasks, and tells all that waits
// now: some members may stay, and nobody else would tell them before the next event.
func (l *lane) again() {
	if !l.goesOn() {
		l.tell(math.MaxInt)
	}
}

// goesOn reports whether what waits will have its turn.
func (l *lane) goesOn() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posted = false
	l.post()
	return !l.ended || len(l.parts) == 0
}
