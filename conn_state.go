package proactor

// connState is the state of a connection: its life and, within it, what becomes of the bytes
// that the peer sends. It only ever moves down this list, but for
// Unread, which has the FIN told once more.
type connState uint8

const (
	stateConnecting connState = iota

	// Open: the handler has the connection.
	stateReading // bytes that arrive are shown
	stateFINSeen // the peer's FIN was reached; the bytes before it are being shown
	stateFINTold // the handler was told of the FIN
	stateCut     // the stream was ended for another reason, and the handler was told
	stateCutFIN  // the same, and the peer's FIN was reached as well

	// Closed by us.
	stateDiscarding // bytes that arrive are dropped, up to the peer's FIN
	stateFinished   // the peer's FIN was reached

	// The port closes the socket. When it has, the connection is gone.
	stateClosing
	stateFailed // the same, of a connection that was never opened to its handler

	stateLeaving // the socket leaves the port, see Conn.Detach. When it has, the connection is gone

	numStates
)

// sendState is how far our own side is.
type sendState uint8

const (
	sendsWrites  sendState = iota // Writes are accepted
	sendsRest                     // bytes that wait are sent, then our FIN
	sendsNothing                  // our FIN is out
)

// event moves a connection to another state.
type event uint8

const (
	eventOpened  event = iota // the connection is accepted, or connected
	eventFIN                  // the peer's FIN was reached
	eventFINTold              // the handler was given all bytes before it
	eventUnread               // some of those are to be shown again, and then the FIN
	eventCut                  // a limit, the framing or a shutdown ends the stream
	eventClosed               // Close, or the framework for the handler
	eventDropped              // the socket's close begins
	eventLeft                 // it begins to leave the port

	numEvents
)

// turns has, for each event, the states in which it has an effect, and the next state of each.
var turns = [numEvents][numStates]connState{
	eventOpened:  {stateConnecting: stateReading},
	eventFIN:     {stateReading: stateFINSeen, stateCut: stateCutFIN, stateDiscarding: stateFinished},
	eventFINTold: {stateFINSeen: stateFINTold},
	eventUnread:  {stateFINTold: stateFINSeen},
	eventCut:     {stateReading: stateCut, stateFINSeen: stateCutFIN, stateFINTold: stateCutFIN},
	eventClosed: {
		stateReading: stateDiscarding, stateCut: stateDiscarding,
		stateFINSeen: stateFinished, stateFINTold: stateFinished, stateCutFIN: stateFinished,
	},
	eventDropped: {
		stateConnecting: stateFailed,
		stateReading:    stateClosing, stateFINSeen: stateClosing, stateFINTold: stateClosing,
		stateCut: stateClosing, stateCutFIN: stateClosing,
		stateDiscarding: stateClosing, stateFinished: stateClosing,
	},
	eventLeft: {stateReading: stateLeaving, stateFINSeen: stateLeaving, stateFINTold: stateLeaving},
}

// turn moves the connection to the next state. It reports false if the event has no effect in
// the present state.
func (c *Conn) turn(e event) bool {
	next := turns[e][c.state]
	if next == stateConnecting {
		return false
	}
	c.state = next
	return true
}

// open reports whether the handler has the connection.
func (s connState) open() bool { return s >= stateReading && s <= stateCutFIN }

// follows reports whether bytes that arrive are shown, now or after a pause.
func (s connState) follows() bool { return s == stateReading || s == stateFINSeen }

// fin reports whether the peer's FIN was reached, in a connection that is open.
func (s connState) fin() bool {
	return s == stateFINSeen || s == stateFINTold || s == stateCutFIN
}

// over reports whether the peer's FIN was reached and no bytes before it are left to show.
func (s connState) over() bool {
	return s == stateFINTold || s == stateCutFIN || s == stateFinished
}

// closed reports whether we have closed the connection in good order, and its end is awaited.
func (s connState) closed() bool { return s == stateDiscarding || s == stateFinished }

// hadBegun reports whether a connection that has gone had begun, and was not refused. Its handler
// was told of it where flagOpened is set.
func (c *Conn) hadBegun() bool { return c.state == stateClosing || c.state == stateLeaving }

// mayDeliver reports whether bytes that arrive may be shown now.
func (c *Conn) mayDeliver() bool {
	return c.paused == 0 && c.state.follows() && c.flags&flagReady != 0
}
