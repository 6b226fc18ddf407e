package proactor

import (
	"bufio"
	"log/slog"
	"time"
)

// Handler is what a server or a dialer does with its connections. Every field
// is optional. All callbacks of one connection are made by one goroutine, that
// of its loop, one after the other, so they need no lock among themselves.
// They must not block: other connections of the loop wait meanwhile.
//
// A callback that panics closes its connection, with a [PanicError] as the
// cause; the loop and all other connections go on.
type Handler struct {
	// Opened is called once, before all others.
	Opened func(c *Conn)

	// Data is called with bytes that arrived. It returns how many it
	// consumed; the rest is kept and shown again with more, at most
	// Limits.MaxMessage bytes of it. p is only valid until Data returns. It
	// may be changed, and given to Write or, unchanged from then on, WriteLent.
	Data func(c *Conn, p []byte) int

	// Split and Message together take the place of Data: the stream is cut
	// into messages, and Message is called with each. Split works as it does
	// for a bufio.Scanner: it gets what is there, and true once the peer has
	// closed; its error, bufio.ErrFinalToken aside, ends the stream, see Ended. msg
	// is valid until Message returns. NewSplit takes the place of Split where
	// each connection needs its own, which may remember what it saw: what it is
	// shown always begins where it left off. Package frame has both sorts.
	Split    bufio.SplitFunc
	NewSplit func() bufio.SplitFunc
	Message  func(c *Conn, msg []byte)

	// Drained is called when Limits.HighWater had been reached and what waits
	// to be sent has fallen to Limits.LowWater.
	Drained func(c *Conn)

	// Ended is called when nothing more will be delivered. why is
	// [ErrPeerClosed] when the peer has closed its sending side and all that it
	// sent was delivered, the error of Split or of a limit when the stream
	// cannot be followed further, [ErrServerClosed] when the server shuts down,
	// which may come after ErrPeerClosed. What is owed can still be written; the
	// handler calls Close when it is done. By default that is at once.
	Ended func(c *Conn, why error)

	// Closed is called exactly once for each Opened, last of all, when no
	// operation of the connection is outstanding any more. The cause tells who
	// ended it and why, see [ErrPeerClosed]; test it with errors.Is.
	Closed func(c *Conn, cause error)
}

// splits reports whether the stream is cut into messages.
func (h *Handler) splits() bool {
	return h.Message != nil && (h.Split != nil || h.NewSplit != nil)
}

// Overflow says what becomes of a Write for which Limits.MaxPending leaves no
// room.
type Overflow uint8

const (
	// PauseReads is the default: the connection is not read while HighWater
	// or more waits to be sent, so that a handler that only answers never gets
	// to MaxPending, as long as no answer is longer than MaxPending less
	// HighWater. A Write that still does fails with [ErrBacklog].
	PauseReads Overflow = iota
	// RejectWrites lets reads go on; a Write over MaxPending fails with
	// [ErrBacklog], and nothing of it is sent.
	RejectWrites
	// CloseSlow lets reads go on; a Write over MaxPending aborts the
	// connection with [ErrBacklog] as the cause.
	CloseSlow
)

// Limits bound what one connection may take, in memory and in time. A zero
// field has the default that its comment tells. By default memory is bounded
// and time is not, see the package's section on public addresses. What each
// limit has done is counted in [Limited].
type Limits struct {
	// HighWater and LowWater, in bytes waiting to be sent, are where
	// back-pressure sets in and where it ends. 256 KiB, and a quarter of
	// HighWater.
	HighWater, LowWater int
	// MaxPending, in bytes, bounds what waits to be sent. One Write of any
	// size is taken while nothing waits. 4 × HighWater.
	MaxPending int
	// Overflow is the policy at the limit. PauseReads.
	Overflow Overflow
	// MaxMessage, in bytes, bounds what is kept because Data did not consume
	// it or Split found no end. Over it the stream ends, with [ErrTooLong] as
	// the cause, see Handler.Ended. 1 MiB. What the system had delivered when
	// reads were paused is kept beside, once a pause: a buffer or two of
	// Config.BufferSize as a rule, and never more than all of them. See
	// Config.MaxInbound for all connections together.
	MaxMessage int

	// FirstByteTimeout closes a connection from which nothing at all was
	// received for so long, while it was being read, with [ErrFirstByte] as the
	// cause. 0: never, for there are clients that only listen. Where clients
	// speak first, 10 s to a minute rids a public address of those that just
	// hold connections.
	FirstByteTimeout time.Duration
	// MinRate, in bytes a second, closes a connection that sends a message more
	// slowly, with [ErrTooSlow] as the cause. It counts only while the handler
	// waits for the rest of a message, that is while bytes are kept which Data did
	// not consume or in which Split found no end: a connection may be silent
	// for as long as it likes between two messages, and no message that is complete
	// within RateWindow is too slow. Time in which the connection is not
	// read does not count. 0: no bound, for a person at a terminal may stop in
	// the middle of a line. Between machines, 100 ends those that drip.
	MinRate int
	// RateWindow is over what time MinRate is measured, again and again until the
	// message is complete. 10 s.
	RateWindow time.Duration
	// IdleTimeout closes a connection on which nothing was sent or received
	// for so long. 0: never.
	IdleTimeout time.Duration
	// ReadTimeout closes a connection from which nothing was received for so
	// long, while it was being read. 0: never.
	ReadTimeout time.Duration
	// WriteTimeout closes a connection whose peer takes nothing of what waits
	// to be sent for so long, up to a quarter more. Windows does not tell how
	// far a send is: there it is who takes less than 64 KiB. 0: never.
	WriteTimeout time.Duration
	// LingerTimeout is how long a closed connection waits: for its peer to take
	// any of what waits to be sent and, after our FIN, for the peer's, so that
	// nothing that was sent is lost to a reset. 5 s; negative: 5 s for the
	// former, none for the latter.
	LingerTimeout time.Duration

	// KeepAlive is after how much silence the system probes whether the peer
	// lives. 0: 15 s; negative: never. A million silent connections are 67,000
	// probes a second then: who has so many may want fewer.
	KeepAlive time.Duration
	// Delay leaves Nagle's algorithm on. By default it is off.
	Delay bool
}

const (
	defaultLinger = 5 * time.Second
	defaultWindow = 10 * time.Second
)

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.HighWater, 256<<10)
	set(&l.LowWater, l.HighWater/4)
	l.LowWater = min(l.LowWater, l.HighWater)
	set(&l.MaxPending, 4*l.HighWater)
	l.MaxPending = max(l.MaxPending, l.HighWater)
	set(&l.MaxMessage, 1<<20)
	if l.RateWindow <= 0 {
		l.RateWindow = defaultWindow
	}
	if l.LingerTimeout == 0 {
		l.LingerTimeout = defaultLinger
	}
	if l.KeepAlive == 0 {
		l.KeepAlive = 15 * time.Second
	}
	return l
}

// settings is what the connections of one server or dialer have in common.
type settings struct {
	handler Handler
	limits  Limits
	log     *slog.Logger
	owner   owner
}

// owner counts the connections that belong to it.
type owner interface {
	opened(c *Conn)
	closed(c *Conn)
}
