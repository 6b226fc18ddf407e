package porttest

import (
	"errors"
	"syscall"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
)

var connectTests = []test{
	{name: "Connect", run: func(e *env) { connects(e, "tcp4") }},
	{name: "ConnectBothEnds", run: connectBothEnds},
	{name: "ConnectLocalAddress", run: connectLocalAddress},
	{name: "ConnectWildcard", run: connectWildcard},
	{name: "ConnectRefused", run: connectRefused},
	{name: "ConnectToItself", run: connectToItself},
	{name: "ConnectUnreachable", run: connectUnreachable},
	{name: "ConnectCanceled", run: connectCanceled},
	{name: "CloseDuringConnect", run: closeDuringConnect},
	{name: "AddrInUse", run: addrInUse},
	{name: "AddrNotAvail", run: addrNotAvail},
}

// A connection that the port makes carries bytes both ways at once.
func connects(e *env, network string) {
	r := e.open(port.Config{})
	for i := range 10 {
		c := r.outbound(network)
		local, err := r.p.LocalAddr(c.h)
		if err != nil || local.String() != c.peer.RemoteAddr().String() {
			r.Errorf("LocalAddr = %v, %v; the peer sees %v", local, err, c.peer.RemoteAddr())
		}
		if to, err := r.p.RemoteAddr(c.h); err != nil || to.String() != c.peer.LocalAddr().String() {
			r.Errorf("RemoteAddr = %v, %v; the peer is %v", to, err, c.peer.LocalAddr())
		}
		r.chat(c, stream(i), 10000)
	}
}

// chat sends n bytes and receives as many.
func (r *rig) chat(c *conn, s stream, n int) {
	r.Helper()
	peer := r.do(func() error {
		if err := readPattern(c.peer, s, 0, int64(n)); err != nil {
			return err
		}
		return writePattern(c.peer, s+1, 0, int64(n), 3000)
	})
	in := r.stream(c)
	r.ok(r.send(c, s.bytes(0, n)))
	r.gather(in, n)
	r.matches(in, s+1, 0)
	r.await(peer)
	r.p.Cancel(&in.Op)
	r.fails(in, port.ErrCanceled)
}

// Both ends of a connection may be this port's.
func connectBothEnds(e *env) {
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	r.arm(l)
	for i := range 10 {
		in, out := r.loop(l)
		s := stream(i)
		o := r.stream(in)
		r.ok(r.send(out, s.bytes(0, 1000)))
		r.gather(o, 1000)
		r.matches(o, s, 0)
	}
}

// A connection comes from the local address that was asked for.
func connectLocalAddress(e *env) {
	r := e.open(port.Config{})
	l, err := r.b.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	defer l.Close()
	to := r.addr("tcp", l.Addr().String())
	s, err := r.p.Socket(to, r.addr("tcp", "127.0.0.1:0"), port.SocketOptions{})
	if err != nil {
		r.Fatal(err)
	}
	c := &conn{}
	c.h, c.key = r.associate(s)
	accepted := r.accepts(l, &c.peer)
	r.ok(r.connect(c, to))
	r.await(accepted)
	r.own(c.peer)
	a, err := r.p.LocalAddr(c.h)
	if err != nil || a.AddrPort.Addr().String() != "127.0.0.1" || a.AddrPort.Port() == 0 {
		r.Errorf("LocalAddr = %v, %v", a, err)
	}
	r.chat(c, 1, 100)
}

// A connect to the wildcard address, as a listener tells it, reaches this machine,
// and knows by which address.
func connectWildcard(e *env) {
	for _, network := range []string{"tcp4", "tcp"} {
		r := e.open(port.Config{})
		l, _ := r.wildcard(network, port.SocketOptions{})
		out := r.connector(l.addr, port.SocketOptions{})
		c := r.connect(out, l.addr)
		in := &conn{}
		in.h, in.key = r.associate(r.next(l.accept))
		r.ok(c)
		to, err := r.p.RemoteAddr(out.h)
		at, err2 := r.p.LocalAddr(in.h)
		if err != nil || err2 != nil || to != at || !to.AddrPort.Addr().IsLoopback() {
			r.Errorf("connected to %v, %v; accepted at %v, %v", to, err, at, err2)
		}
	}
}

// nobody is an address that was just given up, and which nobody else takes.
func (r *rig) nobody() port.Addr {
	address := must.Alone()
	if r.b.Memory {
		address = r.address("tcp4")
	}
	l, err := r.b.Listen("tcp", address)
	if err != nil {
		r.Fatal(err)
	}
	defer l.Close()
	return r.addr("tcp", l.Addr().String())
}

// A connect that gets no answer fails alone.
func connectRefused(e *env) {
	r := e.open(port.Config{})
	for range 10 {
		to := r.nobody()
		c := r.connector(to, port.SocketOptions{})
		if o := r.fails(r.connect(c, to), port.ErrRefused); o.N != 0 {
			r.Errorf("N = %d", o.N)
		}
		r.ok(r.close(c, false))
	}
	r.chat(r.outbound("tcp"), 1, 100)
}

