package port

import (
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/windows"
)

// winsock is what the process has to have before the first socket.
var winsock struct {
	once    sync.Once
	err     error
	layered bool     // see isLayered
	modes   bool     // the system has SetFileCompletionNotificationModes
	extend  sync.Map // of *extensions, by family
}

func startWinsock() error {
	w := &winsock
	w.once.Do(func() {
		var data windows.WSAData
		if w.err = windows.WSAStartup(0x202, &data); w.err != nil {
			w.err = os.NewSyscallError("wsastartup", w.err)
			return
		}
		for _, p := range []*windows.LazyProc{procGetQueuedCompletionStatusEx, procCancelIoEx, procWSARecv, procWSASend, procRecv, procBind, procConnect, procGetsockname, procGetpeername, procIoctlsocket, procGetExtendedTcpTable} {
			if w.err = p.Find(); w.err != nil {
				return
			}
		}
		w.layered = isLayered()
		w.modes = windows.LoadSetFileCompletionNotificationModes() == nil
		_, w.err = extensionsOf(windows.AF_INET)
	})
	return w.err
}

// extensions are the functions that a provider of sockets has beside Winsock's table
// of exports. Each family has a provider, and functions, of its own.
type extensions struct{ acceptEx, sockaddrs, connectEx uintptr }

func extensionsOf(family int) (*extensions, error) {
	if x, ok := winsock.extend.Load(family); ok {
		return x.(*extensions), nil
	}
	s, err := newSocket(family)
	if err != nil {
		return nil, err
	}
	defer windows.Closesocket(s)
	acceptEx := windows.GUID{Data1: 0xb5367df1, Data2: 0xcbac, Data3: 0x11cf, Data4: [8]byte{0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92}}
	sockaddrs := acceptEx // GetAcceptExSockaddrs
	sockaddrs.Data1 = 0xb5367df2
	x := new(extensions)
	if x.acceptEx, err = extension(s, "acceptex", acceptEx); err != nil {
		return nil, err
	}
	if x.sockaddrs, err = extension(s, "getacceptexsockaddrs", sockaddrs); err != nil {
		return nil, err
	}
	if x.connectEx, err = extension(s, "connectex", windows.WSAID_CONNECTEX); err != nil && family != windows.AF_UNIX {
		return nil, err
	}
	winsock.extend.Store(family, x)
	return x, nil
}

func extension(s windows.Handle, name string, id windows.GUID) (uintptr, error) {
	var f uintptr
	var n uint32
	err := windows.WSAIoctl(s, windows.SIO_GET_EXTENSION_FUNCTION_POINTER, (*byte)(unsafe.Pointer(&id)), uint32(unsafe.Sizeof(id)),
		(*byte)(unsafe.Pointer(&f)), uint32(unsafe.Sizeof(f)), &n, nil, 0)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, os.NewSyscallError("wsaioctl", err))
	}
	return f, nil
}

// isLayered reports whether the system has providers of TCP whose sockets are no
// handles of the file system, or does not tell. Then each socket is asked.
func isLayered() bool {
	protocols := [2]int32{windows.IPPROTO_TCP, 0}
	infos := make([]windows.WSAProtocolInfo, 64)
	size := uint32(len(infos)) * uint32(unsafe.Sizeof(infos[0]))
	n, err := windows.WSAEnumProtocols(&protocols[0], &infos[0], &size)
	if err != nil {
		return true
	}
	for _, i := range infos[:n] {
		if i.ServiceFlags1&windows.XP1_IFS_HANDLES == 0 {
			return true
		}
	}
	return false
}

// skipOnSuccess sets FILE_SKIP_COMPLETION_PORT_ON_SUCCESS where it can be relied on:
// a socket of a layered provider that is no handle of the file system may post a
// packet all the same, or none (support.microsoft.com, KB2568167).
func skipOnSuccess(h windows.Handle) bool {
	if !winsock.modes {
		return false
	}
	if winsock.layered {
		const soProtocolInfo = 0x2005 // SO_PROTOCOL_INFOW
		var info windows.WSAProtocolInfo
		n := int32(unsafe.Sizeof(info))
		if windows.Getsockopt(h, windows.SOL_SOCKET, soProtocolInfo, (*byte)(unsafe.Pointer(&info)), &n) != nil || info.ServiceFlags1&windows.XP1_IFS_HANDLES == 0 {
			return false
		}
	}
	return windows.SetFileCompletionNotificationModes(h, windows.FILE_SKIP_COMPLETION_PORT_ON_SUCCESS|windows.FILE_SKIP_SET_EVENT_ON_HANDLE) == nil
}

// baseHandle is the socket of the lowest provider under that of a layered one, which
// is a handle of the file system. Only a cancel needs it: a layered provider posts
// its packets to the port by itself (learn.microsoft.com,
// WPUCompleteOverlappedRequest).
func baseHandle(h windows.Handle) windows.Handle {
	if !winsock.layered {
		return h
	}
	const sioBaseHandle = 0x48000022
	base, n := h, uint32(0)
	if windows.WSAIoctl(h, sioBaseHandle, nil, 0, (*byte)(unsafe.Pointer(&base)), uint32(unsafe.Sizeof(base)), &n, nil, 0) != nil {
		return h
	}
	return base
}
