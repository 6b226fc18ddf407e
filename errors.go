package proactor

import (
	"errors"
	"net"
)

// The causes that Handler.Closed is called with. Others are errors of the system, which
// package port has (port.ErrReset, port.ErrTimeout, ...), those of Handler.Split, a
// *[PanicError], and with TLS those of crypto/tls: a [net.OpError] for an alert of the peer ("remote
// error") or of this side ("local error"), which [errors.As] also gives as a [tls.AlertError].
// Test with errors.Is.
var (
	// ErrPeerClosed: the peer closed its sending side, and this side was closed, too.
	ErrPeerClosed = errors.New("closed by the peer")
	// ErrLocalClosed: Conn.Close or Conn.Abort was called.
	ErrLocalClosed = errors.New("closed by this side")
	// ErrServerClosed: the server was shut down. Server.Wait returns it too.
	ErrServerClosed = errors.New("server closed")
	// ErrIdle: Limits.IdleTimeout. ErrReadTimeout: Limits.ReadTimeout. ErrWriteTimeout:
	// Limits.WriteTimeout.
	ErrIdle         = errors.New("idle for too long")
	ErrReadTimeout  = errors.New("nothing received for too long")
	ErrWriteTimeout = errors.New("nothing could be sent for too long")
	// ErrFirstByte: Limits.FirstByteTimeout. ErrTooSlow: Limits.MinRate.
	ErrFirstByte = errors.New("nothing received at all for too long")
	ErrTooSlow   = errors.New("a message came too slowly")
	// ErrInbound: Config.MaxInbound had no room for bytes that the handler did not consume.
	ErrInbound = errors.New("too much was received and not consumed")
	// ErrTooLong: the handler has left more than Limits.MaxMessage bytes.
	ErrTooLong = errors.New("message too long")
	// ErrBacklog: Limits.MaxPending or Config.MaxOutbound had no room for bytes to be sent.
	// Write returns it, too.
	ErrBacklog = errors.New("too much waits to be sent")
	// ErrRelayEnd: the connection that Conn.Relay sends to is closed, or its sending side is.
	ErrRelayEnd = errors.New("relay destination closed")
	// ErrDetached: the connection goes on elsewhere, see Conn.Detach.
	ErrDetached = errors.New("handed on")
	// ErrTruncated: the peer's FIN came without the close_notify of TLS, so bytes before it may
	// be missing.
	ErrTruncated = errors.New("a FIN without the close_notify of TLS")
	// ErrPlaintext: behind the message for which the handler called Conn.StartTLS the peer had sent
	// more, in the clear. StartTLS may return it, too, and Unread.
	ErrPlaintext = errors.New("bytes in the clear behind the request for TLS")
	// ErrHandshake: Limits.HandshakeTimeout.
	ErrHandshake = errors.New("the handshake took too long")
	// ErrCrowded: all places of TLS handshakes were taken, another was to begin, and of all that
	// waited for their clients this one had waited longest.
	ErrCrowded = errors.New("the handshake gave its place to another")
	// ErrConsumed: Data returned a count that is negative or more than it was given.
	ErrConsumed = errors.New("handler consumed more than it was given")
)

// Errors that calls return.
var (
	// ErrClosed: the connection, or its sending side, is closed. For errors.Is it is a
	// net.ErrClosed, too.
	ErrClosed error = closedError{}
	// ErrEngineClosed: the engine was closed.
	ErrEngineClosed = errors.New("engine closed")
	// ErrTooMany: Server.Adopt found as many connections as Server.MaxConns or
	// Server.MaxConnsPerPeer allow.
	ErrTooMany = errors.New("too many connections")
	// ErrOtherLoop: the two connections are on different loops.
	ErrOtherLoop = errors.New("connections of different loops")
	// ErrRelaying: the connection is relayed already, or another is relayed to it.
	ErrRelaying = errors.New("relayed already")
	// ErrOnLoop: the call would have to wait, and was made in a callback, of any loop of any
	// engine. Callbacks must not wait. The call did nothing.
	ErrOnLoop = errors.New("a callback must not wait")
	// ErrNoCallback: the call was not made in a callback of the connection.
	ErrNoCallback = errors.New("not in a callback of the connection")
	// ErrBubble: the call was made in a bubble of testing/synctest that the engine does not
	// belong to.
	ErrBubble = errors.New("the engine was made outside of this synctest bubble")
)

// closedError is the type of ErrClosed.
type closedError struct{}

func (closedError) Error() string        { return "connection closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }
