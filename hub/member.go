package hub

import (
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// Member is what can be in a room. [Protocol] makes one of a connection; a Member of your own may be
// anything that can be written to without waiting. The hub calls the methods one at a time, under a lock of the room, on
// goroutines of its own and on those of Join: they must not block, and must not call Join, Leave, Presence or Stats, which
// take the same lock. They may Publish. A panic in them is not contained: it ends the process.
//
// A Member of your own that wraps one of a Protocol, and has a method Unwrap() Member for it, is on the loop of that
// connection, and is called there, too. A panic there is logged, and costs the member the one event.
type Member interface {
	// Write sends an event. An error that is proactor.ErrBacklog means that there is no room for it
	// now. Any other one means that the member is gone: it will soon Leave.
	Write(e *Event) error
	// Writable reports whether the member keeps up.
	Writable() bool
	// End ends a member that does not keep up.
	End()
}

// Func is a member that is code. It keeps up with everything.
type Func func(e *Event)

func (f Func) Write(e *Event) error { f(e); return nil }
func (f Func) Writable() bool       { return true }
func (f Func) End()                 {}

// Protocol is how connections are told of events. Members of one Protocol share what it has encoded, and
// compressed: that is done once for each event on a node, however many they are.
type Protocol struct {
	// Encode makes the bytes that a connection is sent, or the payload of a WebSocket's message. nil bytes: it
	// is told nothing. It is called under the lock of the room, or on the loop of a Member of your own that wraps several; the
	// bytes must not be changed any more.
	Encode func(e *Event) []byte
	// Type is that of the messages of WebSockets. 0: Text. A Text that is not UTF-8 goes as Binary, because a client
	// has to end the connection on receiving it.
	Type websocket.Type
}

// Conn makes a member of a connection. [proactor.Conn.WriteShared] sends it what the Protocol has encoded.
func (p *Protocol) Conn(c *proactor.Conn) Member { return connMember{p, c} }

// WebSocket makes a member of a WebSocket, after its Opened.
func (p *Protocol) WebSocket(c *websocket.Conn) Member { return socketMember{p, c} }

type connMember struct {
	by *Protocol
	c  *proactor.Conn
}

func (m connMember) Write(e *Event) error {
	p := e.form(m.by).bytes
	if p == nil {
		return nil
	}
	_, err := m.c.WriteShared(p)
	return err
}

func (m connMember) Writable() bool { return m.c.Writable() }
func (m connMember) End()           { m.c.Abort() }

type socketMember struct {
	by *Protocol
	c  *websocket.Conn
}

func (m socketMember) Write(e *Event) error {
	frame, err := e.frameOf(m.by)
	if frame == nil {
		return err
	}
	return m.c.WritePrepared(frame)
}

// typeOf is the type of the message that a payload goes as.
func (p *Protocol) typeOf(payload []byte) websocket.Type {
	switch {
	case p.Type != 0 && p.Type != websocket.Text:
		return p.Type
	case !utf8.Valid(payload):
		return websocket.Binary
	default:
		return websocket.Text
	}
}

func (m socketMember) Writable() bool { return m.c.Transport().Writable() }
func (m socketMember) End()           { m.c.Transport().Abort() }

// Slow is what becomes of a member that does not keep up. The others of the room never wait for it.
type Slow uint8

const (
	// Close ends the member when there is no room for an event. What it has got by then has no hole.
	Close Slow = iota
	// DropOldest keeps the last MaxWaiting messages of a member that is behind, and drops those before. When it
	// reads again it is told how many it has missed (Dropped), then the rest, and if anybody came or left
	// meanwhile, who is here now.
	//
	// For a connection, this and SkipToNewest need Limits.Overflow to be [proactor.RejectWrites]: under any other policy
	// the connection's own limits have ended it already.
	DropOldest
	// SkipToNewest keeps the last message alone: for prices, positions, scores.
	SkipToNewest
)

// MaxWaiting is how many messages wait for a member whose policy is DropOldest.
const MaxWaiting = 64

func (s Slow) keeps() int {
	if s == SkipToNewest {
		return 1
	}
	return MaxWaiting
}

// Seat is a member's place in a room.
type Seat struct {
	part   *part
	member Member
	name   string
	slow   Slow

	// Guarded by the lock of the part, and resuming and place, where they are changed, by that of the room, too.
	fresh    bool // it is in part.fresh
	resuming resumption
	next     uint8 // number of the entry of part.queue that it is told next
	place    int32 // in part.seats; −1: it has left
	since    uint64
	*late    // nil: it is not in part.behind
}

// resumption is whether a member waits for the messages after since, and those to come.
type resumption uint8

const (
	isHere resumption = iota // it does not
	waits                    // it does
	asked                    // it does, and the stream was asked what it has after since: nothing
)

// late is what there is for a member that is behind. Most are not: so it is no part of their Seats.
type late struct {
	waiting []*Event // messages, and what the node has lost between them
	lost    int      // messages it has missed before those
	aside   []*Event // Gaps, and whether messages are kept
}

// give has the member get an event, now or later. The lock of the part is held.
func (s *Seat) give(e *Event) {
	if s.slow == Close {
		if err := s.member.Write(e); errors.Is(err, proactor.ErrBacklog) {
			s.part.room.hub.counts.ended.Add(1)
			s.member.End()
		}
		return
	}
	if s.late == nil && s.member.Writable() && !errors.Is(s.member.Write(e), proactor.ErrBacklog) {
		return
	}
	if s.late == nil {
		s.late = new(late)
		s.part.behind = append(s.part.behind, s)
		s.part.room.wants()
	}
	if e.Kind == Presence {
		s.refresh()
	} else {
		s.keep(e)
	}
}

// refresh has the member told who is here, as a whole, when it is not behind: changes would not fit what it knows.
func (s *Seat) refresh() {
	if !s.fresh {
		s.fresh = true
		s.part.fresh = append(s.part.fresh, s)
	}
}

// asideMost is how many Gaps are told one by one to a member that was behind.
const asideMost = 8

// putAside has the member told, when it has caught up with nothing yet, of a Gap, or whether messages are kept: the last word on that.
func (s *Seat) putAside(e *Event) {
	if e.Kind != Gap {
		s.aside = slices.DeleteFunc(s.aside, func(o *Event) bool { return o.Kind != Gap })
	} else if gaps := slices.DeleteFunc(slices.Clone(s.aside), func(o *Event) bool { return o.Kind != Gap }); len(gaps) >= asideMost {
		last := gaps[len(gaps)-1]
		s.aside = slices.DeleteFunc(s.aside, func(o *Event) bool { return o == last })
		e = &Event{Kind: Gap, Room: e.Room, Time: e.Time, From: last.From, To: e.To}
	}
	s.aside = append(s.aside, e)
}

// keep puts a message, or what the node has lost, behind what waits for the member, and drops what is too much.
func (s *Seat) keep(e *Event) {
	if e.Kind > Dropped {
		s.putAside(e)
		return
	}
	last := len(s.waiting) - 1
	if e.Kind == Dropped && last >= 0 && s.waiting[last].Kind == Dropped {
		// A new event: both are others', too, and may be encoded.
		s.waiting[last] = &Event{Kind: Dropped, Room: e.Room, Time: e.Time, Lost: s.waiting[last].Lost + e.Lost}
	} else {
		s.waiting = append(s.waiting, e)
	}
	messages := 0
	for _, e := range s.waiting {
		if e.Kind == Message {
			messages++
		}
	}
	drop := 0
	for ; drop < len(s.waiting); drop++ {
		if e := s.waiting[drop]; e.Kind == Dropped {
			s.lost += e.Lost
		} else if messages > s.slow.keeps() {
			messages--
			s.lost++
			s.part.room.hub.counts.dropped.Add(1)
		} else {
			break
		}
	}
	s.waiting = slices.Delete(s.waiting, 0, drop)
}

// catchUp gives the member what waits for it, and reports whether it is still behind.
func (s *Seat) catchUp() bool {
	for s.member.Writable() {
		switch {
		case len(s.aside) > 0:
			if errors.Is(s.member.Write(s.aside[0]), proactor.ErrBacklog) {
				return true
			}
			s.aside = slices.Delete(s.aside, 0, 1)
		case s.lost > 0:
			e := &Event{Kind: Dropped, Room: s.part.room.name, Lost: s.lost, Time: time.Now()}
			if errors.Is(s.member.Write(e), proactor.ErrBacklog) {
				return true
			}
			s.lost = 0
		case len(s.waiting) > 0:
			if errors.Is(s.member.Write(s.waiting[0]), proactor.ErrBacklog) {
				return true
			}
			s.waiting = slices.Delete(s.waiting, 0, 1)
		default:
			return false
		}
	}
	return true
}
