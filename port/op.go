package port

import (
	"fmt"
	"unsafe"
)

// Kind is the kind of an operation. A [Completion] has the kind of its operation, so that
// nothing has to be guessed from the byte count.
type Kind uint8

const (
	kindIdle     Kind = iota // the Op is the caller's: not started, or finished
	KindAccept               // a connection arrived on a listener
	KindConnect              // an outbound connection was made, or was not
	KindRecv                 // bytes arrived, or the stream ended
	KindSend                 // the system took all bytes of a send, or what it could of a TrySend
	KindSplice               // bytes went from one socket to another, or the stream ended
	KindShutdown             // the sending side was shut down: a FIN is on its way
	KindClose                // the socket is gone, its Handle is void
	KindTimeout              // a timeout ran out
	KindPost                 // a completion posted by hand
	KindDetach               // the socket has left the port, its Handle is void
)

var kindNames = [...]string{"idle", "accept", "connect", "recv", "send", "splice", "shutdown", "close", "timeout", "post", "detach"}

// String returns the kind as a word: "recv", "send".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Op is the caller's record of one operation: what IOCP calls an OVERLAPPED.
// The zero value is ready. From the call that starts it until its final
// completion was dequeued, the Op and the buffers given with it belong to the
// port: they must not be read, written, moved or started again. After that
// they are the caller's, and the same Op may start another operation of any
// kind. A recv and a send that are outstanding together need an Op each.
type Op struct {
	h     Handle // KindTimeout: the key
	kind  Kind   // kindIdle unless in flight
	flags opFlags
	more  uint16  // KindSend: how many buffers follow buf
	index int32   // KindTimeout: place in the heap of timeouts; KindSplice: its number
	n     int64   // KindSend, KindSplice: bytes taken so far; KindTimeout: when, in ns of the port's clock
	mem   *byte   // what is left of the buffer being sent or received into
	size  int     // bytes of that
	bufs  *[]byte // KindSend: the first of those that follow
}

type opFlags uint8

const (
	opStream   opFlags = 1 << iota // recv: armed once, lends a buffer with each completion
	opCanceled                     // a cancel was asked for
	opStarved                      // uring: waits for its turn at the receive buffers
	opArmed                        // uring, iocp: the kernel has a request for it
	opTry                          // send: ends with what the system takes at once
	opServed                       // uring: a streamed recv that got bytes since it was armed
)

// Handle is the socket that the operation was last started on. It means
// nothing for a timeout.
func (op *Op) Handle() Handle { return op.h }

// InFlight reports whether the port owns the Op now. Only for the goroutine
// that may start operations on the port.
func (op *Op) InFlight() bool { return op.kind != kindIdle }

// buf is what is left of the buffer being sent or received into. It is kept
// without a capacity: an Op lies in every connection.
func (op *Op) buf() []byte { return unsafe.Slice(op.mem, op.size) }

func (op *Op) setBuf(b []byte) { op.mem, op.size = unsafe.SliceData(b), len(b) }

// rest gives the buffers of a send that follow buf.
func (op *Op) rest() [][]byte { return unsafe.Slice(op.bufs, op.more) }

func (op *Op) setRest(bufs [][]byte) {
	op.more, op.bufs = uint16(len(bufs)), unsafe.SliceData(bufs)
}

// remaining is the number of bytes of a send that the system has not taken.
func (op *Op) remaining() int {
	n := op.size
	for _, b := range op.rest() {
		n += len(b)
	}
	return n
}

// advance notes that the system took n more bytes of a send.
func (op *Op) advance(n int) {
	op.n += int64(n)
	for n >= op.size {
		n -= op.size
		rest := op.rest()
		if len(rest) == 0 {
			op.setBuf(nil)
			return
		}
		op.setBuf(rest[0])
		op.setRest(rest[1:])
	}
	op.setBuf(op.buf()[n:])
}

// Completion is one event dequeued from a port. Every started operation has
// exactly one completion with More false, its final one.
type Completion struct {
	// Op is the operation of this completion; nil for a [Port.Post] without one.
	Op *Op
	// Key is the key that the socket was associated with, or that was posted.
	Key uint64
	// N is the number of bytes that were received with this completion, sent by the whole
	// operation, or, of a splice, sent since the completion before. It is set when Err is
	// set, too: a canceled send has the bytes that had gone out.
	N int
	// Err is nil on success. The end of a stream is io.EOF, on a final
	// completion; everything else is an *[Error].
	Err error
	// Buf has the N bytes of a streamed recv; the port lends it until [Port.Release]. Of a
	// splice that was canceled, it has the bytes that were received and not sent; these
	// are the caller's. It is nil for all other operations.
	Buf []byte
	// Socket is a connection that was accepted or detached. The caller must give it to
	// [Port.Associate], of this port or another one of the same backend, to [Port.NetConn],
	// which makes a connection of package net of it, or to [Port.Discard].
	Socket Socket
	// Kind is the kind of operation.
	Kind Kind
	// More is true if the operation goes on and further completions follow: an accept, a
	// streamed recv or a splice that is still armed.
	More bool

	lease Lease // the buffer that Buf is part of, plus one
}
