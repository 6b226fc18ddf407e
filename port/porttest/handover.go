package porttest

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"

	"github.com/proactor-go/proactor/port"
)

var handoverTests = []test{
	{name: "AdoptConn", run: adoptConn},
	{name: "AdoptNet", run: adoptNet},
	{name: "AdoptNetRefuses", run: adoptNetRefuses},
	{name: "AdoptListener", run: adoptListener},
	{name: "AdoptNoSocket", run: adoptNoSocket},
	{name: "File", run: fileOfListener},
	{name: "FileLeavesPath", run: fileLeavesPath},
	{name: "DetachIdle", run: detachIdle},
	{name: "DetachLosesNothing", run: detachLosesNothing},
	{name: "DetachEndsSend", run: detachEndsSend},
	{name: "DetachRules", run: detachRules},
	{name: "DetachBeforeClose", run: detachBeforeClose},
	{name: "Control", run: control},
	{name: "ReusePort", run: reusePort},
}

// filer is a socket of package net.
type filer interface{ File() (*os.File, error) }

// file gives the file of a socket of package net, which it closes. It skips the test
// where the system cannot take a socket off the port of Go's runtime.
func (r *rig) file(c interface {
	filer
	io.Closer
}) *os.File {
	r.Helper()
	f, err := c.File()
	if err != nil && runtime.GOOS == "windows" {
		c.Close()
		r.Skipf("the system does not take a socket off the runtime's port: %v", err)
	}
	if err != nil {
		r.Fatal(err)
	}
	c.Close()
	return f
}

// needFiles ends the test where the network has no descriptors, and checks that the
// port says so.
func (r *rig) needDescriptors() {
	r.Helper()
	if !r.b.Memory {
		return
	}
	if _, err := r.p.Adopt(os.Stdin, port.SocketOptions{}); !errors.Is(err, port.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) {
		r.Fatalf("adopt in memory: %v, want %v", err, port.ErrUnsupported)
	}
	r.Skip("a network in memory has no descriptors")
}

// needDetach ends the test where a socket cannot leave the port, and checks that
// nothing happened to it then.
func (r *rig) needDetach() {
	r.Helper()
	if family(r.b.Name) != "iocp" {
		return
	}
	c := r.pair("tcp")
	if err := r.p.Detach(new(port.Op), c.h); !errors.Is(err, port.ErrUnsupported) {
		r.Fatalf("detach: %v, want %v", err, port.ErrUnsupported)
	}
	r.chat(c, 1, 100)
	r.Skip("a socket cannot leave a completion port of Windows")
}

func (r *rig) detach(c *conn) *op {
	r.Helper()
	return r.start(&op{kind: port.KindDetach, h: c.h, key: c.key}, func(o *port.Op) error {
		err := r.p.Detach(o, c.h)
		if err == nil {
			delete(r.handles, c.h)
		}
		return err
	})
}

// detached waits for the Socket.
func (r *rig) detached(o *op) port.Socket {
	r.Helper()
	r.ok(o)
	s := o.sockets[0]
	o.sockets = nil
	return s
}

// A connection of package net becomes one of the port. The file may be closed, and
// stays open when it is not.
func adoptConn(e *env) {
	r := e.open(port.Config{})
	r.needDescriptors()
	for _, network := range []string{"tcp4", "unix"} {
		if network == "unix" && runtime.GOOS == "windows" {
			continue
		}
		l, err := r.b.Listen(network, r.address(network))
		if err != nil {
			r.Fatal(err)
		}
		c := &conn{}
		accepted := r.accepts(l, &c.peer)
		theirs := r.dial(network, r.addr(network, l.Addr().String()))
		r.await(accepted)
		r.own(c.peer)
		l.Close()
		if u, ok := theirs.(unixPeer); ok {
			theirs = nil
			c.adopt(r, r.file(u.UnixConn))
		} else {
			c.adopt(r, r.file(theirs.(*net.TCPConn)))
		}
		r.chat(c, 1, r.n(300_000, 30_000))
		end := r.do(func() error { return readEnd(c.peer, 5, 0) })
		r.ok(r.shutdown(c))
		r.await(end)
	}
}

func (c *conn) adopt(r *rig, f *os.File) {
	r.Helper()
	sk, err := r.p.Adopt(f, port.SocketOptions{KeepAlive: 15})
	if err != nil {
		r.Fatal(err)
	}
	f.Close()
	if sk.IsListener() {
		r.Error("a connection is taken for a listener")
	}
	c.h, c.key = r.associate(sk)
}

