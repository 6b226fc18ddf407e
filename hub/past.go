package hub

import (
	"slices"
	"sort"
	"time"
	"unsafe"
)

// past is what a node holds of a room's kept messages, to give it to members that come back. It is guarded by
// the lock of the room.
type past struct {
	known  bool     // where the stream is
	last   uint64   // all messages up to this number have come, or were told to be missing
	from   uint64   // all those after it, up to last, are in events
	whole  bool     // and before it nothing is kept, or no more than may be held
	events []*Event // by Seq
	bytes  int      // of events: their held
}

// cost is what an event that is held, or waits, costs, in bytes.
func (e *Event) cost() int {
	n := len(e.Payload) + overhead
	for _, names := range [][]string{e.Names, e.Joined, e.Left} {
		for _, name := range names {
			n += len(name) + int(unsafe.Sizeof(name))
		}
	}
	if e.forms == nil {
		return n
	}
	for c := e.forms.first.Load(); c != nil; c = c.next {
		n += 2 * len(c.bytes) // as it is, and framed or compressed for WebSockets
	}
	return n
}

// hold is the cost, and notes it.
func (e *Event) hold() int {
	e.shared()
	e.forms.held = e.cost()
	return e.forms.held
}

// begin: what is published after this number has to come.
func (p *past) begin(last uint64) { p.known, p.last, p.from = true, last, last }

// add takes the next message.
func (p *past) add(e *Event, o *History) {
	p.last = e.Seq
	p.events = append(p.events, e)
	p.bytes += e.hold()
	p.trim(o, e.Time)
}

// trim drops what is too much or too old.
func (p *past) trim(o *History, now time.Time) {
	drop := 0
	for ; drop < len(p.events); drop++ {
		e := p.events[drop]
		if len(p.events)-drop <= o.Last && p.bytes <= MaxReplay && now.Sub(e.Time) <= o.For {
			break
		}
		p.bytes -= e.forms.held
		p.from = e.Seq
	}
	p.events = slices.Delete(p.events, 0, drop)
}

// covers reports whether a member that comes back with this number can be told what it has missed. One after last is of a node that
// knew more, or of a stream that is gone: the stream has to be asked.
func (p *past) covers(since uint64) bool {
	return p.known && since <= p.last && (p.whole || since > 0 && since >= p.from)
}

func (p *past) after(since uint64) []*Event {
	return p.events[sort.Search(len(p.events), func(i int) bool { return p.events[i].Seq > since }):]
}

// weigh counts the bytes again, after events were encoded.
func (p *past) weigh(o *History, now time.Time) {
	p.bytes = 0
	for _, e := range p.events {
		p.bytes += e.hold()
	}
	p.trim(o, now)
}

// fill puts what the stream has kept of the time before from in front. upTo: of that time nothing is missing after this number.
func (p *past) fill(events []*Event, upTo uint64, o *History, now time.Time) {
	p.events = slices.Concat(events, p.events)
	p.from, p.whole = min(p.from, upTo), true
	p.weigh(o, now)
}
