package load

import "fmt"

// ledger has what was said and who has heard it, and finds what should not have come, and what should have. The lock of the run
// guards it.
type ledger struct {
	said       []message // by their numbers
	history    bool      // the nodes have said that they keep what is said
	over       bool      // what comes for the first time now does not count
	deliveries int
	twice      int // messages that came to a member that had them
	disordered int // that came behind what should have come later
	wrong      int // that nobody has said
	broken     error
}

// message is what a publisher has said.
type message struct {
	said    bool
	by, via int    // the publisher, and which of its connections
	left    bool   // that connection has ended
	doubt   bool   // before the publisher had heard itself: the message may have gone with it
	heard   bool   // by anybody
	seq     uint64 // its number, where it came with one
	flowed  bool   // it came without: it was not kept, or that was not known
}

// ear is what a member has heard.
type ear struct {
	name  string
	got   []uint64 // a bit for each message
	last  []int    // the message of each publisher that came last; -1: none
	seq   uint64   // of the last message that was kept
	gaps  []span   // that it was told of
	away  bool     // it was, for a time, or was told that messages were lost
	count int      // how many are here, as it was told
	kept  bool     // it has heard itself, with a number
}

// span is of numbers, both included.
type span struct{ from, to uint64 }

func newEar(name string, messages, publishers int) ear {
	e := ear{name: name, got: make([]uint64, (messages+63)/64), last: make([]int, publishers)}
	for i := range e.last {
		e.last[i] = -1
	}
	return e
}

func (e *ear) has(number int) bool { return e.got[number/64]>>(number%64)&1 > 0 }

// breaks notes one breach of what is promised, of a kind.
func (g *ledger) breaks(kind *int, format string, args ...any) {
	*kind++
	if g.broken == nil {
		g.broken = fmt.Errorf(format, args...)
	}
}

// hears has a member hear a message, with its number, or 0, and reports whether it is new to the member.
func (g *ledger) hears(e *ear, number int, seq uint64) bool {
	m := &g.said[number]
	switch {
	case !m.said:
		g.breaks(&g.wrong, "%s has heard message %d, which was not said", e.name, number)
		return false
	case g.over && !m.heard:
		return false
	}
	m.heard = true
	if seq == 0 {
		m.flowed = true
	} else {
		m.seq = seq
	}
	last, behind := e.last[m.by], e.seq
	e.seq = max(e.seq, seq)
	// One that was not confirmed when messages began not to be kept may be kept after all, and then comes to those who come back.
	lax := e.away && (m.flowed || last >= 0 && g.said[last].flowed)
	if e.has(number) {
		if !lax {
			g.breaks(&g.twice, "%s has heard message %d twice, number %d and after %d", e.name, number, seq, behind)
		}
		return false
	}
	switch {
	case lax:
	case seq > 0 && seq < behind:
		g.breaks(&g.disordered, "%s has heard message %d with the number %d after %d", e.name, number, seq, behind)
	case number < last && g.said[last].via == m.via:
		g.breaks(&g.disordered, "%s has heard message %d after %d, both of publisher %d", e.name, number, last, m.by)
	}
	e.got[number/64] |= 1 << (number % 64)
	e.last[m.by] = number
	g.deliveries++
	return true
}

// left notes that a publisher has lost one of its connections, or left it. What it has not heard by then may be lost.
func (g *ledger) left(publisher, via int, e *ear) {
	for number := range g.said {
		if m := &g.said[number]; m.said && m.by == publisher && m.via == via {
			m.left, m.doubt = true, !e.has(number)
		}
	}
}

// missing is what a member has not got: owed are those that it should have, and example is one of them.
func (g *ledger) missing(e *ear) (missed, owed, example int) {
	later := make([]int, len(e.last)) // of each publisher: the connection of a later message that the member has got, and one
	for number := len(g.said) - 1; number >= 0; number-- {
		m := &g.said[number]
		switch {
		case !m.said:
		case e.has(number):
			later[m.by] = m.via + 1
		case !m.heard && m.doubt:
		default:
			missed++
			if g.owes(e, m, later[m.by] == m.via+1) {
				owed, example = owed+1, number
			}
		}
	}
	return missed, owed, example
}

// owes reports whether a member that has not got a message should have; later: it has got a later one of the same connection.
func (g *ledger) owes(e *ear, m *message, later bool) bool {
	switch {
	case !m.heard:
		return true // it was said by way of a connection that stands
	case g.history && !m.flowed:
		for _, gap := range e.gaps {
			if gap.from <= m.seq && m.seq <= gap.to {
				return false
			}
		}
		return true
	case e.away:
		return false
	}
	return !m.left || later // of what was said on a node that has died, there is a beginning
}
