package port

import "syscall"

// controlled calls Control, where it is set, for a socket of the sort of a that is
// about to be bound to an address, or to connect.
func (o *SocketOptions) controlled(a Addr, fd uintptr) error {
	if o.Control == nil {
		return nil
	}
	return o.Control(controlNetwork(a), a.String(), rawSocket(fd))
}

// rawSocket is a descriptor that nobody waits on, for Control.
type rawSocket uintptr

// Control calls f with the descriptor.
func (s rawSocket) Control(f func(fd uintptr)) error {
	f(uintptr(s))
	return nil
}

// Read is an error: nothing can be received before the connection is made.
func (rawSocket) Read(func(fd uintptr) bool) error { return syscall.EINVAL }

// Write is an error: nothing can be sent before the connection is made.
func (rawSocket) Write(func(fd uintptr) bool) error { return syscall.EINVAL }
