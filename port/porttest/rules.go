package porttest

import (
	"errors"
	"io"
	"syscall"

	"github.com/proactor-go/proactor/port"
)

var ruleTests = []test{
	{name: "BusySocket", run: busySocket},
	{name: "BusyOp", run: busyOp},
	{name: "ShutdownRefusesSend", run: shutdownRefusesSend},
	{name: "VoidHandle", run: voidHandle},
	{name: "EmptyBuffers", run: emptyBuffers},
	{name: "OpenInvalid", run: openInvalid},
	{name: "ErrorValues", run: errorValues},
	{name: "OpReuse", run: opReuse},
}

// attempt asks the port for an operation, past the checker: for what is to be
// refused.
func (r *rig) attempt(o *port.Op, k port.Kind, h port.Handle) error {
	one := make([]byte, 1)
	switch k {
	case port.KindAccept:
		return r.p.Accept(o, h)
	case port.KindConnect:
		return r.p.Connect(o, h, port.Addr{})
	case port.KindRecv:
		return r.p.Recv(o, h, one)
	case port.KindSend:
		return r.p.Send(o, h, one)
	case port.KindShutdown:
		return r.p.Shutdown(o, h)
	case port.KindClose:
		return r.p.CloseSocket(o, h, false)
	}
	panic(k)
}

// refused checks that an operation is refused, and leaves no trace.
func (r *rig) refused(want error, k port.Kind, h port.Handle) {
	r.Helper()
	var o port.Op
	before := r.p.Stats()
	if err := r.attempt(&o, k, h); !errors.Is(err, want) {
		r.Errorf("%v: %v, want %v", k, err, want)
	}
	if o.InFlight() {
		r.Errorf("%v was refused, but its Op is in flight", k)
	}
	// On a Shared port other things may end meanwhile.
	if s := r.p.Stats(); s != before && r.mode == port.Exclusive {
		r.Errorf("%v was refused, but %+v became %+v", k, before, s)
	}
}

// A socket has one recv and one send outstanding at the most.
func busySocket(e *env) {
	r := e.open(port.Config{})
	c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 64 << 10})
	in := r.recv(c, 10)
	out := r.send(c, stream(1).bytes(0, jam))
	r.refused(port.ErrBusy, port.KindRecv, c.h)
	r.refused(port.ErrBusy, port.KindSend, c.h)
	var o port.Op
	if err := r.p.RecvStream(&o, c.h); !errors.Is(err, port.ErrBusy) {
		r.Errorf("streamed recv: %v, want %v", err, port.ErrBusy)
	}
	if err := r.p.Sendv(&o, c.h, [][]byte{{1}}); !errors.Is(err, port.ErrBusy) {
		r.Errorf("sendv: %v, want %v", err, port.ErrBusy)
	}
	r.refused(port.ErrBusy, port.KindConnect, c.h)
	l := r.listeners["tcp"]
	r.refused(port.ErrBusy, port.KindAccept, l.h)
	r.await(r.do(func() error { return readPattern(c.peer, 1, 0, jam) }), r.do(func() error { return writePattern(c.peer, 2, 0, 10, 10) }))
	r.ok(in)
	r.ok(out)
	r.ok(r.send(c, stream(1).bytes(0, 10)))
	r.recv(c, 10)
}

// An Op that is in flight cannot start anything else.
func busyOp(e *env) {
	r := e.open(port.Config{})
	c, other := r.pair("tcp"), r.pair("tcp")
	o := r.recv(c, 10)
	if !o.InFlight() {
		r.Error("a recv was started, but its Op is not in flight")
	}
	if o.Handle() != c.h {
		r.Errorf("Handle() = %v, want %v", o.Handle(), c.h)
	}
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	for _, k := range []port.Kind{port.KindRecv, port.KindSend, port.KindShutdown, port.KindClose} {
		if err := r.attempt(&o.Op, k, other.h); !errors.Is(err, port.ErrBusy) {
			r.Errorf("%v with an Op in flight: %v, want %v", k, err, port.ErrBusy)
		}
	}
	if err := r.p.Accept(&o.Op, l.h); !errors.Is(err, port.ErrBusy) {
		r.Errorf("accept with an Op in flight: %v, want %v", err, port.ErrBusy)
	}
	if err := r.p.Timeout(&o.Op, 1, 0); !errors.Is(err, port.ErrBusy) {
		r.Errorf("timeout with an Op in flight: %v, want %v", err, port.ErrBusy)
	}
	// Nothing of that has touched what it does.
	r.await(r.do(func() error { return writePattern(c.peer, 3, 0, 10, 10) }))
	r.ok(o)
	r.matches(o, 3, 0)
	r.ok(r.send(other, stream(4).bytes(0, 10)))
	r.await(r.do(func() error { return readPattern(other.peer, 4, 0, 10) }))
}

// After Shutdown no send may be started, from the call on.
func shutdownRefusesSend(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	s := r.shutdown(c)
	r.refused(port.ErrShutdown, port.KindSend, c.h)
	r.ok(s)
	r.refused(port.ErrShutdown, port.KindSend, c.h)
	r.refused(port.ErrShutdown, port.KindConnect, c.h)
}

