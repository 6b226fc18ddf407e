package port

import (
	"fmt"
)

// Accept arms the listener once; it completes with a Socket for each
// connection that arrives, with More set, until it is canceled, the listener
// is closed, or the system is out of something. In the last case connections
// wait in the backlog until Accept is called anew.
func (p *Port) Accept(op *Op, listener Handle) error {
	p.lock()
	defer p.unlock()
	s, err := p.begin(op, listener, KindAccept)
	if err == nil {
		p.b.accept(s, op)
	}
	return err
}

// Connect connects the socket to an address.
func (p *Port) Connect(op *Op, h Handle, to Addr) error {
	p.lock()
	defer p.unlock()
	s, err := p.begin(op, h, KindConnect)
	if err == nil {
		p.b.connect(s, op, to)
	}
	return err
}

// Recv receives once into buf: it completes as soon as any bytes are there,
// with io.EOF and N = 0 when the peer's FIN was reached.
func (p *Port) Recv(op *Op, h Handle, buf []byte) error {
	if len(buf) == 0 {
		return fmt.Errorf("%w: recv into an empty buffer", ErrInvalid)
	}
	p.lock()
	defer p.unlock()
	s, err := p.begin(op, h, KindRecv)
	if err == nil {
		op.setBuf(buf)
		p.b.recv(s, op)
	}
	return err
}

// RecvStream arms the socket once; it completes for each run of bytes that
// arrives, in a buffer lent by the port, until end of stream, error or cancel.
// A connection on which nothing arrives holds no buffer. When all buffers are
// lent, the bytes wait in the system until one is released.
func (p *Port) RecvStream(op *Op, h Handle) error {
	p.lock()
	s, err := p.begin(op, h, KindRecv)
	if err == nil {
		op.flags = opStream
		p.b.recv(s, op)
	}
	p.unlock()
	return err
}

// Send sends buf, all of it: when it completes without error the system has
// taken every byte. After an error or a cancel, N says how many it took.
func (p *Port) Send(op *Op, h Handle, buf []byte) error {
	if len(buf) == 0 {
		return fmt.Errorf("%w: send of nothing", ErrInvalid)
	}
	p.lock()
	s, err := p.begin(op, h, KindSend)
	if err == nil {
		op.setBuf(buf)
		p.b.send(s, op)
	}
	p.unlock()
	return err
}

// SendNow hands the system as much of buf as it takes at once, and returns how
// many bytes that was. There is no operation and no completion, and buf stays the
// caller's. It is for those who would have to copy buf for a Send.
//
// It sends once between two completions of the socket, so that who answers a peer
// that takes everything comes back to Dequeue. It sends nothing, and the Send that
// the caller then starts does what is right, also while a send, a connect or a
// splice to the socket is in flight, where it was shut down or closed, and after
// an error, which that Send tells. It can be done by io_uring in Exclusive mode, on
// amd64 and arm64. Any goroutine may call it; on all but that of the port it sends
// nothing.
func (p *Port) SendNow(h Handle, buf []byte) int {
	if len(buf) == 0 || !p.courtesy.here() {
		return 0
	}
	s := p.socks.get(h)
	if s == nil || s.out != nil || s.ending != nil || s.flags&(sockListener|sockShut|sockSentNow) != 0 {
		return 0
	}
	s.flags |= sockSentNow
	return sendNow(s, buf)
}

// Progress is a number that grows for as long as a send that is in flight goes
// on: the bytes that the system has taken of it and, where the system tells,
// those that the peer has acknowledged since they met. When it stands still the
// peer takes nothing. Of a splice it is that of the socket that it sends to, and
// grows also when the splice begins to hold bytes. The same goroutines may call
// it as Send.
func (p *Port) Progress(op *Op) int64 {
	p.lock()
	defer p.unlock()
	n := op.n
	if op.kind == KindSplice {
		sp := p.splices.at(op.index)
		return n + int64(sp.held) + p.b.acked(sp.to)
	}
	if s := p.socks.get(op.h); s != nil && s.out == op {
		n += p.b.acked(s)
	}
	return n
}

// Sendv is Send for several buffers, 65,536 at the most, sent as one run of
// bytes. The port also keeps the slice bufs until the final completion, and may
// change it.
func (p *Port) Sendv(op *Op, h Handle, bufs [][]byte) error { return p.sendv(op, h, bufs, 0) }

func (p *Port) sendv(op *Op, h Handle, bufs [][]byte, flags opFlags) error {
	for len(bufs) > 0 && len(bufs[0]) == 0 {
		bufs = bufs[1:]
	}
	if len(bufs) == 0 {
		return fmt.Errorf("%w: send of nothing", ErrInvalid)
	}
	if len(bufs) > 1<<16 {
		return fmt.Errorf("%w: send of more than %d buffers", ErrInvalid, 1<<16)
	}
	p.lock()
	s, err := p.begin(op, h, KindSend)
	if err == nil {
		op.flags |= flags
		op.setBuf(bufs[0])
		op.setRest(bufs[1:])
		p.b.send(s, op)
	}
	p.unlock()
	return err
}

// TrySend is Sendv that does not wait for the peer. It completes as soon as the
// system has taken what it had room for, with an N that may be less than all, also
// 0, and without an error. So it bounds for how long the buffers are in use.
//
// Where the system does not do it, which [Port.Tries] tells, the error is
// ErrUnsupported, and nothing was started.
func (p *Port) TrySend(op *Op, h Handle, bufs [][]byte) error {
	if !p.tries {
		return &Error{Kind: KindSend, Class: ErrUnsupported}
	}
	return p.sendv(op, h, bufs, opTry)
}

// Tries reports whether this port's backend does TrySend. Any goroutine may call it.
func (p *Port) Tries() bool { return p.tries }

// Shutdown shuts the sending side down, once the send that is outstanding has
// completed: the peer then reads end of stream. Receiving goes on. No send may
// be started after it.
func (p *Port) Shutdown(op *Op, h Handle) error {
	p.lock()
	defer p.unlock()
	s, err := p.begin(op, h, KindShutdown)
	if err == nil {
		s.flags |= sockShut
		p.settle(s)
	}
	return err
}

// CloseSocket cancels what is outstanding on the socket and closes it. Its
// completion is the last one of the socket, and makes the handle void. With
// reset the peer gets an RST, and bytes in the system's buffers are dropped.
func (p *Port) CloseSocket(op *Op, h Handle, reset bool) error {
	p.lock()
	defer p.unlock()
	return p.closeSocket(op, h, reset)
}

func (p *Port) closeSocket(op *Op, h Handle, reset bool) error {
	s, err := p.begin(op, h, KindClose)
	if err != nil {
		return err
	}
	if reset {
		s.flags |= sockReset
	}
	for _, o := range [...]*Op{s.in, s.out} {
		if o != nil {
			p.cancelOp(s, o)
		}
	}
	if s.ending == op { // else the cancels ended at once, and the close with them
		p.settle(s)
	}
	return nil
}

func (p *Port) cancelOp(s *sock, op *Op) {
	if op.flags&opCanceled == 0 {
		op.flags |= opCanceled
		p.b.cancel(s, op)
	}
}
