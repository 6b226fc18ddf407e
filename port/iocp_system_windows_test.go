package port

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// What the system may do to one operation; what it may do to all, see the variants.

// TestIOCPConnectGivenUp has the system give a connect up, as some do when the thread
// ends that started it: it is made all the same, on another handle.
func TestIOCPConnectGivenUp(t *testing.T) {
	r := newIOCPRig(t, Config{})
	r.arm()
	gaveUp := 0
	connects := map[uintptr]bool{} // by OVERLAPPED
	begin, fetch := r.b.sys.begin, r.b.sys.fetch
	r.b.sys.begin = func(c *overlappedCall) syscall.Errno {
		errno := begin(c)
		if c.connects() && errno == windows.ERROR_IO_PENDING {
			connects[uintptr(unsafe.Pointer(c.o))] = true
		}
		return errno
	}
	r.b.sys.fetch = func(port windows.Handle, dst []iocpPacket, d time.Duration) int {
		n := fetch(port, dst, d)
		for i := range dst[:n] {
			if o := *(**windows.Overlapped)(unsafe.Pointer(&dst[i].overlapped)); connects[dst[i].overlapped] && gaveUp < 2 {
				gaveUp++
				o.Internal = uintptr(windows.STATUS_CANCELLED)
			}
		}
		return n
	}
	to, err := ResolveAddr("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	k, err := r.p.Socket(to, Addr{}, SocketOptions{RecvBuffer: 12345})
	if err != nil {
		t.Fatal(err)
	}
	h, err := r.p.Associate(k, 7)
	if err != nil {
		t.Fatal(err)
	}
	var connect, send Op
	if err := r.p.Connect(&connect, h, to); err != nil {
		t.Fatal(err)
	}
	var peers []Socket
	for connected := false; !connected; {
		switch c := r.next(); {
		case c.Err != nil:
			t.Fatal(c.Err)
		case c.Kind == KindAccept:
			peers = append(peers, c.Socket)
		default:
			connected = c.Op == &connect
		}
	}
	if gaveUp == 0 {
		t.Fatal("no connect was given up")
	}
	if err := r.p.Send(&send, h, []byte("x")); err != nil {
		t.Fatal(err)
	}
	r.want(KindSend)
	local, err := r.p.LocalAddr(h)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for deadline := time.Now().Add(20 * time.Second); !found && time.Now().Before(deadline); {
		for _, k := range peers {
			a, err := remoteAddr(windows.Handle(k))
			found = found || err == nil && a == local
			r.p.Discard(k)
		}
		if peers = nil; !found {
			peers = append(peers, r.want(KindAccept).Socket)
		}
	}
	if !found {
		t.Fatal("the connection did not arrive")
	}
	r.closeSocket(h)
}

// TestIOCPNoBuffers has the system run out of memory for one operation of each kind:
// it ends with ErrNoBuffers, and works when it is started again.
func TestIOCPNoBuffers(t *testing.T) {
	r := newIOCPRig(t, Config{})
	out := false
	begin := r.b.sys.begin
	r.b.sys.begin = func(c *overlappedCall) syscall.Errno {
		if out {
			return windows.WSAENOBUFS
		}
		return begin(c)
	}
	short := func(op *Op, start func() error) {
		t.Helper()
		out = true
		if err := start(); err != nil {
			t.Fatal(err)
		}
		c := r.next()
		var e *Error
		if c.Op != op || c.More || !errors.Is(c.Err, ErrNoBuffers) || !errors.As(c.Err, &e) || !e.Temporary() {
			t.Fatalf("%v: %v, want %v", c.Kind, c.Err, ErrNoBuffers)
		}
		out = false
	}
	short(&r.accept, func() error { return r.p.Accept(&r.accept, r.h) })
	r.arm()
	h, c := r.pair()
	var recv, send Op
	buf := make([]byte, 10)
	short(&recv, func() error { return r.p.Recv(&recv, h, buf) })
	short(&recv, func() error { return r.p.RecvStream(&recv, h) })
	short(&send, func() error { return r.p.Send(&send, h, []byte("lost")) })
	if err := r.p.Recv(&recv, h, buf); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.want(KindRecv)
	if err := r.p.Send(&send, h, []byte("y")); err != nil {
		t.Fatal(err)
	}
	r.want(KindSend)
	if n, err := io.ReadFull(c, buf[:1]); err != nil || buf[0] != 'y' {
		t.Fatalf("the peer got %q, %v", buf[:n], err)
	}
	to, err := ResolveAddr("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	k, err := r.p.Socket(to, Addr{}, SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out2, err := r.p.Associate(k, 7)
	if err != nil {
		t.Fatal(err)
	}
	var connect Op
	short(&connect, func() error { return r.p.Connect(&connect, out2, to) })
	if err := r.p.Connect(&connect, out2, to); err != nil {
		t.Fatal(err)
	}
	for connected := false; !connected; {
		switch c := r.next(); {
		case c.Err != nil:
			t.Fatalf("%v: %v", c.Kind, c.Err)
		case c.Kind == KindAccept:
			r.p.Discard(c.Socket)
		default:
			connected = c.Op == &connect
		}
	}
}

// TestIOCPAborted: of a send that the system gives up in the middle, the rest is sent,
// and nothing twice.
func TestIOCPAborted(t *testing.T) {
	r := newIOCPRig(t, Config{})
	r.b.sys.skip = func(windows.Handle) bool { return false } // so that each has a packet
	r.arm()
	h, c := r.pair()
	data := make([]byte, 16<<20)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	read := make(chan error, 1)
	go func() {
		got := make([]byte, len(data))
		_, err := io.ReadFull(c, got)
		if err == nil && !bytes.Equal(got, data) {
			err = errors.New("other bytes")
		}
		read <- err
	}()
	// Every second WSASend gets the first bytes of its piece only, and its packet says
	// that it was given up when these had gone out.
	const first = 1000
	sends, given := 0, 0
	cut := map[uintptr]bool{} // by OVERLAPPED
	begin, fetch := r.b.sys.begin, r.b.sys.fetch
	r.b.sys.begin = func(c *overlappedCall) syscall.Errno {
		if c.proc == procWSASend.Addr() {
			if sends++; sends%2 == 1 && r.b.bufs[0].Len > first {
				r.b.bufs[0].Len, c.args[2] = first, 1
				cut[uintptr(unsafe.Pointer(c.o))] = true
			}
		}
		return begin(c)
	}
	r.b.sys.fetch = func(port windows.Handle, dst []iocpPacket, d time.Duration) int {
		n := fetch(port, dst, d)
		for i := range dst[:n] {
			if e := &dst[i]; cut[e.overlapped] {
				delete(cut, e.overlapped)
				(*(**windows.Overlapped)(unsafe.Pointer(&e.overlapped))).Internal = uintptr(windows.STATUS_CANCELLED)
				given++
			}
		}
		return n
	}
	var send Op
	if err := r.p.Send(&send, h, data); err != nil {
		t.Fatal(err)
	}
	if e := r.want(KindSend); e.N != len(data) {
		t.Errorf("sent %d of %d", e.N, len(data))
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if given < 100 {
		t.Errorf("%d pieces were given up", given)
	}
}

// TestIOCPRecvStands: no WSARecv is canceled before the socket closes, since some systems
// read nothing more after that. The next recv takes up what the one before left.
func TestIOCPRecvStands(t *testing.T) {
	r := newIOCPRig(t, Config{})
	r.arm()
	h, c := r.pair()
	cancel := r.b.sys.cancel
	r.b.sys.cancel = func(windows.Handle, *windows.Overlapped) error {
		t.Error("the system was asked to cancel a recv")
		return nil
	}
	starts := 0
	begin := r.b.sys.begin
	r.b.sys.begin = func(c *overlappedCall) syscall.Errno {
		starts++
		return begin(c)
	}
	var recv Op
	buf := make([]byte, 10)
	for i, start := range []func() error{
		func() error { return r.p.Recv(&recv, h, buf) },
		func() error { return r.p.RecvStream(&recv, h) },
		func() error { return r.p.Recv(&recv, h, buf) },
	} {
		if err := start(); err != nil {
			t.Fatal(err)
		}
		r.p.Cancel(&recv)
		if e := r.next(); e.Op != &recv || !errors.Is(e.Err, ErrCanceled) || e.More {
			t.Fatalf("recv %d ended with %v", i, e.Err)
		}
	}
	if starts != 1 {
		t.Errorf("%d WSARecvs for recvs that were canceled, want 1", starts)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := r.p.Recv(&recv, h, buf); err != nil {
		t.Fatal(err)
	}
	if e := r.want(KindRecv); e.N != 1 || buf[0] != 'x' {
		t.Errorf("got %q", buf[:e.N])
	}
	r.b.sys.cancel = cancel
	r.closeSocket(h)
}

// hungUp counts the sockets that are closed while the kernel has something of them.
func (r *iocpRig) hungUp() *int {
	n := new(int)
	hangUp := r.b.sys.hangUp
	r.b.sys.hangUp = func(h windows.Handle, reset bool) error {
		*n++
		return hangUp(h, reset)
	}
	return n
}

// closes starts the close of a socket whose recv the kernel has. The port does not look
// after it before the test sets hasten.
func (r *iocpRig) closes(h Handle) *Op {
	r.Helper()
	var recv Op
	if err := r.p.Recv(&recv, h, make([]byte, 10)); err != nil {
		r.Fatal(err)
	}
	op := new(Op)
	if err := r.p.CloseSocket(op, h, false); err != nil {
		r.Fatal(err)
	}
	r.b.hasten = never
	if c := r.next(); c.Op != &recv || !errors.Is(c.Err, ErrCanceled) {
		r.Fatalf("recv: %v", c.Err)
	}
	return op
}

// TestIOCPHurriesAfterAll: a socket whose end is in the queue already, behind more
// packets than one fetch takes, is closed in good order however late the port looks. A
// closesocket beside a WSARecv would be a reset.
func TestIOCPHurriesAfterAll(t *testing.T) {
	r := newIOCPRig(t, Config{})
	r.arm()
	h, _ := r.pair()
	hungUp := r.hungUp()
	for range 3 * packetCount {
		if err := r.b.sys.post(r.b.port); err != nil {
			t.Fatal(err)
		}
	}
	op := r.closes(h)
	ends(&r.b.slots.at(h.index()).ov.in, 20*time.Second)
	r.b.hasten = now()
	if c := r.want(KindClose); c.Op != op {
		t.Fatal("close of another Op")
	}
	if *hungUp != 0 {
		t.Error("the socket was hung up")
	}
}

// TestIOCPHurriesInTurn: a socket that the system was asked for just before it is time to
// look after others has its own time.
func TestIOCPHurriesInTurn(t *testing.T) {
	r := newIOCPRig(t, Config{})
	r.arm()
	first, _ := r.pair()
	second, _ := r.pair()
	hungUp := r.hungUp()
	cancel := r.b.sys.cancel
	r.b.sys.cancel = func(windows.Handle, *windows.Overlapped) error { return nil } // forgotten
	one := r.closes(first)
	two := r.closes(second)
	r.b.hasten = 0
	if c := r.want(KindClose); c.Op != one || *hungUp != 1 {
		t.Fatalf("%d sockets were hung up, want 1", *hungUp)
	}
	if err := cancel(windows.Handle(r.p.socks.get(second).sys), nil); err != nil { // now it is remembered
		t.Fatal(err)
	}
	r.b.hasten = never
	if c := r.want(KindClose); c.Op != two || *hungUp != 1 {
		t.Errorf("%d sockets were hung up, want 1", *hungUp)
	}
}

// TestIOCPHurriesAmongPackets: a port that is never without packets hangs up what does
// not end, too.
func TestIOCPHurriesAmongPackets(t *testing.T) {
	r := newIOCPRig(t, Config{})
	r.arm()
	h, _ := r.pair()
	hungUp := r.hungUp()
	r.b.sys.cancel = func(windows.Handle, *windows.Overlapped) error { return nil }
	fetch := r.b.sys.fetch
	r.b.sys.fetch = func(port windows.Handle, dst []iocpPacket, d time.Duration) int {
		dst[0] = iocpPacket{key: timerKey}
		return 1 + fetch(port, dst[1:], 0)
	}
	op := r.closes(h)
	r.b.hasten = now()
	if c := r.want(KindClose); c.Op != op || *hungUp != 1 {
		t.Errorf("%d sockets were hung up, want 1", *hungUp)
	}
	r.b.sys.fetch = fetch
}

// TestIOCPLayered: where the system has layered providers each socket is asked whether
// its successes can be told apart, and cancels are those of the base handle.
func TestIOCPLayered(t *testing.T) {
	r := newIOCPRig(t, Config{})
	was := winsock.layered
	winsock.layered = true
	defer func() { winsock.layered = was }()
	r.arm()
	h, c := r.pair()
	t.Logf("the socket skips: %v", r.b.slots.at(h.index()).flags&slotSkip != 0)
	var recv, send Op
	buf := make([]byte, 10)
	if err := r.p.Recv(&recv, h, buf); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	r.want(KindRecv)
	big := make([]byte, 64<<20)
	if err := r.p.Send(&send, h, big); err != nil {
		t.Fatal(err)
	}
	r.p.Cancel(&send)
	if e := r.next(); e.Op != &send || !errors.Is(e.Err, ErrCanceled) || e.N >= len(big) {
		t.Errorf("canceled: %v, N %d", e.Err, e.N)
	}
	if err := r.p.Recv(&recv, h, buf); err != nil {
		t.Fatal(err)
	}
	r.closeSocket(h)
}

// TestIOCPListened tells a port that is listened on from one of which only connections
// are left.
func TestIOCPListened(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Log(err)
			continue
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		k, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		port := uint16(l.Addr().(*net.TCPAddr).Port)
		if !listenedOn(port) {
			t.Errorf("%v is not listened on", l.Addr())
		}
		l.Close()
		if listenedOn(port) {
			t.Errorf("%v is listened on after its listener was closed", l.Addr())
		}
	}
}

// TestIOCPBindDenied: WSAEACCES has two reasons, and the error is of both classes.
func TestIOCPBindDenied(t *testing.T) {
	err := bindError(Addr{}, windows.WSAEACCES)
	if !errors.Is(err, ErrAddrInUse) || !errors.Is(err, ErrPermission) || !errors.Is(err, windows.WSAEACCES) {
		t.Errorf("%v is not of both classes", err)
	}
	if err := bindError(Addr{}, windows.WSAEADDRINUSE); errors.Is(err, ErrPermission) {
		t.Errorf("%v is of the other class", err)
	}
}

func TestBacklogHint(t *testing.T) {
	for n, want := range map[int]int{0: -65535, 1: 1, 200: 200, 201: -201, 5000: -5000, 65535: -65535, 1 << 20: -65535} {
		if got := backlogHint(n); got != want {
			t.Errorf("backlog %d: %d, want %d", n, got, want)
		}
	}
}
