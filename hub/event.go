package hub

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/websocket"
)

// Kind is what an Event tells.
type Kind uint8

const (
	// Message is what somebody has published: Payload, and Seq where it is kept.
	Message Kind = iota
	// Presence is who is in the room: Count, Names. The first one that a member gets comes soon after its
	// Join. Later ones say who came and left since the one before: Joined and Left.
	Presence
	// Dropped: messages were lost between the event before and the next one: Lost.
	Dropped
	// Gap: messages from number From to number To, as far as there were any in this room, are not kept any more, and this member has
	// missed them. A From of 0: what the member has seen last is not in the history, which has begun anew.
	Gap
	// Unkept: from now on messages are not kept, because too few of the nodes that keep them are there. They come as without
	// Options.History, and those that are not kept have no Seq. A member that joins then is told soon after.
	Unkept
	// Kept: messages are kept again.
	Kept
)

// Event is what a member is told. Events of one room come to a member one after the other, in one
// order. All members on a node share it: nobody may change it, or what it refers to.
type Event struct {
	Kind Kind
	Room string
	// Time is when this node has heard of it, or for a message with a Seq, when it came to be kept.
	Time time.Time

	// Payload is what was given to Publish.
	Payload []byte
	// Seq is the number of the message in the history: larger than that of any message before in the room, but not by one. 0: it is
	// not kept.
	Seq uint64
	// From and To are the first and the last number of a Gap.
	From, To uint64

	// Count is how many are in the room, on all nodes: different names, and members without one. In a
	// room of more than MaxNames a name that is on two nodes may count twice.
	Count int
	// Names are at most MaxNames of them, sorted. Where there are more, they are a sample.
	Names []string
	// Joined and Left are the names that came and went since the event before. Where both are empty, Names
	// stands alone: the first time, after the member was behind, in a room of more than MaxNames, and when it
	// no longer is one.
	Joined, Left []string

	// Lost is how many messages this member has not got.
	Lost int

	forms *forms // nil: it is not shared
}

// forms are an event as each Protocol encodes it. Those who are told it share them, on whichever goroutines.
type forms struct {
	first atomic.Pointer[encoding]
	mu    sync.Mutex // of whoever adds one
	held  int        // what the event was counted with in the room's past; guarded by the lock of the room
}

type encoding struct {
	by    *Protocol
	bytes []byte
	frame atomic.Pointer[websocket.Prepared] // of bytes, for WebSockets; nil: no one needed it yet
	next  *encoding
}

func (f *forms) find(p *Protocol) *encoding {
	e := f.first.Load()
	for e != nil && e.by != p {
		e = e.next
	}
	return e
}

// form is the event as p encodes it.
func (e *Event) form(p *Protocol) *encoding {
	f := e.forms
	if f == nil {
		return &encoding{by: p, bytes: p.Encode(e)}
	}
	if c := f.find(p); c != nil {
		return c
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.find(p)
	if c == nil {
		c = &encoding{by: p, bytes: p.Encode(e), next: f.first.Load()}
		f.first.Store(c)
	}
	return c
}

// frameOf is the message that WebSockets are sent; nil: nothing.
func (e *Event) frameOf(p *Protocol) (*websocket.Prepared, error) {
	c := e.form(p)
	if c.bytes == nil {
		return nil, nil
	}
	if m := c.frame.Load(); m != nil {
		return m, nil
	}
	m, err := websocket.Prepare(p.typeOf(c.bytes), c.bytes)
	if err != nil {
		return nil, err
	}
	c.frame.CompareAndSwap(nil, m)
	return c.frame.Load(), nil
}

// shared has all who are told the event share its forms. The lock of the room is held.
func (e *Event) shared() {
	if e.forms == nil {
		e.forms = new(forms)
	}
}
