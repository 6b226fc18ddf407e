package proactor

import "testing"

// A connection only goes on: no event takes it back but Unread, which has the FIN told once
// more. What is over stays so, and from every state the socket's close can begin, once.
func TestStatesOnlyGoOn(t *testing.T) {
	for e := range numEvents {
		for s := range numStates {
			c := Conn{state: s}
			switch turned := c.turn(e); {
			case e == eventUnread && turned:
				if s != stateFINTold || c.state != stateFINSeen {
					t.Errorf("Unread takes state %d to %d", s, c.state)
				}
			case turned && c.state <= s, !turned && c.state != s:
				t.Errorf("event %d takes state %d to %d", e, s, c.state)
			case s.over() && c.state < stateClosing && !c.state.over():
				t.Errorf("event %d has the FIN of state %d forgotten", e, s)
			case s.closed() && c.state.open():
				t.Errorf("event %d opens the closed state %d again", e, s)
			case turned && s >= stateClosing, e == eventDropped && !turned && s < stateClosing:
				t.Errorf("event %d in state %d: %v", e, s, turned)
			}
		}
	}
}

// Where the peer's FIN and our Close have both come, in whatever order and whatever
// else has happened, the stream is over; where one is missing it is not.
func TestStatesMeet(t *testing.T) {
	events := []event{eventFIN, eventFINTold, eventCut, eventClosed}
	var walk func(s connState, fin, closed bool, left []event)
	walk = func(s connState, fin, closed bool, left []event) {
		if got := s == stateFinished; got != (fin && closed) {
			t.Errorf("FIN %v, closed %v: state %d", fin, closed, s)
		}
		if s.closed() != closed {
			t.Errorf("closed %v: state %d", closed, s)
		}
		for i, e := range left {
			if e == eventFINTold && !s.fin() {
				continue // nothing to tell
			}
			c := Conn{state: s}
			c.turn(e)
			rest := append(append([]event(nil), left[:i]...), left[i+1:]...)
			walk(c.state, fin || e == eventFIN, closed || e == eventClosed, rest)
		}
	}
	walk(stateReading, false, false, events)
}

// When the port closes the socket, nothing is due any more, however far our side was: the loop
// would break if it shut the socket down.
func TestNothingFollowsTheClose(t *testing.T) {
	for _, s := range []connState{stateClosing, stateFailed} {
		for _, ours := range []sendState{sendsWrites, sendsRest, sendsNothing} {
			c := Conn{state: s, ours: ours, shared: &shared{cfg: new(settings)}}
			c.finArrived()
			if c.state != s || c.ours != ours {
				t.Errorf("state %d, our side %d: then %d, %d", s, ours, c.state, c.ours)
			}
		}
	}
}