// plain makes a connection that no port drives, and gives both ends.
func (r *rig) plain() (ours, theirs Peer) {
	r.Helper()
	l, err := r.b.Listen("tcp4", r.address("tcp4"))
	if err != nil {
		r.Fatal(err)
	}
	defer l.Close()
	accepted := r.accepts(l, &ours)
	theirs = r.dial("tcp", r.addr("tcp4", l.Addr().String()))
	r.await(accepted)
	return r.own(ours), theirs
}

// takesNet reports whether the port takes the connection over. Where the system cannot, the port
// says so.
func (r *rig) takesNet(ours Peer) (sk port.Socket, took bool) {
	r.Helper()
	sk, err := r.p.AdoptNet(ours, port.SocketOptions{KeepAlive: 15})
	switch {
	case err == nil:
		return sk, true
	case runtime.GOOS == "windows" && !r.b.Memory && errors.Is(err, port.ErrUnsupported):
		r.Logf("the system does not take a socket off the runtime's port: %v", err)
		return port.NoSocket, false
	}
	r.Fatalf("AdoptNet: %v", err)
	return port.NoSocket, false
}

func (r *rig) stillTalks(a, b Peer) {
	r.Helper()
	r.await(r.do(func() error { return writePattern(a, 7, 0, 1000, 100) }), r.do(func() error { return readPattern(b, 7, 0, 1000) }),
		r.do(func() error { return writePattern(b, 8, 0, 1000, 100) }), r.do(func() error { return readPattern(a, 8, 0, 1000) }))
}

// A connection that no port drove becomes one of the port: what had arrived and was not read is
// received, then what follows, and the old owner's end is of no more use. Nor is what that has
// said of the socket's close: the port's is in good order, and never waits.
func adoptNet(e *env) {
	r := e.open(port.Config{})
	ours, theirs := r.plain()
	if err := ours.SetLinger(0); err != nil {
		r.Fatal(err)
	}
	r.await(r.do(func() error { return writePattern(theirs, 2, 0, 3000, 700) }), r.do(func() error { return readPattern(ours, 2, 0, 1000) }))
	remote := r.addr("tcp4", ours.RemoteAddr().String())
	sk, took := r.takesNet(ours)
	if !took {
		r.await(r.do(func() error { return readPattern(ours, 2, 1000, 2000) }))
		r.stillTalks(ours, theirs)
		return
	}
	if sk.IsListener() {
		r.Error("a connection is taken for a listener")
	}
	if got, err := r.p.PeerAddr(sk); err != nil || got != remote {
		r.Errorf("the peer of the Socket is %v, %v; want %v", got, err, remote)
	}
	ours.Close()
	if _, err := ours.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		r.Errorf("a Write of the old owner: %v", err)
	}
	if _, err := r.p.AdoptNet(ours, port.SocketOptions{}); !errors.Is(err, net.ErrClosed) {
		r.Errorf("AdoptNet once more: %v, want %v", err, net.ErrClosed)
	}
	c := &conn{peer: theirs}
	c.h, c.key = r.associate(sk)
	in := r.stream(c)
	r.gather(in, 2000)
	r.matches(in, 2, 1000)
	r.p.Cancel(&in.Op)
	r.fails(in, port.ErrCanceled)
	r.chat(c, 3, r.n(300_000, 30_000))
	end := r.do(func() error { return readEnd(c.peer, 5, 0) })
	r.ok(r.close(c, false))
	r.await(end)
}

// bare is a connection without a descriptor.
type bare struct{ net.Conn }

// What is no connection of the port's network is refused, and nothing has happened to it. A
// Socket that is not wanted after all is discarded.
func adoptNetRefuses(e *env) {
	r := e.open(port.Config{})
	ours, theirs := r.plain()
	if _, err := r.p.AdoptNet(bare{ours}, port.SocketOptions{}); !errors.Is(err, port.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) {
		r.Errorf("a connection without a descriptor: %v, want %v", err, port.ErrUnsupported)
	}
	if _, err := r.p.AdoptNet(nil, port.SocketOptions{}); !errors.Is(err, port.ErrUnsupported) {
		r.Errorf("nil: %v, want %v", err, port.ErrUnsupported)
	}
	if r.b.Memory {
		if _, err := r.p.AdoptNet(new(port.SimConn), port.SocketOptions{}); !errors.Is(err, port.ErrInvalid) {
			r.Errorf("a connection of another network: %v, want %v", err, port.ErrInvalid)
		}
	}
	r.stillTalks(ours, theirs)
	sk, took := r.takesNet(ours)
	if !took {
		r.stillTalks(ours, theirs)
		return
	}
	ours.Close()
	r.p.Discard(sk)
	r.await(r.do(func() error { return readEnd(theirs, 0, 0) }))
}

