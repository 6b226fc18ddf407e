package porttest

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/proactor-go/proactor/port"
)

// needFiles skips the test where Unix sockets have no files.
func (e *env) needFiles() {
	e.Helper()
	e.need("unix")
	if e.b.Memory {
		e.Skip("the paths of a network in memory are no files")
	}
}

// isThere reports whether something has the path.
func (e *env) isThere(path string) bool {
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.Fatal(err)
	}
	return err == nil
}

// The file of a Unix listener is there while it listens, and no longer, however
// it ends.
func unixFileGoes(e *env) {
	e.needFiles()
	r := e.open(port.Config{})
	path := r.address("unix")
	for range 3 {
		l := r.listen("unix", path, port.SocketOptions{})
		r.arm(l)
		if !r.isThere(path) {
			r.Fatal("a listener without a file")
		}
		r.ok(r.close(&conn{h: l.h, key: l.key}, false))
		if r.isThere(path) {
			r.Fatal("the file is left after the close")
		}
		s, err := r.p.Listen("unix", path, port.SocketOptions{})
		if err != nil {
			r.Fatal(err)
		}
		r.p.Discard(s)
		if r.isThere(path) {
			r.Fatal("the file is left after Discard")
		}
	}
	r.listen("unix", path, port.SocketOptions{})
	r.closePort()
	if r.isThere(path) {
		r.Error("the file is left after the port's close")
	}
}

// A successor that has taken the path over keeps its file, and its clients.
func unixFileOfAnother(e *env) {
	e.needFiles()
	r := e.open(port.Config{})
	path := r.address("unix")
	l := r.listen("unix", path, port.SocketOptions{})
	if err := os.Remove(path); err != nil {
		r.Fatal(err)
	}
	next := r.listen("unix", path, port.SocketOptions{})
	r.arm(next)
	r.ok(r.close(&conn{h: l.h, key: l.key}, false))
	if !r.isThere(path) {
		r.Fatal("the file of the successor is gone")
	}
	c := &conn{peer: r.dial("unix", next.addr)}
	c.h, c.key = r.associate(r.next(next.accept))
	r.chat(c, 1, 1000)
}

// The file of a Unix listener has the mode that was asked for, whatever the umask.
func unixMode(e *env) {
	e.needFiles()
	r := e.open(port.Config{})
	if runtime.GOOS != "linux" {
		if _, err := r.p.Listen("unix", r.address("unix"), port.SocketOptions{UnixMode: 0o600}); !errors.Is(err, port.ErrUnsupported) {
			r.Errorf("UnixMode: %v, want %v", err, port.ErrUnsupported)
		}
		return
	}
	for _, mode := range []fs.FileMode{0o600, 0o660, 0o666, 0o777} {
		path := r.address("unix")
		r.listen("unix", path, port.SocketOptions{UnixMode: mode})
		info, err := os.Lstat(path)
		if err != nil {
			r.Fatal(err)
		}
		if info.Mode() != mode|fs.ModeSocket {
			r.Errorf("the file has %v, want %v", info.Mode(), mode|fs.ModeSocket)
		}
	}
	for _, x := range []struct {
		network, address string
		mode             fs.FileMode
	}{{"tcp4", "127.0.0.1:0", 0o600}, {"unix", "@proactor-mode", 0o600}, {"unix", r.address("unix"), fs.ModeSetuid | 0o600}} {
		if _, err := r.p.Listen(x.network, x.address, port.SocketOptions{UnixMode: x.mode}); !errors.Is(err, port.ErrInvalid) || !strings.Contains(err.Error(), "UnixMode") {
			r.Errorf("UnixMode %v of %s: %v, want %v and its name", x.mode, x.address, err, port.ErrInvalid)
		}
	}
}

