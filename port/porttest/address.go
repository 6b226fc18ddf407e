package porttest

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"

	"github.com/proactor-go/proactor/port"
)

var addressTests = []test{
	{name: "IPv4", run: func(e *env) { network(e, "tcp4") }},
	{name: "IPv6", run: func(e *env) { network(e, "tcp6") }},
	{name: "Unix", run: func(e *env) { network(e, "unix") }},
	{name: "ConnectIPv6", run: func(e *env) { e.need("tcp6"); connects(e, "tcp6") }},
	{name: "ConnectUnix", run: func(e *env) { e.need("unix"); connects(e, "unix") }},
	{name: "ConnectUnixNoPath", run: connectUnixNoPath},
	{name: "UnixAddrInUse", run: unixAddrInUse},
	{name: "UnixFileGoes", run: unixFileGoes},
	{name: "UnixFileOfAnother", run: unixFileOfAnother},
	{name: "UnixMode", run: unixMode},
	{name: "UnixNames", run: unixNames},
	{name: "DualStack", run: dualStack},
	{name: "Only6", run: only6},
	{name: "SocketOptions", run: socketOptions},
	{name: "SocketOptionsExtreme", run: socketOptionsExtreme},
	{name: "ListenErrors", run: listenErrors},
	{name: "Control", run: control},
	{name: "ReusePort", run: reusePort},
}

// The whole life of a connection, on every sort of address.
func network(e *env, network string) {
	e.need(network)
	r := e.open(port.Config{})
	c := r.pair(network)
	l := r.listeners[network]
	if l.addr.String() != c.peer.RemoteAddr().String() || l.addr.Network() != c.peer.RemoteAddr().Network() {
		r.Errorf("the listener is at %v %v, the peer dialed %v", l.addr.Network(), l.addr, c.peer.RemoteAddr())
	}
	if a, err := r.p.LocalAddr(c.h); err != nil || a != l.addr {
		r.Errorf("LocalAddr = %v, %v; want %v", a, err, l.addr)
	}
	if a, err := r.p.RemoteAddr(c.h); err != nil || a.String() != c.peer.LocalAddr().String() {
		r.Errorf("RemoteAddr = %v, %v; the peer is %v", a, err, c.peer.LocalAddr())
	}
	r.chat(c, 1, 100000)
	r.halfClose(c, 1<<20)
	// The reset of a peer, and our own, are seen as such where the network has
	// resets.
	c = r.pair(network)
	in := r.stream(c)
	r.ok(r.send(c, stream(2).bytes(0, 1)))
	r.await(r.do(func() error { return readPattern(c.peer, 2, 0, 1) }))
	if why := exempt(r.b.Name, "PeerReset"); why != "" {
		r.Logf("exception: %s", why)
	} else if network != "unix" {
		r.await(r.do(func() error { return reset(c.peer) }))
		r.fails(in, port.ErrReset)
	}
	r.ok(r.close(c, true))
	r.final(in)
}

func connectUnixNoPath(e *env) {
	e.need("unix")
	r := e.open(port.Config{})
	to := r.addr("unix", r.address("unix"))
	c := r.connector(to, port.SocketOptions{})
	r.fails(r.connect(c, to), port.ErrRefused)
}

func unixAddrInUse(e *env) {
	e.need("unix")
	r := e.open(port.Config{})
	l := r.listen("unix", r.address("unix"), port.SocketOptions{})
	if _, err := r.p.Listen("unix", l.addr.Path, port.SocketOptions{}); !errors.Is(err, port.ErrAddrInUse) {
		r.Errorf("second listener: %v, want %v", err, port.ErrAddrInUse)
	}
}

// wildcard listens on ":0" and gives the port's number.
func (r *rig) wildcard(network string, o port.SocketOptions) (*listener, string) {
	l := r.listen(network, ":0", o)
	r.arm(l)
	return l, strconv.Itoa(int(l.addr.AddrPort.Port()))
}

// The wildcard address of "tcp" takes both versions of IP, and shows IPv4
// addresses as such.
func dualStack(e *env) {
	e.need("tcp6")
	r := e.open(port.Config{})
	l, number := r.wildcard("tcp", port.SocketOptions{})
	for _, a := range [][2]string{{"tcp4", "127.0.0.1"}, {"tcp6", "::1"}} {
		to := r.addr(a[0], net.JoinHostPort(a[1], number))
		c := &conn{peer: r.dial(a[0], to)}
		c.h, c.key = r.associate(r.next(l.accept))
		if from, err := r.p.RemoteAddr(c.h); err != nil || from.String() != c.peer.LocalAddr().String() {
			r.Errorf("%s: RemoteAddr = %v, %v; the peer is %v", a[0], from, err, c.peer.LocalAddr())
		}
		if at, err := r.p.LocalAddr(c.h); err != nil || at != to {
			r.Errorf("%s: LocalAddr = %v, %v; the peer dialed %v", a[0], at, err, to)
		}
		r.chat(c, 7, 1000)
	}
}

// Only6, and the network "tcp4", keep the other version out.
func only6(e *env) {
	e.need("tcp6")
	r := e.open(port.Config{})
	for _, x := range []struct {
		network, in, out string
		o                port.SocketOptions
	}{
		{"tcp", "[::1]", "127.0.0.1", port.SocketOptions{Only6: true}},
		{"tcp4", "127.0.0.1", "[::1]", port.SocketOptions{}},
	} {
		l, number := r.wildcard(x.network, x.o)
		c := &conn{peer: r.dial("tcp", r.addr("tcp", x.in+":"+number))}
		c.h, c.key = r.associate(r.next(l.accept))
		r.chat(c, 8, 100)
		r.await(r.do(func() error {
			if c, err := r.b.Dial("tcp", x.out+":"+number); err == nil {
				c.Close()
				return fmt.Errorf("%s reaches a listener on %s", x.out, x.in)
			}
			return nil
		}))
	}
}

// Sockets work with every option, whatever its size, on both sides.
func socketOptions(e *env) {
	for _, o := range []port.SocketOptions{
		{Delay: true}, {KeepAlive: 30}, {SendBuffer: 100_000, RecvBuffer: 100_000}, {Backlog: 5},
		{KeepAlive: 12 * 3600}, {KeepAlive: math.MaxInt}, {SendBuffer: math.MaxInt}, {RecvBuffer: math.MaxInt}, {Backlog: math.MaxInt},
		{KeepAlive: math.MaxInt32, Backlog: 1},
	} {
		r := e.open(port.Config{})
		r.chat(r.pairWith("tcp", o), 1, 50_000)
		l := r.listen("tcp", r.address("tcp4"), o)
		r.arm(l)
		out := r.connector(l.addr, o)
		c := r.connect(out, l.addr)
		in := &conn{}
		in.h, in.key = r.associate(r.next(l.accept))
		r.ok(c)
		got := r.stream(in)
		r.ok(r.send(out, stream(2).bytes(0, 50_000)))
		r.gather(got, 50_000)
		r.matches(got, 2, 0)
	}
}
