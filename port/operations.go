package port

import (
	"fmt"
	"time"
)

// Accept arms the listener once; it completes with a Socket for each
// connection that arrives, with More set, until it is canceled, the listener
// is closed, or the system is out of something. In the last case connections
// wait until Accept is called anew, as between a cancel and the next Accept.
//
// Connections come about in the order in which they arrived. Those that arrive close
// together may change places on every backend (IOCP has 16 accepts outstanding, whose
// packets come in any order), but none is overtaken for as long as others arrive.
func (p *Port) Accept(op *Op, listener Handle) error {
	p.lock()
	defer p.unlock()
	s, err := p.begin(op, listener, KindAccept)
	if err == nil {
		p.b.accept(s, op)
	}
	return err
}

// Connect connects the socket to an address. The wildcard address is this
// machine: the loopback address of that IP version.
func (p *Port) Connect(op *Op, h Handle, to Addr) error {
	to = to.toLocal()
	if err := to.check(); err != nil {
		return err
	}
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
// caller's. It is for callers that would have to copy buf for a Send, or to have
// the port's goroutine woken for it. Where it sends nothing, also where
// [Port.SendsNow] says no, a Send does what is right.
//
// An error has ended the connection. The system tells it once: a recv may then
// report io.EOF, and a send that the peer is gone. So the caller closes the socket.
//
// Any goroutine may call it, in Exclusive mode too. The caller sees to it that
// the socket is connected, that no send, splice to it or shutdown of it is in flight, and
// that none begins, nor a close, before SendNow returns.
func (p *Port) SendNow(h Handle, buf []byte) (int, error) {
	if len(buf) == 0 || !p.sendsNow {
		return 0, nil
	}
	return sendNow(p.socks.shared(h), buf)
}

// SendsNow reports whether this port's backend does [Port.SendNow]: io_uring and
// epoll do. Any goroutine may call it.
func (p *Port) SendsNow() bool { return p.sendsNow }

// SendsTogether reports whether all that was started between two calls of Dequeue goes to the system in one call: on
// io_uring. There SendNow costs a system call, and a Send none of its own. Any goroutine may call it.
func (p *Port) SendsTogether() bool { return p.together }

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

// Silence is for how long nothing has come from the peer of a TCP connection, no
// acknowledgement either, and how often the system has sent, in a row and in vain,
// what the peer owes one for: bytes, or the question whether it has room again. 0
// times says that it owes nothing. A peer that lives and does not read answers such
// questions; one that is dead does not. [Port.Hears] reports whether this
// backend knows; it is 0, 0 where it does not. The same goroutines may call it as
// Send.
func (p *Port) Silence(h Handle) (time.Duration, int) {
	b, ok := p.b.(hearer)
	if !ok {
		return 0, 0
	}
	p.lock()
	defer p.unlock()
	s := p.socks.get(h)
	if s == nil {
		return 0, 0
	}
	return b.silence(s)
}

// Failed is the error that ended a connection on which nothing is in flight that
// could tell it, such as the peer's reset, also while a splice from it waits for the
// other socket to have room; nil while there is none, and where
// [Port.Hears] says no. A FIN is no such error. ended says that the caller was told of
// one: then a peer that has closed its socket, and not only its sending side, has failed
// too, where the system tells them apart, as it does for Unix sockets. The same
// goroutines may call it as Recv.
func (p *Port) Failed(h Handle, ended bool) error {
	b, ok := p.b.(hearer)
	if !ok {
		return nil
	}
	p.lock()
	defer p.unlock()
	s := p.socks.get(h)
	if s == nil || s.in != nil && (s.in.kind != KindSplice || p.splices.at(s.in.index).held == 0) {
		return nil
	}
	return b.failed(s, ended && s.flags&sockShut == 0)
}

// Hears reports whether this port's backend knows what [Port.Silence] tells. Any
// goroutine may call it.
func (p *Port) Hears() bool {
	_, ok := p.b.(hearer)
	return ok && hears
}

// hearer is a backend that may know when a peer was last heard.
type hearer interface {
	silence(*sock) (time.Duration, int)
	failed(s *sock, ended bool) error
}

// Behind reports whether something has arrived for the recv in flight on a socket
// that Dequeue cannot have found yet, whatever it returned. With std others look
// whether something has arrived, and after the process stood still they may not
// have run. The other backends look when Dequeue is called: there it is false. It
// is for those who are about to end a connection for its silence. The same
// goroutines may call it as Recv.
func (p *Port) Behind(h Handle) bool {
	b, ok := p.b.(interface{ behind(*sock) bool })
	if !ok {
		return false
	}
	p.lock()
	defer p.unlock()
	s := p.socks.get(h)
	return s != nil && s.in != nil && s.in.kind == KindRecv && b.behind(s)
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
	if file, ok := p.files[h]; ok { // first, so that nobody connects to what ends
		delete(p.files, h)
		file.remove()
	}
	p.endOthers(s, op)
	return nil
}

// endOthers cancels what is in flight on a socket, and lets op go on when that has
// ended.
func (p *Port) endOthers(s *sock, op *Op) {
	for _, o := range [...]*Op{s.in, s.out} {
		if o != nil {
			p.cancelOp(s, o)
		}
	}
	if s.ending == op { // else the cancels ended at once, and op with them
		p.settle(s)
	}
}

func (p *Port) cancelOp(s *sock, op *Op) {
	if op.flags&opCanceled == 0 {
		op.flags |= opCanceled
		p.b.cancel(s, op)
	}
}
