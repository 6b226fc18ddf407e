//go:build !windows

package port

import "syscall"

// privilegedHint is what to do about a port that may not be bound.
const privilegedHint = "ports below 1024 need a privilege (on Linux the capability CAP_NET_BIND_SERVICE)"

// classifyErrno sorts the errors of sockets as POSIX and the manual pages of
// Linux and the BSDs describe them (connect, accept, send, recv).
func classifyErrno(e syscall.Errno) error {
	switch e {
	case syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, syscall.ENOTCONN:
		// EPIPE: a send after the peer's reset was told to the recv. Sends after
		// our own shutdown never get here, see ErrShutdown.
		return ErrReset
	case syscall.ECONNREFUSED:
		return ErrRefused
	case syscall.ENOENT, syscall.ENOTDIR: // see sysError
		return ErrNotExist
	case syscall.EINVAL, syscall.ENAMETOOLONG:
		return ErrInvalid
	case syscall.ETIMEDOUT:
		return ErrTimeout
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN:
		return ErrUnreachable
	case syscall.ECANCELED:
		return ErrCanceled
	case syscall.EADDRINUSE:
		return ErrAddrInUse
	case syscall.EADDRNOTAVAIL:
		return ErrAddrNotAvail
	case syscall.EACCES, syscall.EPERM:
		return ErrPermission
	case syscall.EMFILE, syscall.ENFILE:
		return ErrNoDescriptors
	case syscall.ENOMEM:
		return ErrNoMemory
	case syscall.ENOBUFS:
		return ErrNoBuffers
	case syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EAFNOSUPPORT, syscall.EPROTONOSUPPORT, syscall.EPROTOTYPE:
		return ErrUnsupported
	}
	return ErrOther
}
