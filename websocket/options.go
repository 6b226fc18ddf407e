package websocket

import (
	"net/http"
	"sync"
	"time"
	"unsafe"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/reading"
)

// Options are what to do with WebSockets. Every field is optional. They may serve any number
// of servers, requests and dials, must not be changed once they were used, and not be copied.
//
// The callbacks are made like those of a [proactor.Handler]: on the loop of the connection, one
// after the other. They must not block. One that panics ends its connection.
type Options struct {
	// Opened is called once, before all other callbacks, when the handshake is done. r is the request
	// that was upgraded; it has no body, and after [Upgrade] its context may be over. For a
	// connection of [Dial] it is nil.
	Opened func(c *Conn, r *http.Request)
	// Message is called with each message. p is valid until Message returns, which may change it,
	// and give it to Write or WriteLent; after WriteLent it must not change it any more. Text is
	// valid UTF-8.
	Message func(c *Conn, t Type, p []byte)
	// Part is called, in the place of Message, with what has come of a message since the last call, in
	// order: for messages that are larger than what memory is to have of them. last: it is the end of the
	// message. Only then p may be empty. See "Messages in parts" in the package documentation. p is valid
	// until Part returns, which may change it, and give it to Write; WriteLent copies it. Text is valid UTF-8 in
	// each p by itself.
	Part func(c *Conn, t Type, p []byte, last bool)
	// Pong is called with each Pong frame, those that answer pings of PingInterval included, whose
	// payload is empty. p is valid until Pong returns.
	Pong func(c *Conn, p []byte)
	// Drained: see [proactor.Handler].Drained.
	Drained func(c *Conn)
	// Closed is the last callback, made exactly once for each Opened. The cause tells which side ended
	// the connection and why, see the package documentation.
	Closed func(c *Conn, cause error)

	// Protocols are the subprotocols, the preferred one first (RFC 6455, 1.9). A server takes the
	// first that the client has offered, a client offers all.
	Protocols []string
	// Compression is whether messages may be compressed, and how. The zero value is NoCompression: it
	// costs 20 µs and more a message, which pays where the network is what is short. Where Part is set
	// there is none.
	Compression Compression
	// CheckOrigin reports whether a request may be upgraded; otherwise it is refused with 403. It is
	// called on the loop or, by Upgrade, on the goroutine of the request. nil: requests with an
	// Origin whose host and port are not those of the Host header are refused, because a browser
	// sends its cookies with requests of any page (RFC 6455, 10.2).
	CheckOrigin func(r *http.Request) bool

	// PingInterval is the silence after which a peer is sent a ping, or up to twice as long. 0: never.
	PingInterval time.Duration
	// PongTimeout is for how long a peer may send nothing at all after that, before it is reset, with
	// ErrNoPong as the cause. One whose Conn.Transport is paused by PauseRead when this is over is not reset: it is
	// asked again after the pause. 0: PingInterval.
	PongTimeout time.Duration

	// Server carries the connections that Upgrade takes over from a plain http.Server. It must have
	// been started or listen, and has neither TLS nor Layer. Where its Handler is that of these Options, a connection
	// costs 80 bytes less. Over package netconn it is not needed.
	Server *proactor.Server

	once   sync.Once
	server proactor.Handler // of servers
	taken  proactor.Handler // of connections that package netconn gives away
	dialed proactor.Handler
}

// Handler is the handler of a [proactor.Server] whose clients speak WebSocket. Their requests are
// read, checked and answered on the loop, within Limits.HandshakeTimeout; they are bounded to 16 KiB.
func Handler(o *Options) proactor.Handler {
	o.init()
	return o.server
}

// init makes the handlers. They differ in how a connection begins.
func (o *Options) init() {
	o.once.Do(func() {
		o.server = proactor.Messages(split, handle)
		o.server.Drained = drained
		o.server.Stopping = stops
		o.server.Ended = ended
		o.server.Closed = gone
		o.taken, o.dialed = o.server, o.server
		o.server.Opened = func(pc *proactor.Conn) { o.newConn(pc) }
		o.taken.Opened = func(pc *proactor.Conn) {
			pc.PauseRead() // until it is known what was asked for
			o.newConn(pc).state |= yields
		}
	})
}

