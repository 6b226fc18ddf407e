package hub

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/proactor-go/proactor"
)

// room is one room on this node. It is there while it has members.
type room struct {
	hub   *Hub
	of    *shard
	name  string
	users int // guarded by of.mu: seats, and those about to be

	// Of the goroutine that speaks to NATS.
	messages, states *nats.Subscription // nil: none

	mu      sync.Mutex
	parts   []*part // of the members, by loop; none is empty
	members int
	forms   []use // those in which the members are told
	slow    missed
	here    presence
	kept

	due    atomic.Bool   // the next tick looks at the room
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
	return r.members
}

func (r *room) add(s *Seat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, by, socket := connOf(s.member)
	r.use(by, socket != nil, 1)
	p := r.partOn(c)
	p.mu.Lock()
	p.add(s)
	p.mu.Unlock()
	r.members++
	r.here.came(s.name)
	r.wants()
	if r.unkept {
		s.alone(func() { s.give(r.keepsEvent()) })
	}
	if s.resuming != isHere {
		r.comesBack(s)
	}
}

// partOn is the part of those that are on the loop of a connection; nil: on none. mu is held.
func (r *room) partOn(c *proactor.Conn) *part {
	var loop proactor.Loop
	if c != nil {
		loop = c.Loop()
	}
	for _, p := range r.parts {
		if p.loop == loop {
			return p
		}
	}
	p := &part{room: r, loop: loop}
	if c != nil {
		p.lane = r.hub.lanes.get(loop)
	}
	r.parts = append(r.parts, p)
	return p
}

// use is how many members are told in a form.
type use struct {
	by    *Protocol
	socks bool
	n     int
}

// use notes that so many more members are told in a form. mu is held.
func (r *room) use(by *Protocol, socket bool, n int) {
	if by == nil {
		return
	}
	i := slices.IndexFunc(r.forms, func(u use) bool { return u.by == by && u.socks == socket })
	if i < 0 {
		i = len(r.forms)
		r.forms = append(r.forms, use{by: by, socks: socket})
	}
	if r.forms[i].n += n; r.forms[i].n == 0 {
		r.forms = slices.Delete(r.forms, i, i+1)
	}
}

// encode makes the forms of an event that members are told in: here, and not on their loops. mu is held.
func (r *room) encode(e *Event) {
	e.shared()
	for _, u := range r.forms {
		if u.socks {
			e.frameOf(u.by) // an error is the member's
		} else {
			e.form(u.by)
		}
	}
}

// wants has the next tick look at the room.
func (r *room) wants() {
	if r.due.CompareAndSwap(false, true) {
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
	p := s.part
	p.mu.Lock()
	p.remove(s)
	empty := len(p.seats) == 0
	p.mu.Unlock()
	if empty {
		r.parts = slices.DeleteFunc(r.parts, func(o *part) bool { return o == p })
		if p.lane != nil {
			r.hub.lanes.put(p.lane)
		}
	}
	r.members--
	_, by, socket := connOf(s.member)
	r.use(by, socket != nil, -1)
	if s.resuming != isHere {
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
	r.tell(&Event{Kind: Message, Room: r.name, Payload: m.Data, Time: time.Now()}, everyone)
}

func (r *room) tell(e *Event, to audience) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellLocked(e, to)
}

// tellLocked has members be told an event. Those that are on loops are told soon, all others now. mu is held.
func (r *room) tellLocked(e *Event, to audience) {
	r.encode(e)
	for _, p := range r.parts {
		p.tell(e, to)
	}
}

// tellRest tells all members what waits for them.
func (r *room) tellRest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.parts {
		p.mu.Lock()
		p.tellAll()
		p.mu.Unlock()
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
	r.due.Store(false)
	r.tellMissed(now)
	still := false
	for _, p := range r.parts {
		still = p.catchUp() || still
	}
	if r.report(now) || still {
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
	r.tellLocked(&Event{Kind: Dropped, Room: r.name, Lost: all - r.slow.told, Time: now}, everyone)
	r.slow.told = all
	r.wants() // until a moment passes in which nothing is lost
}
