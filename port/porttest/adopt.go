package porttest

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"

	"github.com/proactor-go/proactor/port"
)

var adoptTests = []test{
	{name: "AdoptConn", run: adoptConn},
	{name: "AdoptNet", run: adoptNet},
	{name: "AdoptNetRefuses", run: adoptNetRefuses},
	{name: "AdoptNoSocket", run: adoptNoSocket},
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

// needDescriptors ends the test where the network has no descriptors, and checks that the
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
		r.chat(c, 1, r.many(300_000, 30_000))
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
	r.chat(c, 3, r.many(300_000, 30_000))
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
