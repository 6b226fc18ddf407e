package hub

import (
	"slices"
	"sync"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// part is those members of a room that are on one loop, or on none. All are told the same, in the order of queue: on the
// loop, some at a time. Whoever tells one of them something else has it told first what waits for it.
type part struct {
	room *room
	loop proactor.Loop // the zero value: they are on none, and are told at once
	lane *lane         // nil: likewise

	mu     sync.Mutex
	seats  []*Seat // room.mu is held, too, where it is changed
	behind []*Seat // some of them
	fresh  []*Seat // that are to be told who is here, as a whole
	queue  []entry // that not all have been told
	tail   uint8   // number of the entry that will be behind the last of queue
	until  uint8   // the entries before this one are being told,
	left   int     // to seats[:left] still

	listed bool // in lane.parts; guarded by lane.mu
}

// entry is an event that waits for the members of a part.
type entry struct {
	event *Event
	to    audience
	cost  int // of lane.bytes
}

// audience is who is told an event.
type audience uint8

const (
	everyone audience = iota
	current           // who does not wait for messages from before it
	knowing           // who knows who was here before
)

func (a audience) has(s *Seat) bool {
	switch a {
	case current:
		return s.resuming == isHere
	case knowing:
		return !s.fresh
	default:
		return true
	}
}

const (
	// queueMost is how many events wait for the members of a room on one loop. Seats have the numbers of them in 8 bits.
	queueMost = 64
	// passMost is how many of them a member is told in its turn.
	passMost = 16
)

// tell has those members be told an event: by their loop or, where too much waits for that, or it has ended, now. room.mu is
// held, and all that is told is told under it.
func (p *part) tell(e *Event, to audience) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lane == nil {
		for _, s := range p.seats {
			if to.has(s) {
				s.give(e)
			}
		}
		return
	}
	cost := e.cost()
	waits := len(p.queue) < queueMost && p.lane.take(p, cost)
	if !waits {
		cost = 0
	}
	p.queue = append(p.queue, entry{e, to, cost})
	p.tail++
	if !waits {
		p.tellAll()
	}
}

// tellAll tells all members what waits for them. mu is held.
func (p *part) tellAll() {
	for len(p.queue) > 0 {
		p.tellSome(portion)
	}
}

// turn is the loop's: it tells members some of what waits for them, and reports how much that was. Where a Layer panics, or
// ends the goroutine, the others are told in the next turn.
func (p *part) turn(most int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() {
		if len(p.queue) > 0 {
			p.lane.list(p)
		}
	}()
	return p.tellSome(most)
}

// tellSome tells members what waits for them, until that were so many events or it is done, and reports how many they were. A
// member that was to be told nothing counts as one. mu is held.
func (p *part) tellSome(most int) (told int) {
	for {
		if p.left == 0 {
			p.drop()
			if len(p.queue) == 0 {
				return told
			}
			p.until, p.left = p.first()+uint8(min(len(p.queue), passMost)), len(p.seats)
			continue
		}
		if told >= most {
			return told
		}
		// From the end: the last one takes the place of one that leaves. One that does not return has the rest in the next turn.
		told += max(1, p.bring(p.seats[p.left-1], p.until))
		p.left--
	}
}

// bring tells a member what waits for it before an entry, and reports how many events that were. mu is held.
func (p *part) bring(s *Seat, until uint8) (n int) {
	for ; int8(until-s.next) > 0; n++ {
		e := p.queue[s.next-p.first()]
		s.next++ // first: what is called may not return
		if e.to.has(s) {
			s.give(e.event)
		}
	}
	return n
}

// first is the number of the first entry of queue.
func (p *part) first() uint8 { return p.tail - uint8(len(p.queue)) }

// drop forgets what all were told. mu is held.
func (p *part) drop() {
	n, bytes := int(p.until-p.first()), 0
	for _, e := range p.queue[:n] {
		bytes += e.cost
	}
	p.queue = slices.Delete(p.queue, 0, n)
	if len(p.queue) == 0 && cap(p.queue) > passMost {
		p.queue = nil // not for as long as the room lasts
	}
	if bytes > 0 {
		p.lane.release(bytes)
	}
}

// add takes a new member, which is told what is told from now on. Both locks are held.
func (p *part) add(s *Seat) {
	s.part, s.next, s.place = p, p.tail, int32(len(p.seats))
	p.seats = append(p.seats, s)
	p.fresh = append(p.fresh, s)
}

// remove takes a member out. Both locks are held.
func (p *part) remove(s *Seat) {
	last := len(p.seats) - 1
	p.seats[s.place] = p.seats[last]
	p.seats[s.place].place = s.place
	p.seats[last] = nil
	p.seats = p.seats[:last]
	p.left = min(p.left, last)
	s.place, s.late = -1, nil
	if last == 0 {
		p.until, p.left = p.tail, 0
		p.drop()
	}
}

// alone does something with one member that the others of its part are not told, when it was told what waits for it.
func (s *Seat) alone(f func()) {
	p := s.part
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bring(s, p.tail)
	f()
}

// catchUp gives those that were behind what waits for them, and reports whether some still are.
func (p *part) catchUp() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	still := p.behind[:0]
	for _, s := range p.behind {
		if s.place >= 0 && s.catchUp() {
			still = append(still, s)
		} else {
			s.late = nil
		}
	}
	clear(p.behind[len(still):])
	p.behind = still
	return len(still) > 0
}

// connOf is the connection that a member is, or is made of, and the Protocol that it is told in; nil: it is none.
func connOf(m Member) (c *proactor.Conn, by *Protocol, socket *websocket.Conn) {
	for {
		switch v := m.(type) {
		case connMember:
			return v.c, v.by, nil
		case socketMember:
			return v.c.Transport(), v.by, v.c
		case interface{ Unwrap() Member }:
			m = v.Unwrap()
		default:
			return nil, nil, nil
		}
	}
}
