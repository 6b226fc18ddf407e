package port

import (
	"bytes"
	"io"
)

// simEnd is one end of a connection. All that an end knows of the other is
// what has arrived.
type simEnd struct {
	number        uint64 // even: the end that connected; the other has the next one
	peer          *simEnd
	local, remote Addr
	in            []byte // arrived and not yet received
	room          int    // bytes that the other end will take yet
	freed         int    // bytes received that the other end was not told of yet
	least         int    // it is told of so many at a time
	acked         int64  // bytes of which this end knows that the other received them
	fin           bool   // the peer shut its sending side down
	shut          bool   // this end did
	closed        bool
	broken        error // the class of what ended the connection
	// What the owner is told by when there may be more to receive, and to send.
	// The network's mu is held.
	readable, writable func()

	// With a clock:
	chance simChance
	flight []simMessage // on the way to the peer
	last   int64        // when the last of it arrives
	passed int          // messages that were on the way before it
	cut    bool         // nothing arrives
	owed   int          // so many messages should have arrived since
}

// simMessage is what one end sends the other.
type simMessage struct {
	what simWhat
	data []byte
	n    int
}

// simSegment is what an end tells the other of at once, if its window is large
// enough.
const simSegment = 536

type simWhat uint8

const (
	simAnswer simWhat = iota // to a connect: the connection is made
	simData
	simRoom // n bytes were received, which makes room for as many
	simFIN
	simRST
)

var simWhats = [...]string{"answer", "data", "room", "fin", "reset"}

// give sends the peer a message.
func (n *Sim) give(e *simEnd, m simMessage) {
	if n.clock == nil {
		n.arrived(e, m)
		return
	}
	e.flight = append(e.flight, m)
	n.arrive(e)
}

// arrive has one message of those on the way arrive, after those before it.
func (n *Sim) arrive(e *simEnd) {
	e.last = n.clock.set(&simEvent{do: func() { n.arrival(e) }}, e.number, n.delay(e.chance), e.last)
}

// arrival is when the oldest message that e has sent should arrive.
func (n *Sim) arrival(e *simEnd) {
	if len(e.flight) == 0 {
		return // the connection has broken meanwhile
	}
	if !e.cut && e.chance.strikes(n.cfg.Cut) {
		n.sever(e)
		n.clock.set(&simEvent{do: func() { n.heal(e) }}, e.number, e.chance.upTo(n.cfg.CutFor), 0)
	}
	if e.cut {
		if e.owed++; e.owed == 1 {
			n.giveUpLater(e, e.passed)
		}
		return
	}
	m := e.flight[0]
	e.flight[0] = simMessage{}
	e.flight = e.flight[1:]
	e.passed++
	if e.chance.strikes(n.cfg.Reset) {
		n.trace("conn %d: reset by the network", e.number/2)
		n.breakOff(e.peer, ErrReset)
		if e.broken == nil && !e.closed {
			n.give(e.peer, simMessage{what: simRST})
		}
		return
	}
	n.arrived(e, m)
}

// arrived carries out what a message of e's does at the other end.
func (n *Sim) arrived(e *simEnd, m simMessage) {
	to := e.peer
	if n.cfg.Trace != nil {
		n.trace("conn %d.%d: %s %d %08x", e.number/2, e.number%2, simWhats[m.what], len(m.data)+m.n, digest(m.data))
	}
	switch {
	case m.what == simRST:
		n.breakOff(to, ErrReset)
	case to.broken != nil:
	case m.what == simData && to.closed: // that end is gone
		n.give(to, simMessage{what: simRST})
	case to.closed:
	case m.what == simData:
		to.in = append(to.in, m.data...)
		tell(to.readable)
	case m.what == simRoom:
		to.room += m.n
		to.acked += int64(m.n)
		tell(to.writable)
	case m.what == simFIN:
		to.fin = true
		tell(to.readable)
	case m.what == simAnswer:
		tell(to.readable)
	}
}

