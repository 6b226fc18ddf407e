package port

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// isListener reports whether a file is a socket that listens.
func isListener(f *os.File) (listens bool, err error) {
	err = withSocket(f, func(h windows.Handle) error {
		listens, err = checkStream(h)
		return err
	})
	return listens, err
}

// withSocket runs do with the socket of a file.
func withSocket(f *os.File, do func(windows.Handle) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if e := raw.Control(func(fd uintptr) { err = do(windows.Handle(fd)) }); e != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, e)
	}
	return err
}

// adoptSocket duplicates a stream socket. That of a file of package net has been
// taken off the port of Go's runtime by its File; Fd does it for any other.
func adoptSocket(f *os.File, o SocketOptions) (sk Socket, listens bool, err error) {
	f.Fd()
	h := windows.InvalidHandle
	err = withSocket(f, func(from windows.Handle) error {
		if listens, err = checkStream(from); err != nil {
			return err
		}
		var info windows.WSAProtocolInfo
		if err := windows.WSADuplicateSocket(from, windows.GetCurrentProcessId(), &info); err != nil {
			return os.NewSyscallError("wsaduplicatesocket", err)
		}
		h, err = windows.WSASocket(-1, -1, -1, &info, 0, windows.WSA_FLAG_OVERLAPPED|windows.WSA_FLAG_NO_HANDLE_INHERIT)
		return os.NewSyscallError("wsasocket", err)
	})
	if err != nil {
		return NoSocket, false, err
	}
	windows.SetsockoptLinger(h, windows.SOL_SOCKET, windows.SO_LINGER, &windows.Linger{}) // see closeSocket
	a, err := localAddr(h)
	if err == nil {
		err = setOptions(h, family(a), o)
	}
	if err != nil {
		windows.Closesocket(h)
		return NoSocket, false, err
	}
	made.Store(Socket(h), &socketInfo{local: a, options: o})
	return Socket(h), listens, nil
}

// checkStream reports whether a socket listens; it is an error that it is none of
// streams.
func checkStream(h windows.Handle) (listens bool, err error) {
	const soAcceptConn, soType = 0x0002, 0x1008
	v, err := windows.GetsockoptInt(h, windows.SOL_SOCKET, soType)
	if err == nil && v != windows.SOCK_STREAM {
		err = errors.New("it has no stream")
	}
	if err != nil {
		return false, fmt.Errorf("%w: no stream socket: %w", ErrInvalid, err)
	}
	v, err = windows.GetsockoptInt(h, windows.SOL_SOCKET, soAcceptConn)
	return v != 0, os.NewSyscallError("getsockopt", err)
}

// associateError names what a socket is that is tied to another completion port
// already, and which the system could not take off it.
func associateError(err error) error {
	if errors.Is(err, syscall.Errno(windows.ERROR_INVALID_PARAMETER)) {
		return &Error{Class: ErrUnsupported, Sys: err, Hint: "the socket belongs to another completion port"}
	}
	return err
}

// duplicate is not for Windows, where the duplicate would take the socket off the runtime's port.
func duplicate(syscall.Conn) (*os.File, error) { return nil, &Error{Class: ErrUnsupported} }
