package port

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
)

// The classes of errors of operations, the same values on every system. Test with [errors.Is].
// Use [errors.As] for the system's own error.
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
	ErrNotExist      = errors.New("no such file or directory")
	ErrUnsupported   = error(unsupported{}) // errors.ErrUnsupported too
	ErrOther         = errors.New("input/output error")
)

type unsupported struct{}

func (unsupported) Error() string        { return "not supported by this system" }
func (unsupported) Is(target error) bool { return target == errors.ErrUnsupported }

// Errors of calls. After any of them nothing was started.
var (
	// ErrClosed: the socket of the handle is closed or closing.
	ErrClosed = errors.New("socket is closed")
	// ErrShutdown: the sending side was shut down before.
	ErrShutdown = errors.New("sending side is shut down")
	// ErrBusy: the Op is in flight, or the socket has an operation of that direction
	// outstanding.
	ErrBusy = errors.New("operation already outstanding")
	// ErrInvalid: an argument is not allowed, such as an empty buffer.
	ErrInvalid = errors.New("invalid argument")
	// ErrPortClosed: the port was closed.
	ErrPortClosed = errors.New("port is closed")
)

// Error is the error of an operation or a call. It has the kind of the operation, its class,
// which is the same on every system, the system's own error, and a hint what to do.
type Error struct {
	Kind  Kind   // of the operation; 0 for a call, which the error around this one names
	Class error  // one of the Err values of this package
	Sys   error  // the system's own error; may be nil
	Hint  string // for a person; may be empty
}

// Error has the operation and the system's own error, which is more exact than the class.
func (e *Error) Error() string {
	text := e.Class.Error()
	if e.Sys != nil {
		if sys := e.Sys.Error(); e.Class == ErrOther || strings.Contains(sys, text) {
			text = sys
		} else {
			text += " (" + sys + ")"
		}
	}
	if e.Kind != 0 {
		// The system's call most often has the name of the operation.
		text = e.Kind.String() + ": " + strings.TrimPrefix(text, e.Kind.String()+": ")
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns the class and the system's error.
func (e *Error) Unwrap() []error {
	if e.Sys == nil {
		return []error{e.Class}
	}
	return []error{e.Class, e.Sys}
}

// Timeout reports whether the class is [ErrTimeout], as net.Error wants it.
func (e *Error) Timeout() bool { return e.Class == ErrTimeout }

// Temporary reports whether the same operation may succeed later, because descriptors, memory
// or buffers had run out.
func (e *Error) Temporary() bool {
	return e.Class == ErrNoDescriptors || e.Class == ErrNoMemory || e.Class == ErrNoBuffers
}

func canceled(k Kind) error { return &Error{Kind: k, Class: ErrCanceled} }

// sysError wraps an error of the system, or of package net, in the class it falls
// into.
func sysError(k Kind, err error) error {
	if e := (*net.OpError)(nil); errors.As(err, &e) {
		err = e.Err // what package net puts around it is told by the port already
	}
	class := classify(err)
	if class == ErrNotExist && k == KindConnect {
		class = ErrRefused // no listener is at that path
	}
	return &Error{Kind: k, Class: class, Sys: err}
}

// sysErrorOnce is sysError for an error that may have been wrapped already.
func sysErrorOnce(k Kind, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	if errors.Is(err, ErrInvalid) {
		return err
	}
	return sysError(k, err)
}

// callError is the error of a call about an address, as package net has it.
func callError(call, network string, a net.Addr, err error) error {
	return &net.OpError{Op: call, Net: network, Addr: a, Err: err}
}

// WithHint adds a hint about an address to an *[Error] that has none. It is for errors of
// completions, which do not know the address. Any other error is returned unchanged.
func WithHint(err error, a Addr) error {
	e := (*Error)(nil)
	if !errors.As(err, &e) || e.Hint != "" {
		return err
	}
	ip, number := a.AddrPort.Addr(), a.AddrPort.Port()
	switch {
	case a.Unix && e.Class == ErrAddrInUse:
		e.Hint = "the file belongs to a server that runs, or was left by one that died"
	case a.Unix:
	case ip.Is6() && ip.IsLinkLocalUnicast() && ip.Zone() == "" && e.Class != ErrAddrInUse:
		e.Hint = "a link-local address needs the zone of its interface, as in fe80::1%eth0"
	case e.Class == ErrPermission && number > 0 && number < 1024:
		e.Hint = privilegedHint
	}
	return err
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
