package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// The errors of operations: the same values on every system. Test with
// [errors.Is]; the system's own error is below them for [errors.As].
var (
	ErrReset         = errors.New("connection reset by peer")
	ErrRefused       = errors.New("connection refused")
	ErrTimeout       = errors.New("timed out")
	ErrUnreachable   = errors.New("host or network unreachable")
	ErrCanceled      = errors.New("operation canceled")
	ErrAddrInUse     = errors.New("address already in use")
	ErrAddrNotAvail  = errors.New("address not available")
	ErrPermission    = errors.New("permission denied")
	ErrNoDescriptors = errors.New("out of descriptors")
	ErrNoMemory      = errors.New("out of memory")
	ErrNoBuffers     = errors.New("out of buffers")
	ErrUnsupported   = errors.New("not supported by this system")
	ErrOther         = errors.New("input/output error")
)

// The errors of calls: nothing was started.
var (
	// ErrClosed says that the handle's socket is closed or closing.
	ErrClosed = errors.New("socket is closed")
	// ErrShutdown says that the sending side was shut down before.
	ErrShutdown = errors.New("sending side is shut down")
	// ErrBusy says that the Op is in flight, or that the socket has an
	// operation of that direction outstanding.
	ErrBusy = errors.New("operation already outstanding")
	// ErrInvalid says that an argument makes no sense, such as an empty buffer.
	ErrInvalid = errors.New("invalid argument")
	// ErrPortClosed says that the port was closed.
	ErrPortClosed = errors.New("port is closed")
)

// Error is the error of an operation that failed: which kind it was, the class
// that it falls into on every system, and what this system said.
type Error struct {
	Kind  Kind  // of the operation
	Class error // one of the package's Err values
	Sys   error // the system's own error; may be nil
}

// Error gives kind, class and the system's words.
func (e *Error) Error() string {
	if e.Sys == nil {
		return fmt.Sprintf("%v: %v", e.Kind, e.Class)
	}
	return fmt.Sprintf("%v: %v (%v)", e.Kind, e.Class, e.Sys)
}

// Unwrap gives the class and the system's error.
func (e *Error) Unwrap() []error {
	if e.Sys == nil {
		return []error{e.Class}
	}
	return []error{e.Class, e.Sys}
}

// Timeout reports whether the class is [ErrTimeout], as net.Error wants it.
func (e *Error) Timeout() bool { return e.Class == ErrTimeout }

// Temporary reports whether the same operation may succeed later without a
// change by the caller: descriptors, memory or buffers had run out.
func (e *Error) Temporary() bool {
	return e.Class == ErrNoDescriptors || e.Class == ErrNoMemory || e.Class == ErrNoBuffers
}

func canceled(k Kind) error { return &Error{Kind: k, Class: ErrCanceled} }

// sysError wraps an error of the system in the class it falls into.
func sysError(k Kind, err error) error { return &Error{Kind: k, Class: classify(err), Sys: err} }

// sysErrorOnce is sysError for an error that may have been wrapped already.
func sysErrorOnce(k Kind, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	return sysError(k, err)
}

// classify finds the class of an error of the system, or of package net.
func classify(err error) error {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return classifyErrno(errno)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return ErrTimeout
	case errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		return ErrCanceled
	}
	return ErrOther
}
