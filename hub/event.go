package hub

import "time"

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

	encoded []encoding // by each Protocol
	held    int        // what it was counted with in the room's past
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
