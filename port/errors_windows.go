package port

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// privilegedHint is what to do about a port that may not be bound.
const privilegedHint = "another program, or a reserved range of ports, has it"

// classifyErrno sorts the errors of sockets. The same event has two numbers:
// Winsock's (10000 and above) from a call that fails at once, and that of the
// system (below) from an operation that failed later, where it is the NTSTATUS
// of the OVERLAPPED in other words.
func classifyErrno(e syscall.Errno) error {
	switch e {
	case windows.WSAECONNRESET, windows.WSAECONNABORTED, windows.WSAENOTCONN, windows.WSAESHUTDOWN, windows.WSAEDISCON,
		windows.ERROR_NETNAME_DELETED,     // STATUS_CONNECTION_RESET
		windows.ERROR_CONNECTION_ABORTED,  // this end gave up: retransmissions failed
		windows.ERROR_GRACEFUL_DISCONNECT, // STATUS_GRACEFUL_DISCONNECT
		windows.ERROR_CONNECTION_INVALID, windows.ERROR_VC_DISCONNECTED, windows.ERROR_UNEXP_NET_ERR,
		windows.ERROR_PIPE_NOT_CONNECTED, windows.ERROR_BROKEN_PIPE, windows.ERROR_NO_DATA:
		return ErrReset
	case windows.WSAECONNREFUSED, windows.ERROR_CONNECTION_REFUSED, windows.ERROR_PORT_UNREACHABLE:
		return ErrRefused
	case windows.ERROR_FILE_NOT_FOUND, windows.ERROR_PATH_NOT_FOUND: // see sysError
		return ErrNotExist
	case windows.WSAEINVAL, windows.WSAENAMETOOLONG, windows.ERROR_INVALID_PARAMETER:
		return ErrInvalid
	case windows.WSAETIMEDOUT, windows.ERROR_SEM_TIMEOUT, windows.ERROR_TIMEOUT, windows.WAIT_TIMEOUT,
		windows.WSAENETRESET: // keep-alive probes were not answered
		return ErrTimeout
	case windows.WSAEHOSTUNREACH, windows.WSAENETUNREACH, windows.WSAEHOSTDOWN, windows.WSAENETDOWN,
		windows.ERROR_HOST_UNREACHABLE, windows.ERROR_NETWORK_UNREACHABLE, windows.ERROR_PROTOCOL_UNREACHABLE,
		windows.ERROR_HOST_DOWN, windows.ERROR_BAD_NETPATH, windows.ERROR_BAD_NET_NAME:
		return ErrUnreachable
	case windows.ERROR_OPERATION_ABORTED, windows.ERROR_HANDLES_CLOSED, windows.ERROR_CANCELLED,
		windows.ERROR_REQUEST_ABORTED, windows.WSAEINTR, windows.WSAECANCELLED:
		return ErrCanceled
	case windows.WSAEADDRINUSE, windows.ERROR_ADDRESS_ALREADY_ASSOCIATED, windows.ERROR_DUP_NAME:
		return ErrAddrInUse
	case windows.WSAEADDRNOTAVAIL, windows.ERROR_ADDRESS_NOT_ASSOCIATED, windows.ERROR_INCORRECT_ADDRESS:
		return ErrAddrNotAvail
	case windows.WSAEACCES, windows.ERROR_ACCESS_DENIED:
		return ErrPermission
	case windows.WSAEMFILE, windows.ERROR_TOO_MANY_OPEN_FILES:
		return ErrNoDescriptors
	case windows.ERROR_NOT_ENOUGH_MEMORY, windows.ERROR_OUTOFMEMORY, windows.ERROR_COMMITMENT_LIMIT:
		return ErrNoMemory
	case windows.WSAENOBUFS, windows.ERROR_NO_SYSTEM_RESOURCES, windows.ERROR_NOT_ENOUGH_QUOTA,
		windows.ERROR_WORKING_SET_QUOTA, windows.ERROR_NONPAGED_SYSTEM_RESOURCES, windows.ERROR_PAGED_SYSTEM_RESOURCES:
		return ErrNoBuffers
	case windows.WSAEAFNOSUPPORT, windows.WSAEPFNOSUPPORT, windows.WSAEPROTONOSUPPORT, windows.WSAESOCKTNOSUPPORT,
		windows.WSAEPROTOTYPE, windows.WSAEOPNOTSUPP, windows.ERROR_NOT_SUPPORTED, windows.ERROR_CALL_NOT_IMPLEMENTED,
		windows.ERROR_PROC_NOT_FOUND:
		return ErrUnsupported
	}
	return ErrOther
}