// The handle of a closed socket, and one that never was, are void.
func voidHandle(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	all := []port.Kind{port.KindAccept, port.KindConnect, port.KindRecv, port.KindSend, port.KindShutdown, port.KindClose}
	recv := r.recv(c, 10)
	closing := r.close(c, false)
	for _, k := range all { // also while it is closing
		r.refused(port.ErrClosed, k, c.h)
	}
	r.ok(closing)
	r.fails(recv, port.ErrCanceled)
	for _, h := range []port.Handle{c.h, 0, ^port.Handle(0), c.h + 1, c.h - 1, c.h + 1<<32, c.h + 2<<32, 1 << 31} {
		if r.handles[h] {
			continue
		}
		for _, k := range all {
			r.refused(port.ErrClosed, k, h)
		}
		if a, err := r.p.LocalAddr(h); !errors.Is(err, port.ErrClosed) {
			r.Errorf("LocalAddr: %v, %v", a, err)
		}
		if a, err := r.p.RemoteAddr(h); !errors.Is(err, port.ErrClosed) {
			r.Errorf("RemoteAddr: %v, %v", a, err)
		}
	}
}

// A recv into nothing and a send of nothing make no sense.
func emptyBuffers(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	var o port.Op
	for what, err := range map[string]error{
		"recv into nil":         r.p.Recv(&o, c.h, nil),
		"send of nil":           r.p.Send(&o, c.h, nil),
		"send of nothing":       r.p.Send(&o, c.h, []byte{}),
		"sendv of nothing":      r.p.Sendv(&o, c.h, nil),
		"sendv of empty pieces": r.p.Sendv(&o, c.h, [][]byte{{}, nil}),
	} {
		if !errors.Is(err, port.ErrInvalid) {
			r.Errorf("%s: %v, want %v", what, err, port.ErrInvalid)
		}
	}
	if n, err := r.p.Dequeue(nil, 0); n != 0 || !errors.Is(err, port.ErrInvalid) {
		r.Errorf("dequeue into nothing: %d, %v; want %v", n, err, port.ErrInvalid)
	}
}

// What makes no sense is refused by Open, Listen and ResolveAddr.
func openInvalid(e *env) {
	for _, cfg := range []port.Config{{Mode: 7}, {BufferSize: -1}, {BufferCount: -1}, {BufferCount: 1 << 20}} {
		if p, err := e.b.Open(cfg); !errors.Is(err, port.ErrInvalid) {
			e.Errorf("open %+v: %v, want %v", cfg, err, port.ErrInvalid)
			if err == nil {
				p.Close()
			}
		}
	}
	r := e.open(port.Config{})
	for _, a := range [][2]string{{"udp", "127.0.0.1:1"}, {"", "127.0.0.1:1"}, {"unix", ""}, {"tcp", "127.0.0.1"}, {"tcp", "127.0.0.1:99999"}} {
		if s, err := r.p.Listen(a[0], a[1], port.SocketOptions{}); err == nil {
			r.Errorf("listen %q: no error", a)
			r.p.Discard(s)
		}
	}
}

// An error has its class, its kind, and the system's own error below it.
func errorValues(e *env) {
	r := e.open(port.Config{})
	c := r.connector(r.addr("tcp", "127.0.0.1:1"), port.SocketOptions{})
	got := r.fails(r.connect(c, r.nobody()), port.ErrRefused)
	var pe *port.Error
	var errno syscall.Errno
	if !errors.As(got.Err, &pe) || pe.Kind != port.KindConnect || pe.Class != port.ErrRefused || pe.Timeout() || pe.Temporary() {
		r.Errorf("%#v is no *port.Error of a refused connect", got.Err)
	}
	if !r.b.Memory && !errors.As(got.Err, &errno) {
		r.Errorf("%v hides the system's error", got.Err)
	}
}

// One Op serves operation after operation, of any kind.
func opReuse(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	s := stream(5)
	o := r.newRecv(c, 100)
	for i := range r.many(300, 50) {
		off := int64(i * 100)
		if i%3 == 0 {
			*o = op{Op: o.Op, kind: port.KindTimeout, key: r.key()}
			r.start(o, func(p *port.Op) error { return r.p.Timeout(p, o.key, 0) })
			r.ok(o)
		}
		*o = op{Op: o.Op, kind: port.KindSend, h: c.h, key: c.key, sent: [][]byte{s.bytes(off, 100)}}
		r.start(o, func(p *port.Op) error { return r.p.Send(p, c.h, o.sent[0]) })
		r.ok(o)
		r.await(r.do(func() error {
			if err := readPattern(c.peer, s, off, 100); err != nil {
				return err
			}
			return writePattern(c.peer, s, off, 100, 100)
		}))
		data := 0
		for data < 100 {
			*o = op{Op: o.Op, kind: port.KindRecv, h: c.h, key: c.key, buf: make([]byte, 100-data)}
			r.start(o, func(p *port.Op) error { return r.p.Recv(p, c.h, o.buf) })
			r.ok(o)
			r.matches(o, s, off+int64(data))
			data += len(o.data)
		}
	}
	r.await(r.do(c.peer.CloseWrite))
	*o = op{Op: o.Op, kind: port.KindRecv, h: c.h, key: c.key, many: true}
	r.start(o, func(p *port.Op) error { return r.p.RecvStream(p, c.h) })
	r.fails(o, io.EOF)
}
