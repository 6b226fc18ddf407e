package proactor

import (
	"bufio"
	"crypto/tls"
	"time"
)

// Handler has the callbacks of a server's or a dialer's connections. Every field is
// optional. One goroutine, that of the connection's loop, makes all callbacks of a
// connection, one after the other, so they need no lock among themselves. They must not block,
// because the other connections of the loop wait meanwhile.
//
// A callback that panics, or calls runtime.Goexit as t.Fatal does, ends its connection, with
// a [PanicError] as the cause. The loop and all other connections go on. Each Goexit costs
// about 1.5 KB of stack until the loop ends.
type Handler struct {
	// Opened is called once, before all other callbacks. Each loop opens the connections of
	// a server in the order of the accepts, see [Server]. Between loops there is no
	// order, because none waits for another; Conn.ID tells which was accepted first.
	// One that has a [Layer] is opened when that is ready, whenever it is.
	Opened func(c *Conn)

	// Data is called with bytes that have arrived, and returns how many of them it
	// consumed. The rest, at most Limits.MaxMessage bytes, is kept and shown again when more
	// has arrived. p is valid until Data returns. Data may change p, and may give it to
	// Write or to WriteLent; after WriteLent it must not change it any more.
	//
	// Data may return before it has consumed all that it could: because the peer reads too
	// slowly, see [Conn.Writable], or to let other connections have their turn, see
	// [Conn.Again].
	Data func(c *Conn, p []byte) int

	// Split and Message together take the place of Data: Split cuts the stream into
	// messages, and Message is called with each. Split works as it does for a
	// bufio.Scanner: it is given the bytes that are there, and atEOF is true once the peer
	// has closed. Its error, except bufio.ErrFinalToken, ends the stream, see Ended. msg
	// is valid until Message returns.
	//
	// NewSplit takes the place of Split if each connection needs a Split of its own, which
	// may keep state: the bytes that it is given always begin where its last call stopped.
	// Package frame has both kinds. For messages that are parsed, or if the connection is
	// needed to find where they end, see [Messages].
	Split    bufio.SplitFunc
	NewSplit func() bufio.SplitFunc
	Message  func(c *Conn, msg []byte)

	// step is in the place of the three, see Messages: it cuts one message off data,
	// handles it, and returns how many bytes it took.
	step func(c *Conn, data []byte, eof bool) (advance int, err error)

	// Drained is called when the bytes that wait to be sent had reached Limits.HighWater and
	// have fallen to Limits.LowWater. [Conn.Writable] is true again. After Drained, bytes
	// that Data had not consumed are shown to it again.
	Drained func(c *Conn)

	// Ended is called when no more bytes will be delivered. why is [ErrPeerClosed] if the
	// peer has closed its sending side and all that it sent was delivered; the error of
	// Split or of a limit if the stream cannot be read further; or [ErrServerClosed] if
	// the server shuts down, which may come after ErrPeerClosed. The handler may still
	// write, and calls Close when it is done. Without Ended, the connection is closed at
	// this moment.
	//
	// A handler that never calls Close keeps the descriptor for as long as the peer lives
	// and waits. A peer that resets, or is gone, is found as during [Conn.PauseRead], and
	// so is one that has closed its end of a Unix socket. On systems where only a Write
	// finds it, Limits.IdleTimeout bounds the time.
	Ended func(c *Conn, why error)

	// Stopping is called once after Server.Shutdown has begun, before the connection is ended
	// at the next boundary between messages, see Server.Shutdown. The handler may write, to say
	// goodbye in its protocol, or Close.
	Stopping func(c *Conn)

	// Closing is called when the framework closes the connection in good order: for a timeout,
	// or in the place of the handler where that has no Ended. From now on no bytes are delivered,
	// and Write fails; what waits is sent, and Closed follows when the peer has closed, too, within
	// Limits.LingerTimeout. It is for code that has something wait for the connection. It is
	// not called after Conn.Close, nor where the connection is reset: Closed is not far then.
	Closing func(c *Conn, cause error)

	// Closed is the last callback, made exactly once for each Opened, when no operation of
	// the connection is outstanding any more. The cause tells which side ended the
	// connection and why, see [ErrPeerClosed]; test it with errors.Is.
	Closed func(c *Conn, cause error)
}

// Overflow is the policy for a connection whose peer reads too slowly: whether it is still
// read while many bytes wait to be sent, and what happens on a Write for which
// Limits.MaxPending has no room. A stream never has a hole, so unless the policy is
// RejectWrites, such a Write ends the connection.
type Overflow uint8

const (
	// PauseReads is the default. When HighWater bytes wait, the connection is not read, and
	// neither Data nor Message is called, until the bytes that wait have fallen to
	// LowWater. So a handler that answers each call once never reaches MaxPending, if no
	// answer is longer than MaxPending minus HighWater. A Data that answers piece by piece
	// should return as soon as [Conn.Writable] is false. A Write that finds no room fails
	// with [ErrBacklog] and resets the connection, with that as the cause.
	PauseReads Overflow = iota
	// RejectWrites lets reads go on. A Write over MaxPending fails with [ErrBacklog]; nothing
	// of it is sent, and the connection stays open. The caller has to deal with what the
	// peer misses. The connection may still be ended to make room for others, see
	// Config.MaxOutbound.
	RejectWrites
	// CloseSlow lets reads go on. A Write over MaxPending fails with [ErrBacklog] and resets
	// the connection, with that as the cause.
	CloseSlow
)

