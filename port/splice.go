package port

import "fmt"

// Splice hands what arrives at from over to another socket of this port, until
// end of stream, error or cancel, without showing it: the bytes need not leave
// the system. It stands for the recv of from and the send of to, which have no
// other meanwhile; from and to may be the same socket.
//
// It completes, with More set, whenever to has taken bytes: N says how many,
// beside those of the completions before. The final completion, which may have
// an N too, has io.EOF when the stream has ended and to has taken all of it. Else
// the Kind of its [*Error] tells which side failed: [KindRecv] that it was from,
// [KindSend] that it was to, and [KindSplice] that it was neither, such as a
// system out of descriptors. Where it was canceled, also by the close of one of
// the two, Buf has the bytes that came from from and that to has not taken; they
// are the caller's.
//
// Nothing is received while to has no room, and no more than [SpliceMost] bytes
// are on their way. A splice on which nothing arrives holds no more than a
// record. The reset of to shows when there is something to send, or in what is
// received from it, as with a send.
//
// Where the system does not do it, the error is ErrUnsupported, and nothing was
// started: RecvStream and Send do the same by copying.
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

// SpliceMost bounds the bytes that a splice has taken from one socket and not
// handed over to the other.
const SpliceMost = 256 << 10

// Held is the number of bytes that a splice in flight has taken from one socket
// and not handed over to the other. Unless it is 0, the splice waits for the
// other socket to have room, and receives nothing. The same goroutines may call
// it as Splice.
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
	// splices reports whether the system running does.
	splices() bool
	// splice begins a KindSplice, whose Op is the in of the one socket and the out
	// of the other. Of its ends the backend cancels it like any operation.
	splice(from *sock, op *Op)
}

// splice is what the port knows of one that is in flight, beside its Op.
type splice struct {
	to   *sock
	held int   // bytes in the pipe
	r, w int32 // the ends of the pipe; none when both are 0
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
