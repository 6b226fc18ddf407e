package proactor

import (
	"errors"
	"fmt"
)

// The causes that Handler.Closed is told, beside errors of the system (package
// port has those: port.ErrReset, port.ErrTimeout, ...) and of Split.
var (
	// ErrPeerClosed: the peer closed its sending side, and so did we.
	ErrPeerClosed = errors.New("closed by the peer")
	// ErrLocalClosed: Conn.Close or Conn.Abort was called.
	ErrLocalClosed = errors.New("closed by this side")
	// ErrServerClosed: the server was shut down. Server.Serve returns it too.
	ErrServerClosed = errors.New("proactor: server closed")
	// ErrIdle, ErrReadTimeout and ErrWriteTimeout: Limits has them.
	ErrIdle         = errors.New("idle for too long")
	ErrReadTimeout  = errors.New("nothing received for too long")
	ErrWriteTimeout = errors.New("nothing could be sent for too long")
	// ErrFirstByte and ErrTooSlow: Limits.FirstByteTimeout and Limits.MinRate.
	ErrFirstByte = errors.New("nothing received at all for too long")
	ErrTooSlow   = errors.New("a message came too slowly")
	// ErrInbound: no room in Config.MaxInbound.
	ErrInbound = errors.New("too much was received and not consumed")
	// ErrTooLong: more than Limits.MaxMessage without the end of a message.
	ErrTooLong = errors.New("message too long")
	// ErrBacklog: no room in Limits.MaxPending or Config.MaxOutbound.
	ErrBacklog = errors.New("too much waits to be sent")
	// ErrRelayEnd: the connection that Conn.Relay named takes nothing more.
	ErrRelayEnd = errors.New("what it was relayed to is closed")
	// ErrConsumed: Data returned a count below zero or over what it was given.
	ErrConsumed = errors.New("handler consumed more than it was given")
)

// The errors of calls.
var (
	// ErrClosed says that the connection, or its sending side, is closed.
	ErrClosed = errors.New("proactor: connection closed")
	// ErrEngineClosed says that the engine was closed.
	ErrEngineClosed = errors.New("proactor: engine closed")
	// ErrOtherLoop says that two connections are on different loops.
	ErrOtherLoop = errors.New("proactor: connections of different loops")
	// ErrRelaying says that a connection is relayed already, or fed by a relay.
	ErrRelaying = errors.New("proactor: relayed already")
	// ErrOnLoop says that a call that waits was made by a callback, which must
	// not wait.
	ErrOnLoop = errors.New("proactor: a callback must not wait")
)

// PanicError is the cause of a connection that was closed because a callback
// panicked.
type PanicError struct {
	Value any    // what the callback panicked with
	Stack []byte // of the goroutine, as from runtime/debug.Stack
}

// Error gives the value; the stack is in the log.
func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }
