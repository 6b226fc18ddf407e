package netconn

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// opError is the error of a call, as package net has it. nil stays nil, and io.EOF itself.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	a := c.where()
	return &net.OpError{Op: op, Net: a.local.Network(), Source: a.local, Addr: a.remote, Err: err}
}

// reset is an end by the peer's reset, which callers look for as syscall.ECONNRESET on every
// system.
type reset struct{ cause error }

func (r reset) Error() string        { return r.cause.Error() }
func (r reset) Unwrap() error        { return r.cause }
func (r reset) Is(target error) bool { return target == syscall.ECONNRESET }

// errAttached is net.ErrClosed for a tls.Conn that goes to the loop: one that is temporary leaves
// it as it is.
var errAttached error = attachedError{}

type attachedError struct{}

func (attachedError) Error() string   { return net.ErrClosed.Error() }
func (attachedError) Unwrap() error   { return net.ErrClosed }
func (attachedError) Timeout() bool   { return false }
func (attachedError) Temporary() bool { return true }

// ends are the errors of Reads and Writes on a connection that has ended.
func ends(cause error) (read, write error) {
	switch {
	case errors.Is(cause, proactor.ErrPeerClosed):
		return io.EOF, syscall.EPIPE
	case errors.Is(cause, proactor.ErrLocalClosed):
		return net.ErrClosed, net.ErrClosed
	case errors.Is(cause, port.ErrReset):
		err := reset{cause}
		return err, err
	}
	return cause, cause
}