// compression is what the other side may be told of: what comes in parts cannot be inflated.
func (o *Options) compression() Compression {
	if o.Part != nil {
		return NoCompression
	}
	return o.Compression
}

// of is the WebSocket over a connection. nil: none is, yet or any more.
func of(pc *proactor.Conn) *Conn {
	c, _ := pc.Value().(*Conn)
	return c
}

// arrived is a message, and whose.
type arrived struct {
	at *Conn
	message
}

func split(pc *proactor.Conn, data []byte, _ bool) (advance int, m arrived, err error) {
	c := of(pc)
	if c == nil {
		pc.Abort()
		return len(data), m, nil
	}
	m.at = c
	c.state |= spoke
	switch {
	case c.state&upgrading == 0:
		if c.opts.Part != nil {
			advance, m.message, err = c.in.part(data, c.control)
		} else {
			advance, m.message, err = c.in.next(data, c.control)
		}
		if waits := c.in.waited(); waits || advance > 0 {
			reading.Within(pc, waits)
		}
		if err == nil && m.compressed && !c.shared.closing() {
			m.p, err = inflaters.Get(pc.Loop()).unpack(m.message, &c.deflation.in, int(c.in.most))
		}
	case c.shared.isClient():
		advance, err = c.answered(data)
	default:
		advance, err = c.asked(data)
	}
	return advance, m, err
}

func handle(_ *proactor.Conn, m arrived) {
	c := m.at
	switch {
	case m.t == 0 || c.shared.closing():
		return
	case c.opts.Part != nil:
		c.opts.Part(c, m.t, m.p, !m.goesOn)
	case c.opts.Message != nil:
		if len(m.p) > 0 && !m.compressed {
			c.lent, c.room = unsafe.SliceData(m.p), m.lead
		}
		c.opts.Message(c, m.t, m.p)
		c.lent = nil
	}
	if c.state&yields != 0 && !c.pc.Writable() {
		reading.Yield(c.pc)
	}
}

func drained(pc *proactor.Conn) {
	c := of(pc)
	if c == nil || c.state&upgrading != 0 {
		return
	}
	c.payPong()
	if c.opts.Drained != nil {
		c.opts.Drained(c)
	}
}

func stops(pc *proactor.Conn) {
	if c := of(pc); c != nil {
		c.in.flags |= stopping
	}
}

// ended sends the Close frame that the end of a stream calls for.
func ended(pc *proactor.Conn, why error) {
	if c := of(pc); c != nil {
		if why == proactor.ErrPeerClosed && !c.saidClose() {
			c.state |= left
		}
		if code := codeFor(why); code != 0 && c.state&upgrading == 0 {
			c.sendClose(code, "")
		}
		c.leave() // what waits to be sent is bounded by other timeouts
	}
	pc.Close()
}

// codeFor is the code of the Close frame for the end of a stream; 0: none is due.
func codeFor(why error) CloseCode {
	switch why {
	case proactor.ErrTooLong:
		return StatusTooBig
	case proactor.ErrInbound:
		return StatusTryAgainLater
	case proactor.ErrServerClosed:
		return StatusGoingAway
	}
	switch why := why.(type) {
	case *CloseError:
		return why.Code
	case *ProtocolError:
		return why.Code
	}
	return 0
}

func gone(pc *proactor.Conn, cause error) {
	c := of(pc)
	if c == nil {
		return
	}
	c.leave()
	delete(*owed.Get(pc.Loop()), c)
	c.state |= over
	if cause == proactor.ErrLocalClosed {
		switch {
		case c.state&left != 0:
			cause = proactor.ErrPeerClosed
		case c.state&(unheard|upgrading) == unheard|upgrading:
			cause = ErrNoHandshake
		case c.state&unheard != 0:
			cause = ErrNoPong
		}
	}
	if c.state&upgrading != 0 {
		c.refused(cause)
		return
	}
	if c.opts.Closed != nil {
		c.opts.Closed(c, cause)
	}
}

// control handles a control frame. Its error ends the stream.
func (c *Conn) control(op ws.OpCode, p []byte) error {
	switch op {
	case ws.OpPing:
		c.pong(p)
	case ws.OpPong:
		if c.opts.Pong != nil {
			c.opts.Pong(c, p)
		}
	case ws.OpClose:
		return c.peerCloses(p)
	}
	return nil
}
