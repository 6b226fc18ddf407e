package porttest

import (
	"errors"
	"net"
	"runtime"

	"github.com/proactor-go/proactor/port"
)

var handoverTests = []test{
	{name: "AdoptListener", run: adoptListener},
	{name: "File", run: fileOfListener},
	{name: "FileLeavesPath", run: fileLeavesPath},
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