// A listener of package net becomes one of the port, which accepts also what came
// before, and goes with it.
func adoptListener(e *env) {
	r := e.open(port.Config{})
	r.needDescriptors()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	a := r.addr("tcp", l.Addr().String())
	early := &conn{peer: r.dial("tcp", a)}
	f := r.file(l.(*net.TCPListener))
	sk, err := r.p.Adopt(f, port.SocketOptions{})
	if err != nil {
		r.Fatal(err)
	}
	f.Close()
	if !sk.IsListener() {
		r.Error("a listener is not taken for one")
	}
	ours := &listener{network: "tcp"}
	ours.h, ours.key = r.associate(sk)
	if got, err := r.p.LocalAddr(ours.h); err != nil || got != a {
		r.Errorf("its address is %v, %v; want %v", got, err, a)
	}
	r.arm(ours)
	early.h, early.key = r.associate(r.next(ours.accept))
	r.chat(early, 1, 1000)
	late := &conn{peer: r.dial("tcp", a)}
	late.h, late.key = r.associate(r.next(ours.accept))
	r.chat(late, 3, 1000)
	r.ok(r.close(&conn{h: ours.h, key: ours.key}, false))
	r.await(r.do(func() error { return refused(a) }))
}

// refused waits until no listener is at an address: the kernel may hold a socket a
// moment longer, for an accept whose end it has told.
func refused(a port.Addr) error {
	for range 1000 {
		c, err := net.DialTimeout(a.Network(), a.String(), patience)
		if err != nil {
			return nil
		}
		c.Close()
	}
	return errors.New("the address still answers")
}

// What is no stream socket is refused.
func adoptNoSocket(e *env) {
	r := e.open(port.Config{})
	r.needDescriptors()
	in, out, err := os.Pipe()
	if err != nil {
		r.Fatal(err)
	}
	defer out.Close()
	defer in.Close()
	files := []*os.File{in}
	if runtime.GOOS != "windows" { // there none can be taken off the runtime's port
		u, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			r.Fatal(err)
		}
		files = append(files, r.file(u.(*net.UDPConn)))
		u.Close()
	}
	for _, f := range files {
		if sk, err := r.p.Adopt(f, port.SocketOptions{}); !errors.Is(err, port.ErrInvalid) {
			r.Errorf("adopt of %s: %v, %v; want %v", f.Name(), sk, err, port.ErrInvalid)
		}
		f.Close()
		if sk, err := r.p.Adopt(f, port.SocketOptions{}); err == nil {
			r.Errorf("adopt of %s, closed: %v", f.Name(), sk)
		}
	}
}

// The file of a listener is another descriptor of it: its holder accepts also when
// the port has closed its own.
func fileOfListener(e *env) {
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	r.arm(l)
	f, err := r.p.File(l.h)
	if r.b.Memory || runtime.GOOS == "windows" {
		if !errors.Is(err, port.ErrUnsupported) {
			r.Errorf("File: %v, want %v", err, port.ErrUnsupported)
		}
		return
	}
	if err != nil {
		r.Fatal(err)
	}
	c := &conn{peer: r.dial("tcp", l.addr)}
	c.h, c.key = r.associate(r.next(l.accept))
	r.ok(r.close(&conn{h: l.h, key: l.key}, false))
	if _, err := r.p.File(l.h); !errors.Is(err, port.ErrClosed) {
		r.Errorf("File of a closed one: %v, want %v", err, port.ErrClosed)
	}
	heir, err := net.FileListener(f)
	f.Close()
	if err != nil {
		r.Fatal(err)
	}
	defer heir.Close()
	var peer Peer
	accepted := r.accepts(heir, &peer)
	theirs := r.dial("tcp", l.addr)
	r.await(accepted)
	r.own(peer)
	r.await(r.do(func() error { return writePattern(theirs, 7, 0, 1000, 100) }), r.do(func() error { return readPattern(peer, 7, 0, 1000) }))
	r.chat(c, 1, 1000)
}

