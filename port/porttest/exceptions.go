package porttest

import (
	"os"
	"runtime"
)

// exceptions are the tests that a backend is known not to pass, and why: some
// only under Wine, where the reason is Wine's. The reason is printed where one
// is used. A variant of a backend shares its exceptions.
var exceptions = []struct {
	backend, test string
	wine          bool
	reason        string
}{
	{"std", "AcceptOutOfDescriptors/Socket", false, "package net makes the socket when it connects; so does a port open without a descriptor"},
	{"iocp", "CloseReset", true, "a peer in package net that reads only after the reset came is told of an end of stream by Wine"},
	{"std", "CloseReset", true, "a peer in package net that reads only after the reset came is told of an end of stream by Wine"},
	{"std", "PeerReset", true, "a recv that starts only after the reset came is told of an end of stream by Wine"},
	{"iocp", "EndRightBehindData/Reset", true, "a recv that starts only after the reset came is told of an end of stream by Wine"},
	{"iocp", "ResetRightBehindAccept", true, "a recv that starts only after the reset came is told of an end of stream by Wine"},
	{"std", "EndRightBehindData/Reset", true, "a recv that starts only after the reset came is told of an end of stream by Wine"},
	{"std", "ResetRightBehindAccept", true, "a recv that starts only after the reset came is told of an end of stream by Wine"},
	{"iocp", "PeerReset/Moving", true, "a WSASend that starts just as the reset comes is pending for ever in Wine"},
	{"iocp-orphans", "PeerReset", true, "a recv that starts only after the reset came is told of an end of stream by Wine"},
	{"iocp-nocancel", "CancelSend", false, "a piece of a send that the kernel has cannot be taken back where CancelIoEx fails: it ends when the peer makes room"},
	{"std", "CancelSend", true, "a canceled send of package net does not tell how many bytes went out"},
}

func exempt(backend, test string) string {
	for _, x := range exceptions {
		if (x.backend == backend || x.backend == family(backend)) && x.test == test && (!x.wine || runtime.GOOS == "windows" && os.Getenv("PROACTOR_WINE") != "") {
			return x.reason
		}
	}
	return ""
}
