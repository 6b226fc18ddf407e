package hub

import (
	"container/list"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// room is one room on this node. It is there while it has members.
type room struct {
	hub   *Hub
	of    *shard
	name  string
	users int // guarded by of.mu: seats, and those about to be

	// Of the goroutine that speaks to NATS.
	messages, states *nats.Subscription // nil: none

	mu     sync.Mutex
	seats  []*Seat
	behind []*Seat // some of them
	fresh  []*Seat // that are to be told who is here, as a whole
	slow   missed
	here   presence
	due    bool // the next tick looks at the room
	kept

	listed *list.Element // in outbox.rooms, guarded by outbox.mu; nil: it is not
}

// missed is what did not get into the shard's inbox.
type missed struct {
	sub  *nats.Subscription // the room's own to its messages; nil: none so far
	told int                // of its Dropped
}

func newRoom(s *shard, name string) *room {
	r := &room{hub: s.hub, of: s, name: name}
	r.here.init()
	if k := s.hub.keep; k != nil {
		r.unkept = k.modeNow() == flowing
	} else {
		r.ready.Store(true)
	}
	return r
}

func (r *room) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seats)
}

func (r *room) add(s *Seat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.place = int32(len(r.seats))
	r.seats = append(r.seats, s)
	r.fresh = append(r.fresh, s)
	r.here.came(s.name)
	r.wants()
	if r.unkept {
		s.give(r.keepsEvent())
	}
	if s.resuming {
		r.comesBack(s)
	}
}

// wants has the next tick look at the room. mu is held.
func (r *room) wants() {
	if !r.due {
		r.due = true
		r.hub.due.add(r)
	}
}

// remove reports whether the seat was there.
func (r *room) remove(s *Seat) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.place < 0 {
		return false
	}
	last := int32(len(r.seats) - 1)
	r.seats[s.place] = r.seats[last]
	r.seats[s.place].place = s.place
	r.seats[last] = nil
	r.seats = r.seats[:last]
	s.place, s.late = -1, nil
	if s.resuming {
		r.comesNot()
	}
	r.here.went(s.name)
	r.wants()
	return true
}

// look subscribes to the room's subjects, or unsubscribes. First the messages, then the states: so whoever
// hears from this node that it has members here may know that messages will reach them, too. It is
// called by one goroutine.
func (r *room) look() {
	switch used := r.of.used(r); {
	case used && r.messages == nil:
		if r.hub.keep != nil && !r.baseKnown() {
			r.hub.keep.seek(r)
			return
		}
		if err := r.subscribe(); err != nil { // the hub is being closed
			return
		}
		r.mu.Lock()
		r.slow.sub = r.messages
		if r.hub.keep != nil {
			r.slow.sub = r.flow // what is missing of the others is read from the stream
			r.ready.Store(true)
			r.check = true // between its base and now
			r.needs()
		}
		r.here.subscribed, r.here.asks, r.here.unsent = true, true, true
		r.wants()
		r.mu.Unlock()
	case !used && r.messages != nil:
		r.messages.Unsubscribe()
		r.states.Unsubscribe()
		if r.flow != nil {
			r.flow.Unsubscribe()
		}
		r.messages, r.states, r.flow = nil, nil, nil
		r.mu.Lock()
		r.here.unsent = true // again, now that NATS is there
		r.wants()
		r.mu.Unlock()
	}
}

func (r *room) subscribe() (err error) {
	messages := roomSubject
	if r.hub.keep != nil {
		messages = liveSubject
		if r.flow, err = r.hub.nc.ChanSubscribe(flowSubject+r.name, r.of.inbox); err != nil {
			return err
		}
	}
	if r.messages, err = r.hub.nc.ChanSubscribe(messages+r.name, r.of.inbox); err == nil {
		r.states, err = r.hub.nc.ChanSubscribe(hereSubject+r.name, r.of.inbox)
	}
	return err
}

// deliver gives a message to all members.
func (r *room) deliver(m *nats.Msg) {
	r.tell(&Event{Kind: Message, Room: r.name, Payload: m.Data, Time: time.Now()})
}

func (r *room) tell(e *Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellLocked(e)
}

func (r *room) tellLocked(e *Event) {
	for _, s := range r.seats {
		s.give(e)
	}
}

// missed notes that messages of a subscription did not get into the inbox. The next tick tells how many.
func (r *room) missed(sub *nats.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.slow.sub == sub { // or it is one of Subscribe, or of a room that was here before
		r.wants()
	}
}

// tick does what waited for the end of a moment: it has those catch up who were behind, tells the members who
// came and left, and the other nodes who is here.
func (r *room) tick(now time.Time) {
	r.mu.Lock()
	r.due = false
	r.tellMissed(now)
	still := r.behind[:0]
	for _, s := range r.behind {
		if s.place >= 0 && s.catchUp() {
			still = append(still, s)
		} else {
			s.late = nil
		}
	}
	clear(r.behind[len(still):])
	r.behind = still
	if r.report(now) || len(still) > 0 {
		r.wants()
	}
	mine := r.here.send(r.hub)
	r.mu.Unlock()
	// The name may be another room's by now, which tells who is here; and one that is about to have a member will.
	if mine != nil && (mine.Count > 0 || r.of.get(r.name) == nil) {
		r.hub.publishJSON(hereSubject+r.name, mine)
	}
}

// tellMissed tells how many messages did not get into the inbox. mu is held.
func (r *room) tellMissed(now time.Time) {
	if r.slow.sub == nil {
		return
	}
	all, err := r.slow.sub.Dropped()
	if err != nil || all == r.slow.told {
		return
	}
	r.hub.counts.lost.Add(int64(all - r.slow.told))
	r.tellLocked(&Event{Kind: Dropped, Room: r.name, Lost: all - r.slow.told, Time: now})
	r.slow.told = all
	r.wants() // until a moment passes in which nothing is lost
}
