package websocket

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/gobwas/ws"

	"github.com/proactor-go/proactor"
)

// Conn is one WebSocket. Any goroutine may call any method, in callbacks and elsewhere, also
// after it has closed.
type Conn struct {
	pc        *proactor.Conn
	opts      *Options
	deflation *deflation // nil: messages are not compressed; fixed when Opened is called

	// For the loop alone.
	in    decoder
	lent  *byte  // where the message that Options.Message has begins; nil: none is
	place *place // in a line; nil: it waits for nothing
	state connState
	room  uint8 // bytes before lent that are the message's as well

	chosen uint16 // the subprotocol: one more than its index; 0: none. Fixed when Opened is called
	shared sharedState
	mu     sync.Mutex // held by Writes
	value  any        // until Opened, what the handshake needs
}

// sharedState is what any goroutine may look at.
type sharedState struct{ bits atomic.Uint32 }

const (
	dialedBit  = 1 << iota // fixed when Opened is called
	closingBit             // set under mu
)

// isClient reports whether Dial has made the connection, so that what it sends is masked.
func (s *sharedState) isClient() bool { return s.bits.Load()&dialedBit != 0 }

// closing reports whether a Close frame was sent, or is just being sent: nothing may follow.
func (s *sharedState) closing() bool { return s.bits.Load()&closingBit != 0 }

type connState uint8

const (
	upgrading connState = 1 << iota // the handshake is not done
	spoke                           // the peer has, since it was last looked
	pinged                          // and was asked to
	unheard                         // but did not
	yields                          // is not read while much waits, though Limits.Overflow has it read
	left                            // the peer has, without a Close frame
	over                            // Closed was called
)

// newConn makes the WebSocket over a connection, whose handshake is to come, on the loop.
func (o *Options) newConn(pc *proactor.Conn) *Conn {
	limits := pc.Limits()
	c := &Conn{pc: pc, opts: o, in: decoder{most: messageMost(limits.MaxMessage)}, state: upgrading}
	pc.SetValue(c)
	if limits.HandshakeTimeout > 0 {
		c.queue(limits.HandshakeTimeout, (*Conn).noHandshake)
	}
	return c
}

// Transport is the connection under c: for its addresses, Stats and Loop, for Post and After, to pause
// it, and as what a [proactor.Registry] keeps, see [Broadcast] and [Of]. Its value and its handler are
// those of c. What is written to it directly breaks the protocol.
func (c *Conn) Transport() *proactor.Conn { return c.pc }

// Of is the WebSocket over a connection, after Opened; nil: there is none.
func Of(pc *proactor.Conn) *Conn { return of(pc) }

// Protocol is the subprotocol that was agreed on; empty: none.
func (c *Conn) Protocol() string {
	if c.chosen == 0 {
		return ""
	}
	return c.opts.Protocols[c.chosen-1]
}

// Value returns the value that SetValue stored, nil at first.
func (c *Conn) Value() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value
}

// SetValue stores a value of the caller's choice with the connection.
func (c *Conn) SetValue(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.value = v
}

// Write sends p as a message of one frame. It copies p and does not wait, as [proactor.Conn.Write],
// and has its errors: [proactor.ErrClosed], also after Close, and [proactor.ErrBacklog]. A t that
// is no type is [ErrInvalid]. That text is UTF-8 is the caller's business.
func (c *Conn) Write(t Type, p []byte) error {
	if t != Text && t != Binary {
		return fmt.Errorf("%w: %v", ErrInvalid, t)
	}
	return c.sendMessage(ws.OpCode(t), p)
}

// WriteLent is a Write for bytes that are only lent, as [proactor.Conn.WriteLent]: p is the
// message in progress on this connection, or a beginning of it, and must not be changed before the
// callback returns. A server sends it from where it was received, if it fits, and neither came
// compressed nor goes so. Any other p is written as Write does it, and so is each in Options.Part. Only
// Options.Message and Options.Part may call it.
func (c *Conn) WriteLent(t Type, p []byte) error {
	if t != Text && t != Binary {
		return fmt.Errorf("%w: %v", ErrInvalid, t)
	}
	n := ws.HeaderSize(ws.Header{Length: int64(len(p))})
	if c.lent == nil || unsafe.SliceData(p) != c.lent || n > int(c.room) || c.shared.isClient() || c.deflates(p) {
		return c.sendMessage(ws.OpCode(t), p)
	}
	// The header goes where that of the message was, which is the message's own memory.
	frame := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(c.lent), -n)), n+len(p))
	putHeader(frame, ws.OpCode(t), len(p))
	c.lent = nil // so that it is lent once
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared.closing() {
		return proactor.ErrClosed
	}
	_, err := c.pc.WriteLent(frame)
	return err
}

// Ping sends a Ping frame with up to 125 bytes. Options.Pong gets the answer.
func (c *Conn) Ping(p []byte) error {
	if len(p) > ws.MaxControlFramePayloadSize {
		return fmt.Errorf("%w: a ping of %d bytes", ErrInvalid, len(p))
	}
	return c.send(ws.OpPing, p)
}