// A socket that would connect to itself, as no listener is there, is refused;
// and the port is free for the server that should be there.
func connectToItself(e *env) {
	r := e.open(port.Config{})
	to := r.nobody()
	s, err := r.p.Socket(to, to, port.SocketOptions{})
	if err != nil {
		r.Fatal(err)
	}
	c := &conn{}
	c.h, c.key = r.associate(s)
	r.fails(r.connect(c, to), port.ErrRefused)
	r.ok(r.close(c, true))
	if s, err = r.p.Listen("tcp", to.String(), port.SocketOptions{}); err != nil {
		r.Fatalf("the port is not free: %v", err)
	}
	r.p.Discard(s)
}

// A connect to where no way leads fails. TCP to a multicast address is refused
// by the system itself: nothing is sent.
func connectUnreachable(e *env) {
	const multicast = "224.0.0.1:9"
	p, err := e.b.Dial("tcp4", multicast)
	if err == nil {
		p.Close()
	}
	const wsaENETUNREACH = syscall.Errno(10051)
	if !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, wsaENETUNREACH) && !errors.Is(err, port.ErrUnreachable) {
		e.Skipf("a plain connect to %s gives another error here: %v", multicast, err)
	}
	r := e.open(port.Config{})
	to := r.addr("tcp", multicast)
	c := r.connector(to, port.SocketOptions{})
	r.fails(r.connect(c, to), port.ErrUnreachable)
	r.chat(r.outbound("tcp"), 1, 100)
}

// hangTime is after how long a connect on this machine is taken to hang, and fullTime where
// there is certainly no room for it.
const (
	hangTime = 300 * time.Millisecond
	fullTime = 20 * time.Millisecond
)

// hang gives a connect that does not end: the listener's backlog is full. Or it is a slow one,
// on a busy machine.
func (r *rig) hang() (*conn, *op) {
	var to port.Addr
	within := hangTime
	if address, ok := r.crowded(); ok {
		to, within = r.addr("tcp", address), fullTime
	} else {
		to = r.listen("tcp", r.address("tcp4"), port.SocketOptions{Backlog: 1}).addr
	}
	for range 16 {
		c := r.connector(to, port.SocketOptions{})
		o := r.connect(c, to)
		tick := r.timeout(within)
		r.until("connect", func() bool { return !o.flying || !tick.flying })
		if o.flying {
			return c, o
		}
		r.p.Cancel(&tick.Op)
		r.final(tick)
		if o.last.Err != nil {
			break
		}
	}
	r.Skip("connects do not wait here: a full backlog refuses them, or takes any number")
	return nil, nil
}

// A connect that does not end can be canceled.
func connectCanceled(e *env) {
	r := e.open(port.Config{})
	for {
		c, o := r.hang()
		r.p.Cancel(&o.Op)
		if r.final(o).Err == nil { // it was slow
			continue
		}
		r.fails(o, port.ErrCanceled)
		r.ok(r.close(c, false))
		return
	}
}

// The close of a socket ends its connect first.
func closeDuringConnect(e *env) {
	r := e.open(port.Config{})
	for {
		c, o := r.hang()
		r.ok(r.close(c, false))
		if o.flying || o.last.Err != nil { // else it was slow
			r.fails(o, port.ErrCanceled)
			return
		}
	}
}

// An address has one listener.
func addrInUse(e *env) {
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	s, err := r.p.Listen("tcp", l.addr.String(), port.SocketOptions{})
	if !errors.Is(err, port.ErrAddrInUse) {
		r.Errorf("second listener: %v, want %v", err, port.ErrAddrInUse)
	}
	if err == nil {
		r.p.Discard(s)
	}
	theirs, err := r.b.Listen("tcp", r.address("tcp4"))
	if err != nil {
		r.Fatal(err)
	}
	defer theirs.Close()
	if _, err = r.p.Listen("tcp", theirs.Addr().String(), port.SocketOptions{}); !errors.Is(err, port.ErrAddrInUse) {
		r.Errorf("listener beside a foreign one: %v, want %v", err, port.ErrAddrInUse)
	}
}

// Nothing can be bound to an address of another machine. 192.0.2.1 is one that
// no machine has (RFC 5737).
func addrNotAvail(e *env) {
	r := e.open(port.Config{})
	if s, err := r.p.Listen("tcp", "192.0.2.1:0", port.SocketOptions{}); !errors.Is(err, port.ErrAddrNotAvail) {
		r.Errorf("listen: %v, want %v", err, port.ErrAddrNotAvail)
		if err == nil {
			r.p.Discard(s)
		}
	}
	a := r.addr("tcp", "192.0.2.1:0")
	s, err := r.p.Socket(a, a, port.SocketOptions{})
	if err == nil { // bound with the connect
		c := &conn{}
		c.h, c.key = r.associate(s)
		err = r.final(r.connect(c, r.nobody())).Err
	}
	if !errors.Is(err, port.ErrAddrNotAvail) {
		r.Errorf("connect from it: %v, want %v", err, port.ErrAddrNotAvail)
	}
}
