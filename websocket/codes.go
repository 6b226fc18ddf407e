package websocket

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/gobwas/ws"
)

// Type is the type of a message (RFC 6455, 5.6).
type Type uint8

// The types of messages.
const (
	Text   = Type(ws.OpText) // UTF-8
	Binary = Type(ws.OpBinary)
)

func (t Type) String() string {
	switch t {
	case Text:
		return "text"
	case Binary:
		return "binary"
	}
	return "type " + strconv.Itoa(int(t))
}

// CloseCode is why a WebSocket is closed (RFC 6455, 7.4).
type CloseCode uint16

// The codes that the protocol defines, and a Close frame may have. Programs have 4000 to 4999 for
// themselves, and 3000 to 3999 are registered with IANA.
const (
	StatusNormal          = CloseCode(ws.StatusNormalClosure)
	StatusGoingAway       = CloseCode(ws.StatusGoingAway)
	StatusProtocolError   = CloseCode(ws.StatusProtocolError)
	StatusUnsupportedData = CloseCode(ws.StatusUnsupportedData)
	StatusInvalidPayload  = CloseCode(ws.StatusInvalidFramePayloadData)
	StatusPolicyViolation = CloseCode(ws.StatusPolicyViolation)
	StatusTooBig          = CloseCode(ws.StatusMessageTooBig)
	StatusMissing         = CloseCode(ws.StatusMandatoryExt)
	StatusInternalError   = CloseCode(ws.StatusInternalServerError)
	StatusServiceRestart  = CloseCode(1012)
	StatusTryAgainLater   = CloseCode(1013)
	StatusBadGateway      = CloseCode(1014)

	// StatusNone is never sent: it is that of a Close frame without a code.
	StatusNone = CloseCode(ws.StatusNoStatusRcvd)
)

// valid reports whether a Close frame may have the code.
func (c CloseCode) valid() bool {
	switch {
	case c >= 3000 && c <= 4999:
		return true
	case c == 1004 || c == 1005 || c == 1006:
		return false
	}
	return c >= 1000 && c <= 1014
}

// CloseError is the cause of a WebSocket that the peer has closed by a Close frame.
type CloseError struct {
	Code   CloseCode // StatusNone if it had none
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("closed by the peer with code %d %s", e.Code, strconv.Quote(e.Reason))
}

// ProtocolError is the cause of a WebSocket whose peer broke the protocol. Code is what the peer
// was sent for it.
type ProtocolError struct {
	Code CloseCode
	Err  error // what was wrong
}

func (e *ProtocolError) Error() string { return "websocket: " + e.Err.Error() }

// Unwrap gives what was wrong.
func (e *ProtocolError) Unwrap() error { return e.Err }

// Causes of Options.Closed, beside those of the framework, and errors of calls.
var (
	// ErrNoPong: the peer has sent nothing for Options.PongTimeout after a ping.
	ErrNoPong = errors.New("websocket: no answer to a ping")
	// ErrNoHandshake: the peer has not sent a whole handshake within Limits.HandshakeTimeout.
	ErrNoHandshake = errors.New("websocket: no handshake in time")
	// ErrInvalid: an argument that a frame cannot have: a type that is none, the payload of a ping or
	// the reason of a close that is too long, a code that is not to be sent.
	ErrInvalid = errors.New("websocket: invalid argument")
)

// Faults of peers, in a ProtocolError. Others are those of package ws.
var (
	errUTF8      = errors.New("text is not UTF-8")
	errCode      = errors.New("a Close frame has a code that is not to be sent")
	errShortCode = errors.New("a Close frame has half a code")
	errDeflate   = errors.New("a compressed message cannot be inflated")
	errEmpty     = errors.New("a compressed message has hardly anything in it")
	errLength    = errors.New("a length is not written in the fewest bytes, or is negative")
)
