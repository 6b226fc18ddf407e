// Package pollset is readiness instead of completion: non-blocking sockets, and
// poll to ask which of them are ready. It has just what samples/selectecho
// needs to show the other way, beside package port: unix.Poll on Unix, WSAPoll
// on Windows, the same names on both.
//
// A poll set is a slice of [Entry], kept by the caller; its place in the slice
// tells whose entry it is. Nothing here is safe for several goroutines at once,
// but [Waker.Wake].
package pollset

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
)

// Events is a set of things to await, or that came.
type Events uint8

const (
	// Readable: a read will not block. At the end of the stream that holds for
	// ever.
	Readable Events = 1 << iota
	// Writable: a write of at least a byte will not block.
	Writable
	// Failed: the connection is broken; the next read or write tells how. It
	// comes also where nothing was awaited.
	Failed
)

// The errors of calls on a socket that mean nothing bad.
var (
	// ErrNotReady says that the call would have had to wait.
	ErrNotReady = errors.New("not ready")
	// ErrGone says that a connection ended before it was accepted.
	ErrGone = errors.New("connection ended before it was accepted")
	// ErrExhausted says that the system is out of descriptors or memory: the
	// connection waits, and poll goes on to tell of it.
	ErrExhausted = errors.New("out of descriptors or memory")
)

// NoSocket is a Socket that stands for nothing.
const NoSocket = ^Socket(0)

// Listen makes a non-blocking listening socket. The wildcard address of IPv6
// takes IPv4 too, and becomes that of IPv4 where there is no IPv6.
func Listen(a netip.AddrPort) (Socket, error) {
	s, err := listen(a)
	if err != nil && a.Addr() == netip.IPv6Unspecified() && noFamily(err) {
		s, err = listen(netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port()))
	}
	if err != nil {
		return NoSocket, fmt.Errorf("listen tcp %s: %w", a, err)
	}
	return s, nil
}

// Poll waits until something came for one of the entries, or d has passed. It
// returns for how many entries something came; [Entry.Got] tells what. d < 0
// waits for ever, and is rounded up to milliseconds.
func Poll(set []Entry, d time.Duration) (int, error) {
	end := time.Now().Add(d)
	for {
		ms := -1
		if d >= 0 {
			ms = int((min(d, time.Hour) + time.Millisecond - 1) / time.Millisecond)
		}
		n, err := poll(set, ms)
		over := n > 0 || d < 0 || !time.Now().Before(end)
		if err == nil && over || err != nil && !interrupted(err) {
			return n, os.NewSyscallError("poll", err)
		}
		if d >= 0 {
			d = max(time.Until(end), 0)
		}
	}
}

// Waker makes a Poll return from elsewhere. It is a datagram socket that sends
// to itself, because that exists on every system.
type Waker struct{ s Socket }

// NewWaker makes one. Put an entry for its Socket, awaiting Readable, in the
// set.
func NewWaker() (*Waker, error) {
	s, err := selfSocket()
	if err != nil {
		return nil, fmt.Errorf("waker: %w", err)
	}
	return &Waker{s}, nil
}

// Socket is the one to poll.
func (w *Waker) Socket() Socket { return w.s }

// Wake makes the Poll that is under way, or else the next, return. Any
// goroutine may call it until Close.
func (w *Waker) Wake() { w.s.Write([]byte{1}) }

// Clear takes notice of all calls of Wake until now.
func (w *Waker) Clear() {
	var b [8]byte
	for {
		if n, err := w.s.Read(b[:]); n == 0 || err != nil {
			return
		}
	}
}

// Close releases the socket.
func (w *Waker) Close() { w.s.Close() }
