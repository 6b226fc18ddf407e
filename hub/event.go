package hub

import "time"

// Kind is what an Event tells.
type Kind uint8

const (
	// Message is what somebody has published: Payload, Seq.
	Message Kind = iota
	// Presence is who is in the room: Count, Names. The first one that a member gets comes soon after its
	// Join. Later ones say who came and left since the one before: Joined and Left.
	Presence
	// Dropped: messages were lost between the event before and the next one: Lost.
	Dropped
)

// Event is what a member is told. Events of one room come to a member one after the other, in one
// order. All members on a node share it: nobody may change it, or what it refers to.
type Event struct {
	Kind Kind
	Room string
	// Time is when this node has heard of it.
	Time time.Time

	// Payload is what was given to Publish.
	Payload []byte

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

	encoded []encoding // by each Protocol
}

type encoding struct {
	by    *Protocol
	bytes []byte
	frame any // a *websocket.Prepared
}

// form is the event as p encodes it. The lock of the room is held.
func (e *Event) form(p *Protocol) *encoding {
	for i := range e.encoded {
		if e.encoded[i].by == p {
			return &e.encoded[i]
		}
	}
	e.encoded = append(e.encoded, encoding{by: p, bytes: p.Encode(e)})
	return &e.encoded[len(e.encoded)-1]
}