// The path of a Unix listener that was handed on stays.
func fileLeavesPath(e *env) {
	e.needFiles()
	r := e.open(port.Config{})
	path := r.address("unix")
	l := r.listen("unix", path, port.SocketOptions{})
	f, err := r.p.File(l.h)
	if errors.Is(err, port.ErrUnsupported) {
		r.Skip(err)
	}
	if err != nil {
		r.Fatal(err)
	}
	r.ok(r.close(&conn{h: l.h, key: l.key}, false))
	if !r.isThere(path) {
		r.Fatal("the path is gone")
	}
	sk, err := r.p.Adopt(f, port.SocketOptions{})
	if err != nil {
		r.Fatal(err)
	}
	f.Close()
	heir := &listener{network: "unix"}
	heir.h, heir.key = r.associate(sk)
	r.arm(heir)
	c := &conn{peer: r.dial("unix", l.addr)}
	c.h, c.key = r.associate(r.next(heir.accept))
	r.chat(c, 1, 1000)
	r.ok(r.close(&conn{h: heir.h, key: heir.key}, false))
	if !r.isThere(path) {
		r.Error("the path, which is its maker's, is gone")
	}
}

// A connection that leaves the port comes back, to this port or another.
func detachIdle(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	for _, armed := range []bool{false, true} {
		c := r.pair("tcp")
		var in *op
		if armed {
			in = r.stream(c)
		}
		sk := r.detached(r.detach(c))
		if armed {
			r.fails(in, port.ErrCanceled)
		}
		if _, err := r.p.LocalAddr(c.h); !errors.Is(err, port.ErrClosed) {
			r.Errorf("the handle is not void: %v", err)
		}
		next := &conn{peer: c.peer}
		next.h, next.key = r.associate(sk)
		r.chat(next, 1, r.n(300_000, 30_000))
	}
}

// Bytes that arrive while a connection leaves are told before, or are there for its
// next owner.
func detachLosesNothing(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	size := int64(r.n(1<<20, 100_000))
	for i := range r.n(20, 5) {
		c := r.pair("tcp")
		s := stream(i)
		in := r.stream(c)
		piece := 1000 + r.rng.IntN(5000)
		sent := r.do(func() error { return writePattern(c.peer, s, 0, size, piece) })
		if until := r.rng.Int64N(size / 2); until > 0 {
			r.until("streamed recv", func() bool { return int64(len(in.data)) >= until })
		}
		sk := r.detached(r.detach(c))
		r.fails(in, port.ErrCanceled)
		r.matches(in, s, 0)
		n, err := r.p.NetConn(sk)
		if err != nil {
			r.Fatal(err)
		}
		n.SetDeadline(r.deadline)
		off := int64(len(in.data))
		r.await(sent, r.do(func() error { return readPattern(n, s, off, size-off) }))
		r.await(r.do(c.peer.CloseWrite), r.do(func() error { return readEnd(n, 0, 0) }),
			r.do(func() error { return readPattern(c.peer, s+1, 0, 1000) }),
			r.do(func() error { return writePattern(n, s+1, 0, 1000, 100) }))
		n.Close()
	}
}

// A send that is in flight is ended, and tells how much of it went out.
func detachEndsSend(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	if runtime.GOOS == "windows" {
		r.Skip("a canceled send of package net does not tell how many bytes went out")
	}
	c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 64 << 10})
	out := r.send(c, stream(1).bytes(0, 32<<20)) // more than the system takes
	fin := r.shutdown(c)
	sk := r.detached(r.detach(c))
	done := r.fails(out, port.ErrCanceled)
	r.fails(fin, port.ErrCanceled)
	next := &conn{peer: c.peer}
	next.h, next.key = r.associate(sk)
	end := r.do(func() error { return readEnd(next.peer, 1, int64(done.N)) })
	r.ok(r.shutdown(next))
	r.await(end)
}

