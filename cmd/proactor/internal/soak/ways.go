package soak

import "time"

// way is how the connections of some workers go on.
type way struct {
	name    string
	workers int              // each has one connection at a time
	rest    time.Duration    // of a worker between two connections, at most
	frames  [2]int           // how many a connection sends
	payload int              // of the largest, in bytes
	last    byte             // what the last frame asks; 0: nothing special
	chunk   int              // most bytes of one send
	window  int              // frames that may be unanswered; 0: any number
	think   time.Duration    // between two sends, at most
	deaf    [2]time.Duration // before it begins to read
	stay    [2]time.Duration // after which it sends no more frames
	leave   leaving
	within  time.Duration // at most, until it leaves
}

type leaving uint8

const (
	leaveInOrder leaving = iota // shut down the sending side when all is sent, read to the end
	leaveByReset                // SO_LINGER 0 at any moment
	leaveUnread                 // close with answers unread
	leaveAtOnce                 // before a frame is complete
)

const ms = time.Millisecond

// forever is more frames than a connection has time for.
const forever = 1 << 30

// inbound are the ways of the clients of the server. How many connections a
// second there are keeps the ports of those that wait in TIME_WAIT well below
// what a system has.
var inbound = []*way{
	{name: "steady", workers: 4, rest: 5 * ms, frames: [2]int{forever, forever}, payload: maxPayload, chunk: pieceLen, window: 4, stay: [2]time.Duration{500 * ms, 4000 * ms}},
	{name: "thoughtful", workers: 16, rest: 5 * ms, frames: [2]int{forever, forever}, payload: 70_000, chunk: 4000, window: 2, think: 10 * ms, stay: [2]time.Duration{500 * ms, 8000 * ms}},
	{name: "coming and going", workers: 4, rest: 60 * ms, frames: [2]int{1, 4}, payload: 1500, chunk: 1500, window: 1},
	{name: "half-closing", workers: 4, rest: 80 * ms, frames: [2]int{1, 40}, payload: 70_000, chunk: pieceLen},
	{name: "closed by the server", workers: 3, rest: 60 * ms, frames: [2]int{1, 20}, payload: 16_000, chunk: pieceLen, last: askClose},
	{name: "panicking", workers: 2, rest: 100 * ms, frames: [2]int{1, 10}, payload: 16_000, chunk: 16_000, last: askPanic},
	{name: "resetting", workers: 4, rest: 40 * ms, frames: [2]int{forever, forever}, payload: 70_000, chunk: pieceLen, window: 8, leave: leaveByReset, within: 50 * ms},
	{name: "vanishing", workers: 3, rest: 40 * ms, frames: [2]int{1, 1}, payload: 64, chunk: 64, leave: leaveAtOnce},
	{name: "closing unread", workers: 3, rest: 40 * ms, frames: [2]int{1, 4}, payload: 1500, chunk: 1500, leave: leaveUnread, within: 20 * ms},
	{name: "deaf for a while", workers: 4, rest: 50 * ms, frames: [2]int{10, 60}, payload: 70_000, chunk: pieceLen, deaf: [2]time.Duration{100 * ms, 1500 * ms}},
	{name: "byte by byte", workers: 4, rest: 20 * ms, frames: [2]int{1, 3}, payload: 64, chunk: 1, think: 10 * ms},
}

// outbound are the ways of connections that the engine dials.
var (
	wayKept      = &way{name: "kept, closed by the peer", frames: [2]int{5, 60}, payload: 70_000, last: askClose}
	wayKeptReset = &way{name: "kept, reset by the peer", frames: [2]int{5, 60}, payload: 70_000, last: askReset}
	wayDialed    = &way{name: "dialed", workers: 2, rest: 50 * ms, frames: [2]int{1, 10}, payload: 70_000}
	outbound     = []*way{wayKept, wayKeptReset, wayDialed}
)