// Limits bound the memory and the time that one connection may take. The comment of each
// field ends with its default, which a zero field has. By default memory is bounded and
// time is not; see "Public addresses" in the package documentation. [LimitCounts] counts what
// each limit has done.
type Limits struct {
	// HighWater and LowWater, in bytes that wait to be sent, are the marks at which
	// back-pressure begins and ends. HighWater: a quarter of MaxPending. LowWater: a quarter
	// of HighWater.
	HighWater, LowWater int
	// MaxPending, in bytes, bounds what waits to be sent. While nothing waits, a Write of
	// any size is accepted. LowWater must not be above HighWater, nor HighWater above
	// MaxPending. 4 × HighWater; if neither is set, 1 MiB.
	MaxPending int
	// Overflow is the policy when the peer reads too slowly. PauseReads.
	Overflow Overflow
	// MaxMessage, in bytes, bounds what is kept because Data did not consume it or Split
	// found no end in it. If there is more, the stream ends with [ErrTooLong], see
	// Handler.Ended. Bytes that the system had delivered when reads were paused are kept
	// in addition, once for each pause: usually one or two buffers of Config.BufferSize,
	// and never more than all of them. Config.MaxInbound bounds all connections together.
	// 1 MiB.
	MaxMessage int

	// FirstByteTimeout closes a connection whose peer has not sent a single byte for that
	// long, while the connection was being read. The cause is [ErrFirstByte]. If clients of
	// a protocol speak first, 10 s to a minute rids a public address of clients that just
	// hold connections. 0: never, because some clients only listen. It also bounds the time
	// until a [Layer] is ready.
	FirstByteTimeout time.Duration
	// HandshakeTimeout ends a connection whose TLS handshake, or whatever its [Layer] does before
	// it is ready, takes longer: it is closed, or reset where the peer was sent nothing yet. The cause is
	// [ErrHandshake]. 0: 10 s. Negative: never.
	HandshakeTimeout time.Duration
	// MinRate, in bytes a second, closes a connection whose peer sends a message more slowly
	// than that. The cause is [ErrTooSlow]. The rate is measured only while the handler
	// waits for the rest of a message, that is, while bytes are kept that Data did not
	// consume or in which Split found no end, or a TLS record is incomplete, whose bytes
	// count as they come. So a peer may be silent between two messages
	// for as long as it likes, and a message that is complete within RateWindow is never
	// too slow. Time in which the connection is not read does not count. Between machines,
	// 100 closes clients that drip. 0: no bound, because a person at a terminal may stop
	// in the middle of a line.
	MinRate int
	// RateWindow is the time over which MinRate is measured, repeatedly until the message is
	// complete. 10 s.
	RateWindow time.Duration
	// IdleTimeout closes a connection on which no bytes were sent or received for that long,
	// with [ErrIdle] as the cause. 0: never.
	IdleTimeout time.Duration
	// ReadTimeout closes a connection on which no bytes were received for that long, while it
	// was being read. The cause is [ErrReadTimeout]. 0: never.
	ReadTimeout time.Duration
	// WriteTimeout closes a connection whose peer accepts none of the bytes that wait to be
	// sent for that long, or up to a quarter longer. The cause is [ErrWriteTimeout]. Windows
	// before version 1703 of Windows 10 does not report what the peer has acknowledged, so
	// there it closes a peer that accepts less than 64 KiB in that time, the size of a piece
	// of a send. Bytes that the system has accepted do not wait any more;
	// KeepAlive finds a peer that does not acknowledge them. 0: never.
	WriteTimeout time.Duration
	// LingerTimeout is how long a closed connection waits for its peer: first for progress
	// with the bytes that wait to be sent, then, after our FIN, for the peer's FIN, so that
	// a reset does not destroy what was sent. A peer that sends 256 MiB meanwhile is reset
	// at once. Negative: do not wait for the peer's FIN; unsent bytes still get 5 s. 5 s.
	LingerTimeout time.Duration

	// KeepAlive is the silence after which the system probes whether the peer is alive, up to
	// port.MaxKeepAlive seconds, which is nine hours. Negative: never. 0: 15 s. With the
	// default a million silent connections cause 67,000 probes a second; a longer time
	// makes them fewer.
	//
	// A peer is dead if it answers none of nine probes, or has acknowledged none of the
	// bytes that were sent for ten to eleven times KeepAlive. The cause is
	// port.ErrTimeout. A peer that is alive is never closed by it, even if it never reads.
	// A peer that dies after it has not read for minutes is found later, because the
	// system probes it rarely by then. For bytes that were sent, Windows has times of
	// its own.
	KeepAlive time.Duration
	// KeepAliveInterval is the time between two of those probes, and KeepAliveCount the
	// number of them, in a row and without an answer, after which the peer is dead. Bytes
	// that were sent have as long as all probes together to be acknowledged.
	// KeepAliveInterval: KeepAlive. KeepAliveCount: 9.
	KeepAliveInterval time.Duration
	KeepAliveCount    int
	// SendBuffer and ReceiveBuffer, in bytes, ask the system for buffers of that size for
	// each connection. The system may make them smaller. 0: the system's default, which
	// grows and shrinks with use.
	SendBuffer, ReceiveBuffer int
	// Delay turns Nagle's algorithm on. By default it is off.
	Delay bool
}

// owner counts the connections that belong to it.
type owner interface {
	closed(c *Conn)
	// makeTLS makes the layer of a connection that had none.
	makeTLS(config *tls.Config) (func() Layer, error)
}