// Detach is the last operation of a handle, and one of connections.
func detachRules(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	if err := r.p.Detach(new(port.Op), l.h); !errors.Is(err, port.ErrInvalid) {
		r.Errorf("detach of a listener: %v, want %v", err, port.ErrInvalid)
	}
	if _, err := r.p.NetConn(port.NoSocket); !errors.Is(err, port.ErrInvalid) {
		r.Errorf("no socket as a connection: %v, want %v", err, port.ErrInvalid)
	}
	c := r.pair("tcp")
	o := r.detach(c)
	var buf [1]byte
	for _, call := range []func(*port.Op) error{
		func(p *port.Op) error { return r.p.Detach(p, c.h) },
		func(p *port.Op) error { return r.p.Recv(p, c.h, buf[:]) },
		func(p *port.Op) error { return r.p.CloseSocket(p, c.h, true) },
	} {
		if err := call(new(port.Op)); !errors.Is(err, port.ErrClosed) {
			r.Errorf("beside a detach: %v, want %v", err, port.ErrClosed)
		}
	}
	r.p.Discard(r.detached(o))
	r.await(r.do(func() error { return readEnd(c.peer, 0, 0) }))
	if err := r.p.Detach(new(port.Op), c.h); !errors.Is(err, port.ErrClosed) {
		r.Errorf("detach of a void handle: %v, want %v", err, port.ErrClosed)
	}
}

// A connection whose Socket was not dequeued when the port closes is closed.
func detachBeforeClose(e *env) {
	r := e.open(port.Config{})
	r.needDetach()
	c := r.pair("tcp")
	r.stream(c)
	o := r.detach(c)
	r.closePort()
	if len(o.sockets) > 0 { // a worker was faster
		return
	}
	r.own(c.peer)
	if _, err := c.peer.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		r.Errorf("the connection lives on: %v", err)
	}
}

// Control sees each socket before it is bound or connected, and may refuse it.
func control(e *env) {
	r := e.open(port.Config{})
	var saw []string
	o := port.SocketOptions{Control: func(network, address string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { saw = append(saw, network+" "+address) })
	}}
	if r.b.Memory {
		if _, err := r.p.Listen("tcp", r.address("tcp4"), o); !errors.Is(err, port.ErrUnsupported) {
			r.Errorf("in memory: %v, want %v", err, port.ErrUnsupported)
		}
		return
	}
	l := r.listen("tcp", r.address("tcp4"), o)
	r.arm(l)
	c := r.connector(l.addr, o)
	r.ok(r.connect(c, l.addr))
	in := &conn{}
	in.h, in.key = r.associate(r.next(l.accept))
	if want := []string{"tcp4 127.0.0.1:0", "tcp4 " + l.addr.String()}; len(saw) != 2 || saw[0] != want[0] || saw[1] != want[1] {
		r.Errorf("Control was called with %q, want %q", saw, want)
	}
	no := errors.New("no")
	o.Control = func(string, string, syscall.RawConn) error { return no }
	if _, err := r.p.Listen("tcp", r.address("tcp4"), o); !errors.Is(err, no) {
		r.Errorf("listen: %v, want %v", err, no)
	}
	sk, err := r.p.Socket(l.addr, port.Addr{}, o)
	if err == nil && r.b.Name == "std" {
		r.p.Discard(sk)
		return // it makes the socket when it connects, and that tells: see the engine's test of Control
	}
	if !errors.Is(err, no) {
		r.Errorf("socket: %v, want %v", err, no)
	}
}

// Listeners with ReusePort share an address where the system balances, and each of
// them gets connections; without it, the address is taken.
func reusePort(e *env) {
	r := e.open(port.Config{})
	o := port.SocketOptions{ReusePort: true}
	sk, err := r.p.Listen("tcp", r.address("tcp4"), o)
	if runtime.GOOS != "linux" || r.b.Memory {
		if !errors.Is(err, port.ErrUnsupported) {
			r.Errorf("ReusePort: %v, want %v", err, port.ErrUnsupported)
		}
		return
	}
	if err != nil {
		r.Fatal(err)
	}
	r.p.Discard(sk)
	first := r.listen("tcp", r.address("tcp4"), o)
	second := r.listen("tcp", first.addr.String(), o)
	if _, err := r.p.Listen("tcp", first.addr.String(), port.SocketOptions{}); !errors.Is(err, port.ErrAddrInUse) {
		r.Errorf("without the option: %v, want %v", err, port.ErrAddrInUse)
	}
	if _, err := r.p.Listen("unix", "@proactor-reuse", o); !errors.Is(err, port.ErrInvalid) {
		r.Errorf("of a Unix socket: %v, want %v", err, port.ErrInvalid)
	}
	r.arm(first)
	r.arm(second)
	for n := 0; len(first.accept.sockets) == 0 || len(second.accept.sockets) == 0; n++ {
		if n == 1000 {
			r.Fatal("one of two listeners gets none of 1000 connections")
		}
		r.dial("tcp", first.addr)
		r.until("accept", func() bool { return len(first.accept.sockets)+len(second.accept.sockets) > n })
	}
}
