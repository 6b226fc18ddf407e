package hub

import (
	"errors"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// Member is what can be in a room. [Protocol] makes one of a connection; a Member of your own may be
// anything that can be written to without waiting. The hub calls the methods under the lock of the room, on
// goroutines of its own and on those of Join: they must not block, and not call Join or Leave. They may Publish.
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
	// is told nothing. It is called under the lock of the room; the bytes must not be changed any more.
	Encode func(e *Event) []byte
	// Type is that of the messages of WebSockets. 0: Text.
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
	f := e.form(m.by)
	if f.bytes == nil {
		return nil
	}
	if f.frame == nil {
		t := m.by.Type
		if t == 0 {
			t = websocket.Text
		}
		frame, err := websocket.Prepare(t, f.bytes)
		if err != nil {
			return err
		}
		f.frame = frame
	}
	return m.c.WritePrepared(f.frame.(*websocket.Prepared))
}

func (m socketMember) Writable() bool { return m.c.Transport().Writable() }
func (m socketMember) End()           { m.c.Transport().Abort() }

// Slow is what becomes of a member that does not keep up. The others of the room never wait for it.
type Slow uint8

const (
	// Close ends the member when there is no room for an event. What it has got by then has no hole.
	Close Slow = iota
	// DropOldest keeps the last MaxWaiting events of a member that is behind, and drops those before. When it
	// reads again it is told how many it has missed (Dropped), and then the rest.
	DropOldest
	// SkipToNewest keeps the last event alone: for prices, positions, scores.
	SkipToNewest
)

// MaxWaiting is how many events wait for a member whose policy is DropOldest.
const MaxWaiting = 64

func (s Slow) keeps() int {
	if s == SkipToNewest {
		return 1
	}
	return MaxWaiting
}

// Seat is a member's place in a room.
type Seat struct {
	room   *room
	member Member
	name   string
	slow   Slow

	// Guarded by the lock of the room.
	place   int      // in room.seats; −1: it has left
	behind  bool     // it is in room.behind
	waiting []*Event // for a member that is behind
	lost    int      // messages dropped since it was told
	fresh   bool     // it was not told yet who is here
}

// give has the member get an event, now or later.
func (s *Seat) give(e *Event) {
	if s.slow == Close {
		if err := s.member.Write(e); errors.Is(err, proactor.ErrBacklog) {
			s.room.hub.counts.ended.Add(1)
			s.member.End()
		}
		return
	}
	if !s.behind && s.member.Writable() && !errors.Is(s.member.Write(e), proactor.ErrBacklog) {
		return
	}
	s.waiting = append(s.waiting, e)
	for len(s.waiting) > s.slow.keeps() {
		if s.waiting[0].Kind == Message {
			s.lost++
			s.room.hub.counts.dropped.Add(1)
		}
		s.waiting = append(s.waiting[:0], s.waiting[1:]...)
	}
	if !s.behind {
		s.behind = true
		s.room.behind = append(s.room.behind, s)
		s.room.wants()
	}
}

// catchUp gives the member what waits for it, and reports whether it is still behind.
func (s *Seat) catchUp() bool {
	for s.member.Writable() {
		var e *Event
		switch {
		case s.lost > 0:
			e = &Event{Kind: Dropped, Room: s.room.name, Lost: s.lost}
		case len(s.waiting) > 0:
			e = s.waiting[0]
		default:
			s.waiting = nil
			return false
		}
		if err := s.member.Write(e); errors.Is(err, proactor.ErrBacklog) {
			return true
		}
		if e.Kind == Dropped {
			s.lost = 0
		} else {
			s.waiting = append(s.waiting[:0], s.waiting[1:]...)
		}
	}
	return true
}
