package hub

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// kept is a room's part of the history. It is guarded by the lock of the room.
type kept struct {
	ready    atomic.Bool // subscribed: what is published now comes
	isBased  bool        // it is known where the stream is, or that nobody knows
	flow     *nats.Subscription
	past     past
	want     uint64  // a message with this number has come, and was not taken because one before it is missing
	check    bool    // something may be missing: the stream has to be asked
	cut      bool    // and this node was cut off: what it has missed need not be kept any more
	short    int     // how many times in a row the stream was found to end before past.last
	queued   bool    // for a reader
	resuming []*Seat // that wait for what they have missed
	gone     int     // of them: have left
	unkept   bool    // the members know that messages are not kept

	numbers map[string]uint64 // of each hub: the last message from it that came from the stream
	maybe   map[string]bool   // ids of messages that have come by flow, and may be in the stream as well
}

// hubsMost bounds how many hubs a room remembers the numbers of. They matter for the moment in which messages come to be kept no more.
const hubsMost = 64

// unconfirmed is the header of a message that flows, and may have come to be kept as well.
const unconfirmed = "Hub-Unconfirmed"

func (r *room) based(last uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isBased = true
	if last > 0 && !r.past.known {
		r.past.begin(last)
	}
}

// live takes a message that the stream has just kept.
func (r *room) live(m *nats.Msg) {
	s, ok := parseStored(r.name, m)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.past.known {
		if s.prev == 0 {
			s.prev = s.Seq - 1
		}
		r.past.begin(s.prev)
	}
	switch {
	case s.Seq <= r.past.last: // a leader has said it again
		if e := r.past.events; len(e) == 0 || s.Time.After(e[len(e)-1].Time) {
			r.check = true // or the stream has begun anew
			r.needs()
		}
	case s.prev > r.past.last, s.prev == 0 && r.cut:
		r.want = s.Seq
		r.needs()
	default:
		r.take(s)
	}
}

// take takes the next message of the stream. mu is held.
func (r *room) take(s stored) {
	if again(&r.numbers, s.id) {
		r.past.last = s.Seq
		return
	}
	if !r.maybe[s.id] {
		r.tellLocked(s.Event, current)
	}
	r.past.add(s.Event, &r.hub.keep.o)
}

// again notes the number of a message, and reports whether it is that of the one before from the same hub: it was sent again when
// the stream had forgotten its id.
func again(numbers *map[string]uint64, id string) bool {
	hub, n := splitID(id)
	if hub == "" {
		return false
	}
	before, ok := (*numbers)[hub]
	remember(numbers, hub, max(n, before))
	return ok && n == before
}

// flowed takes a message that nobody keeps.
func (r *room) flowed(m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Header[unconfirmed] != nil {
		id := lastOf(m.Header, nats.MsgIdHdr)
		if hub, n := splitID(id); hub == "" || n <= r.numbers[hub] {
			return // it is kept after all: it has come, or will
		}
		remember(&r.maybe, id, true)
	}
	if !r.unkept {
		poke(r.hub.keep.doubt)
	}
	r.tellLocked(&Event{Kind: Message, Room: r.name, Payload: m.Data, Time: time.Now()}, everyone)
}

func remember[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	if _, ok := (*m)[key]; !ok && len(*m) >= hubsMost {
		for old := range *m {
			delete(*m, old)
			break
		}
	}
	(*m)[key] = v
}

// gap tells that messages up to this one are not kept any more. mu is held.
func (r *room) gap(to uint64) { r.gapFrom(r.past.last+1, to) }

func (r *room) gapFrom(from, to uint64) {
	r.tellLocked(&Event{Kind: Gap, Room: r.name, From: from, To: to, Time: time.Now()}, current)
	p := &r.past
	p.begin(to)
	p.events, p.bytes, p.whole = nil, 0, true // what is before the gap is kept no more, either
}

// shortMost is how many times in a row the stream has to end before what a room knows, so that it counts as begun anew: a new
// leader may lag.
const shortMost = 4

var errShort = errors.New("the stream ends before what the room knows")

// endsBefore finds that the stream ends before the last message. JetStream has made it again, with the numbers of before.
func (r *room) endsBefore(s *streamState) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.short++; r.short < shortMost {
		return errShort
	}
	r.want = 0
	r.gapFrom(0, max(s.State.FirstSeq, 1)-1)
	return nil
}

// flows tells the members whether messages are kept.
func (r *room) flows() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flowsLocked(r.hub.keep.modeNow() == flowing) // under the lock, so that the last word is right
}

func (r *room) flowsLocked(yes bool) {
	if r.unkept != yes {
		r.unkept = yes
		r.tellLocked(r.keepsEvent(), everyone)
	}
}

func (r *room) keepsEvent() *Event {
	e := &Event{Kind: Kept, Room: r.name, Time: time.Now()}
	if r.unkept {
		e.Kind = Unkept
	}
	return e
}

// forgetOld drops what is too old, in a room where nothing new comes.
func (r *room) forgetOld() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.past.trim(&r.hub.keep.o, time.Now())
}

// comesBack takes a seat whose member has missed something. mu is held.
func (r *room) comesBack(s *Seat) {
	if r.past.covers(s.since) {
		r.replay(s)
		return
	}
	r.resuming = append(r.resuming, s)
	r.needs()
}

// comesNot: a seat of resuming has left. Those go together, when they are half of it: it may be long until the stream answers. mu is held.
func (r *room) comesNot() {
	if r.gone++; 2*r.gone >= len(r.resuming) {
		r.resuming = slices.DeleteFunc(r.resuming, func(s *Seat) bool { return s.place < 0 })
		r.gone = 0
	}
}

// ahead reports whether a member comes back that has seen a later message than this node. mu is held.
func (r *room) ahead() bool {
	return slices.ContainsFunc(r.resuming, func(s *Seat) bool { return !r.past.known || s.since > r.past.last && s.resuming != asked })
}

// resumeMost is how many events are given under one hold of the lock to those that come back, as far as one member gets no more.
const resumeMost = 4096

// resume gives those that wait what they have missed: the stream was asked. The rest of them wait for the next turn. mu is held.
func (r *room) resume() {
	waiting := r.resuming
	r.resuming, r.gone = nil, 0
	given := 0
	for i, s := range waiting {
		if given >= resumeMost {
			r.resuming = append(r.resuming, waiting[i:]...)
			break
		}
		switch {
		case s.place < 0: // it has left
		case !r.past.known || s.since > r.past.last && s.resuming != asked || !r.past.whole && !r.past.covers(s.since):
			r.resuming = append(r.resuming, s) // it came meanwhile
		default:
			given += 1 + r.replay(s)
		}
	}
}

// replay gives a member what it has missed, and reports how many messages that was. mu is held, so what is live comes after it.
func (r *room) replay(s *Seat) (n int) {
	s.alone(func() { n = r.replayTo(s) })
	return n
}

func (r *room) replayTo(s *Seat) int {
	s.resuming = isHere
	p, now := &r.past, time.Now()
	p.trim(&r.hub.keep.o, now)
	since := s.since
	switch {
	case since > p.last: // it is of a stream that is gone
		since = 0
		s.give(&Event{Kind: Gap, Room: r.name, To: p.from, Time: now})
	case since > 0 && since < p.from:
		s.give(&Event{Kind: Gap, Room: r.name, From: since + 1, To: p.from, Time: now})
	}
	missed := p.after(since)
	n := len(missed)
	for _, e := range missed {
		e.shared()
		s.give(e)
	}
	p.weigh(&r.hub.keep.o, now)
	return n
}

func (r *room) baseKnown() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.isBased
}