// Close begins the closing handshake (RFC 6455, 7.1.2): it sends a Close frame, after what was written
// before, and returns. Messages that the peer sends from now on are dropped. When its Close frame
// comes, or Limits.LingerTimeout has passed, the connection is closed; Closed is called with
// [proactor.ErrLocalClosed].
//
// code is one of the constants, or from 3000 to 4999; StatusNone sends none, and no reason. reason
// has up to 123 bytes of UTF-8. Else the error is [ErrInvalid]. A second Close does nothing.
func (c *Conn) Close(code CloseCode, reason string) error {
	if code != StatusNone && !code.valid() || len(reason) > ws.MaxControlFramePayloadSize-2 || !utf8.ValidString(reason) || code == StatusNone && reason != "" {
		return fmt.Errorf("%w: code %d and %d bytes of reason", ErrInvalid, code, len(reason))
	}
	if c.sendClose(code, reason) {
		_ = c.pc.Post(c.awaitClose) // it fails when the engine has ended
	}
	return nil
}

// awaitClose bounds the time until the peer's Close frame comes, on the loop.
func (c *Conn) awaitClose() {
	if c.state&over != 0 {
		return
	}
	c.leave()
	wait := c.pc.Limits().LingerTimeout
	if wait <= 0 {
		wait = 5 * time.Second
	}
	c.queue(wait, (*Conn).noAnswer)
}

// sendClose sends a Close frame, unless one was sent, and reports whether it did.
func (c *Conn) sendClose(code CloseCode, reason string) bool {
	var body []byte
	if code != StatusNone {
		body = append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared.closing() {
		return false
	}
	c.shared.bits.Or(closingBit) // first: the peer's answer may be here before write returns
	err := c.write(ws.OpClose, body)
	if err != nil { // there is no room, so the peer cannot be told
		c.pc.Close()
	}
	return err == nil
}

// peerCloses handles the peer's Close frame: by its error, what ends the stream.
func (c *Conn) peerCloses(p []byte) error {
	e := &CloseError{Code: StatusNone}
	switch {
	case len(p) == 1:
		return fault(errShortCode)
	case len(p) > 1:
		e.Code, e.Reason = CloseCode(binary.BigEndian.Uint16(p)), string(p[2:])
		if !e.Code.valid() {
			return fault(errCode)
		}
		if !utf8.ValidString(e.Reason) {
			return fault(errUTF8)
		}
	}
	if c.saidClose() {
		return bufio.ErrFinalToken
	}
	return e
}

// saidClose is closing, but waits for the Close frame that another goroutine is just sending: after the end of the
// connection, which is near, it would come too late.
func (c *Conn) saidClose() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shared.closing()
}

// sendMessage writes a message.
func (c *Conn) sendMessage(op ws.OpCode, p []byte) error {
	if c.deflates(p) {
		return c.sendDeflated(op, p)
	}
	return c.send(op, p)
}

// deflates reports whether a message goes compressed, if it shrinks.
func (c *Conn) deflates(p []byte) bool { return c.deflation != nil && len(p) >= deflateLeast }

// send writes one frame.
func (c *Conn) send(op ws.OpCode, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shared.closing() {
		return proactor.ErrClosed
	}
	return c.write(op, p)
}

// write is send, whether the connection is closing or not. mu is held.
func (c *Conn) write(op ws.OpCode, p []byte) error {
	if c.shared.isClient() {
		b := frames.Get().(*[]byte)
		*b = c.appendFrame((*b)[:0], op, p)
		_, err := c.pc.Write(*b)
		if cap(*b) <= framesMost {
			frames.Put(b)
		}
		return err
	}
	var h [ws.MaxHeaderSize]byte
	_, err := c.pc.Writev(h[:putHeader(h[:], op, len(p))], p)
	return err
}

// frames are for clients, whose frames are masked.
var frames = sync.Pool{New: func() any { return new([]byte) }}

const framesMost = 64 << 10

// frame is one frame, in memory of its own.
func (c *Conn) frame(op ws.OpCode, p []byte) []byte {
	return c.appendFrame(make([]byte, 0, ws.MaxHeaderSize+len(p)), op, p)
}

func (c *Conn) appendFrame(b []byte, op ws.OpCode, p []byte) []byte {
	var h [ws.MaxHeaderSize]byte
	n := putHeader(h[:], op, len(p))
	if !c.shared.isClient() {
		return append(append(b, h[:n]...), p...)
	}
	mask := ws.NewMask()
	h[1] |= 0x80
	n += copy(h[n:], mask[:])
	b = append(append(b, h[:n]...), p...)
	ws.Cipher(b[len(b)-len(p):], mask, 0)
	return b
}

// putHeader writes the header of a frame that is a whole message, and not masked. op may have rsv1.
func putHeader(b []byte, op ws.OpCode, length int) (n int) {
	b[0] = 0x80 | byte(op)
	switch {
	case length < 126:
		b[1] = byte(length)
		return 2
	case length < 1<<16:
		b[1] = 126
		binary.BigEndian.PutUint16(b[2:], uint16(length))
		return 4
	default:
		b[1] = 127
		binary.BigEndian.PutUint64(b[2:], uint64(length))
		return 10
	}
}
