//go:build race && unix

package port

import "syscall"

// The race detector does not see that bytes pass from one goroutine to another through the
// system. Package syscall tells it, in its Read and Write, and so do the connections of
// package net. Programs rely on that: a goroutine that has read a byte has
// seen all that was done before the byte was written. The port's system calls go past package
// syscall, so the port makes the same marks, by calls that do nothing else. A program
// that is built without the detector has none of this.

// raceSent comes before what a peer can notice: bytes, a FIN, a connection.
func raceSent() { syscall.Write(-1, nil) }

// raceCame comes after the port has noticed what a peer did.
func raceCame() { syscall.Read(atEnd, nil) }

// atEnd is a pipe whose writing end is closed: a Read of it succeeds at once.
var atEnd = func() int {
	var ends [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if syscall.Pipe(ends[:]) != nil {
		return -1
	}
	syscall.CloseOnExec(ends[0])
	syscall.Close(ends[1])
	return ends[0]
}()