// Names that the system would cut are refused, and named. The longest one works;
// so does one with bytes that are no text, and an abstract one where there are any.
func unixNames(e *env) {
	e.need("unix")
	r := e.open(port.Config{})
	path := r.address("unix")
	room := 108
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" {
		room = 104
	}
	long := path + strings.Repeat("x", room-1-len(path))
	for _, bad := range []string{path + "\x00more", long + "x", strings.Repeat("/", 1<<16)} {
		_, err := r.p.Listen("unix", bad, port.SocketOptions{})
		if !errors.Is(err, port.ErrInvalid) || !strings.Contains(err.Error(), "path") {
			r.Errorf("listen at %.40q: %v, want %v", bad, err, port.ErrInvalid)
		}
		c := r.connector(r.addr("unix", path), port.SocketOptions{})
		if err := r.p.Connect(new(port.Op), c.h, port.Addr{Unix: true, Path: bad}); !errors.Is(err, port.ErrInvalid) {
			r.Errorf("connect to %.40q: %v, want %v", bad, err, port.ErrInvalid)
		}
		if _, err := r.p.Socket(port.Addr{Unix: true}, port.Addr{Unix: true, Path: bad}, port.SocketOptions{}); !errors.Is(err, port.ErrInvalid) {
			r.Errorf("socket at %.40q: %v, want %v", bad, err, port.ErrInvalid)
		}
	}
	good := []string{long, path + "\xff \n"}
	if runtime.GOOS == "linux" {
		good = append(good, "@"+path)
	}
	for _, name := range good {
		l := r.listen("unix", name, port.SocketOptions{})
		r.arm(l)
		if l.addr.String() != name {
			r.Errorf("the listener at %q says %q", name, l.addr)
		}
		in, out := r.loop(l)
		for h, want := range map[port.Handle]string{in.h: "@", out.h: name} {
			if a, err := r.p.RemoteAddr(h); err != nil || runtime.GOOS == "linux" && a.String() != want {
				r.Errorf("RemoteAddr = %q, %v; want %q", a, err, want)
			}
		}
	}
}

// Options that make no sense are refused, and named.
func socketOptionsExtreme(e *env) {
	r := e.open(port.Config{})
	for name, o := range map[string]port.SocketOptions{
		"KeepAlive": {KeepAlive: -1}, "SendBuffer": {SendBuffer: -1}, "RecvBuffer": {RecvBuffer: -1}, "Backlog": {Backlog: -1},
	} {
		s, err := r.p.Listen("tcp", r.address("tcp4"), o)
		if !errors.Is(err, port.ErrInvalid) || !strings.Contains(err.Error(), "SocketOptions."+name) {
			r.Errorf("listen with %+v: %v", o, err)
		}
		r.p.Discard(s)
		s, err = r.p.Socket(r.nobody(), port.Addr{}, o)
		if !errors.Is(err, port.ErrInvalid) || !strings.Contains(err.Error(), "SocketOptions."+name) {
			r.Errorf("socket with %+v: %v", o, err)
		}
		r.p.Discard(s)
	}
}

// An error of Listen is of its class and of no other, says once what failed, and
// is one of package net's.
func listenErrors(e *env) {
	r := e.open(port.Config{})
	taken := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	dir := r.address("unix") + "-not-there"
	classes := []error{
		port.ErrReset, port.ErrRefused, port.ErrTimeout, port.ErrUnreachable, port.ErrCanceled, port.ErrAddrInUse, port.ErrAddrNotAvail,
		port.ErrPermission, port.ErrNoDescriptors, port.ErrNoMemory, port.ErrNoBuffers, port.ErrNotExist, port.ErrUnsupported, port.ErrOther, port.ErrInvalid,
	}
	for _, x := range []struct {
		network, address string
		want             error
		says             string
	}{
		{"tcp", taken.addr.String(), port.ErrAddrInUse, "address"},
		{"tcp", "192.0.2.1:0", port.ErrAddrNotAvail, "address"},
		{"tcp", "[fe80::1%nowhere]:0", port.ErrAddrNotAvail, "nowhere"},
		{"udp", "127.0.0.1:0", port.ErrInvalid, "udp"},
		{"unix", "", port.ErrInvalid, "empty path"},
		{"unix", dir + "/s", port.ErrNotExist, "no such file"},
	} {
		if e.b.Memory && (x.network == "unix" || strings.Contains(x.address, "%")) {
			continue // no files, and no interfaces
		}
		if x.want == port.ErrNotExist && runtime.GOOS == "windows" {
			continue
		}
		s, err := r.p.Listen(x.network, x.address, port.SocketOptions{})
		r.p.Discard(s)
		if err == nil {
			r.Errorf("listen %s %s succeeds", x.network, x.address)
			continue
		}
		for _, class := range classes {
			if errors.Is(err, class) != (class == x.want) {
				r.Errorf("%v: it is %v: %v", err, class, !(class == x.want))
			}
		}
		text := err.Error()
		if !strings.HasPrefix(text, "listen "+x.network) || strings.Count(text, "listen") != 1 || strings.Contains(text, "accept") || !strings.Contains(text, x.says) {
			r.Errorf("it says %q", text)
		}
		if o := (*net.OpError)(nil); !errors.As(err, &o) {
			r.Errorf("%v is a %T", err, err)
		}
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