// sever lets nothing arrive on a connection any more.
func (n *Sim) sever(e *simEnd) {
	if !e.cut {
		n.trace("conn %d: cut", e.number/2)
		e.cut, e.peer.cut = true, true
		n.severed[e.number/2] = e
	}
}

// heal ends a cut: messages that should have arrived are sent again.
func (n *Sim) heal(e *simEnd) {
	if !e.cut {
		return
	}
	n.trace("conn %d: healed", e.number/2)
	delete(n.severed, e.number/2)
	for _, e := range []*simEnd{e, e.peer} {
		e.cut = false
		for ; e.owed > 0; e.owed-- {
			n.arrive(e)
		}
	}
}

// giveUpLater ends the connection if its oldest message stays on its way for too long. The
// other end learns of it when the connection is healed.
func (n *Sim) giveUpLater(e *simEnd, passed int) {
	n.clock.set(&simEvent{do: func() {
		if e.cut && e.owed > 0 && e.passed == passed && !e.gone() {
			n.trace("conn %d.%d: given up", e.number/2, e.number%2)
			n.breakOff(e, ErrTimeout)
			e.flight, e.owed = []simMessage{{what: simRST}}, 1
		}
	}}, e.number, SimTimeout, 0)
}

// send moves to the peer what it has room for. It gives 0 and nil when there
// is none now.
func (n *Sim) send(e *simEnd, p []byte) (int, error) {
	if e.broken != nil {
		return 0, simError(KindSend, e.broken)
	}
	k := min(len(p), e.room)
	e.room -= k
	for p = p[:k]; len(p) > 0; {
		piece := len(p)
		for piece > 1 && e.chance.strikes(n.cfg.Split) {
			piece = 1 + e.chance.IntN(piece-1)
		}
		data := p[:piece]
		if n.clock != nil {
			data = bytes.Clone(data)
		}
		n.give(e, simMessage{what: simData, data: data})
		p = p[piece:]
	}
	return k, nil
}

// receive moves what has arrived. ok is false when nothing has, and the stream
// has not ended.
func (n *Sim) receive(e *simEnd, p []byte) (k int, err error, ok bool) {
	switch {
	case e.broken != nil:
		return 0, simError(KindRecv, e.broken), true
	case len(e.in) > 0:
		k = copy(p, e.in)
		if e.in = e.in[k:]; len(e.in) == 0 {
			e.in = nil // an idle connection holds nothing
		}
		// One byte of room at a time would make for messages of one byte, for
		// ever (RFC 9293, 3.8.6.2.2).
		if e.freed += k; e.freed >= e.least {
			n.give(e, simMessage{what: simRoom, n: e.freed})
			e.freed = 0
		}
		return k, nil, true
	default:
		return 0, io.EOF, e.fin
	}
}

func (n *Sim) shutdown(e *simEnd) error {
	if e.broken != nil {
		return simError(KindShutdown, e.broken)
	}
	if !e.shut {
		e.shut = true
		n.give(e, simMessage{what: simFIN})
	}
	return nil
}

// closeEnd closes in good order, unless a reset was asked for or bytes had arrived that were
// never received (RFC 9293, 3.6.1).
func (n *Sim) closeEnd(e *simEnd, reset bool) {
	if e.closed {
		return
	}
	e.closed, e.readable, e.writable = true, nil, nil
	switch {
	case e.broken != nil:
	case reset || len(e.in) > 0:
		n.give(e, simMessage{what: simRST})
	case !e.shut:
		n.give(e, simMessage{what: simFIN})
	}
	e.in = nil
}

// breakOff makes an end learn that the connection is no more.
func (n *Sim) breakOff(e *simEnd, class error) {
	if !e.gone() {
		e.broken, e.in = class, nil
		tell(e.readable)
		tell(e.writable)
	}
}

func (e *simEnd) gone() bool { return e.closed || e.broken != nil }
