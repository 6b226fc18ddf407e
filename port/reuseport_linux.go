package port

import (
	"os"

	"golang.org/x/sys/unix"
)

// balances: the system spreads connections over the listeners of an address.
const balances = true

func reusePort(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
}
