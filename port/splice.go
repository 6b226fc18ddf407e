package port

import "fmt"

// Splice sends to one socket of this port what arrives at another, until the end of the
// stream, an error or a cancel. The program does not see the bytes, and they need not leave
// the system. The splice is the recv of from and the send of to; neither socket can have
// another one meanwhile. from and to may be the same socket.
//
// It completes, with More set, each time to has taken bytes; N is their number, not counting those
// of earlier completions. The final completion may have an N, too. It has io.EOF when the stream
// has ended and to has taken all of it. Otherwise the Kind of its [*Error] tells which side
// failed: [KindRecv] is from, [KindSend] is to, and [KindSplice] is neither, for example when
// descriptors ran out. If the splice was canceled, by Cancel or by the close of one of the two
// sockets, Buf has the bytes that were received and not sent; they belong to the caller.
//
// While to has no room the splice receives nothing. At most [SpliceMost] bytes are
// on their way. A splice on which nothing arrives holds nothing but a record. A reset of to is
// found, as with a send, when there are bytes to send, or by a recv on to.
//
// If the system cannot splice, the error is [ErrUnsupported], and nothing was started. RecvStream
// and Send then do the same by copying.
func (p *Port) Splice(op *Op, from, to Handle) error {
	b, ok := p.b.(splicer)
	if !ok {
		return &Error{Kind: KindSplice, Class: ErrUnsupported}
	}
	p.lock()
	defer p.unlock()
	d := p.socks.get(to)
	switch {
	case d == nil || d.isClosing():
		return ErrClosed
	case d.flags&sockListener != 0:
		return fmt.Errorf("%w: splice to a listener", ErrInvalid)
	case d.flags&sockShut != 0:
		return ErrShutdown
	case d.out != nil:
		return ErrBusy
	case !b.splices():
		return &Error{Kind: KindSplice, Class: ErrUnsupported}
	}
	s, err := p.begin(op, from, KindSplice)
	if err != nil {
		return err
	}
	d.out = op
	op.index = p.splices.take(d)
	b.splice(s, op)
	return nil
}

// SpliceMost, in bytes, bounds what a splice has taken from one socket and not yet
// sent to the other.
const SpliceMost = 256 << 10

// Held is the number of bytes that a splice in flight has taken from one socket and not yet
// sent to the other. While it is above 0, the splice waits for room at the other socket and
// receives nothing. The same goroutines may call it as Splice.
func (p *Port) Held(op *Op) int {
	p.lock()
	defer p.unlock()
	if op.kind != KindSplice {
		return 0
	}
	return p.splices.at(op.index).held
}

// splicer is a backend whose system moves bytes between sockets.
type splicer interface {
	// splices reports whether the running system can.
	splices() bool
	// splice begins a KindSplice, whose Op is the in of the one socket and the out
	// of the other. Of its ends the backend cancels it like any operation.
	splice(from *sock, op *Op)
}

// splice is what the port knows of one that is in flight, beside its Op.
type splice struct {
	to   *sock
	held int // bytes in the pipe
	//lint:ignore U1000 only systems that splice have pipes
	pipe pipe  // its ends; none when both are 0
	next int32 // in the list of free ones
}

// spliceTable keeps them by number; 0 is none.
type spliceTable struct {
	all  []splice
	free int32
}

func (t *spliceTable) at(i int32) *splice { return &t.all[i-1] }

func (t *spliceTable) take(to *sock) int32 {
	if t.free == 0 {
		t.all = append(t.all, splice{})
		t.free = int32(len(t.all))
	}
	i := t.free
	t.free = t.at(i).next
	*t.at(i) = splice{to: to}
	return i
}

func (t *spliceTable) put(i int32) {
	*t.at(i) = splice{next: t.free}
	t.free = i
}

// parted ends what an Op of a splice had to do with the socket that it went to,
// which it returns.
func (p *Port) parted(op *Op) *sock {
	to := p.splices.at(op.index).to
	to.out = nil
	p.splices.put(op.index)
	return to
}
