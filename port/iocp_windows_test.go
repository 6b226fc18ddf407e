package port

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"
)

// What is special to IOCP. The contract is tested by the conformance suite.

// iocpRig is an Exclusive port with a listener.
type iocpRig struct {
	*testing.T
	p      *Port
	b      *iocp
	h      Handle // the listener
	addr   string
	accept Op
}

func newIOCPRig(t *testing.T, c Config) *iocpRig {
	t.Helper()
	c.Backend = "iocp"
	p, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	r := &iocpRig{T: t, p: p, b: p.b.(*iocp)}
	l, err := p.Listen("tcp", "127.0.0.1:0", SocketOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.h, err = p.Associate(l, 0); err != nil {
		t.Fatal(err)
	}
	a, err := p.LocalAddr(r.h)
	if err != nil {
		t.Fatal(err)
	}
	r.addr = a.String()
	return r
}

func (r *iocpRig) arm() {
	r.Helper()
	if err := r.p.Accept(&r.accept, r.h); err != nil {
		r.Fatal(err)
	}
}

// next dequeues one completion.
func (r *iocpRig) next() Completion {
	r.Helper()
	var c [1]Completion
	n, err := r.p.Dequeue(c[:], 20*time.Second)
	if n != 1 || err != nil {
		r.Fatalf("dequeued %d, %v", n, err)
	}
	return c[0]
}

// want dequeues one completion, which must be of this kind and a success.
func (r *iocpRig) want(k Kind) Completion {
	r.Helper()
	c := r.next()
	if c.Kind != k || c.Err != nil {
		r.Fatalf("got %v, %v; want %v", c.Kind, c.Err, k)
	}
	return c
}

func (r *iocpRig) dial() *net.TCPConn {
	r.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// pair makes a connection: its handle, and the peer's end.
func (r *iocpRig) pair() (Handle, *net.TCPConn) {
	r.Helper()
	c := r.dial()
	h, err := r.p.Associate(r.want(KindAccept).Socket, 1)
	if err != nil {
		r.Fatal(err)
	}
	return h, c
}

func (r *iocpRig) closeSocket(h Handle) {
	r.Helper()
	var op Op
	if err := r.p.CloseSocket(&op, h, false); err != nil {
		r.Fatal(err)
	}
	for r.next().Op != &op {
	}
}

// TestIOCPSkip runs an echo with and without the system's promise not to post
// what succeeded at once: each operation completes once either way.
func TestIOCPSkip(t *testing.T) {
	for _, skip := range []bool{true, false} {
		t.Run(fmt.Sprint(skip), func(t *testing.T) {
			r := newIOCPRig(t, Config{})
			if !skip {
				r.b.sys.skip = func(windows.Handle) bool { return false }
			}
			r.arm()
			h, c := r.pair()
			if got := r.b.slots.at(h.index()).flags&slotSkip != 0; got != skip {
				t.Fatalf("slot skips %v", got)
			}
			var recv, send Op
			buf := make([]byte, 100)
			for i := range 20 {
				msg := fmt.Appendf(nil, "message %d", i)
				start := func() {
					if err := r.p.Recv(&recv, h, buf); err != nil {
						t.Fatal(err)
					}
				}
				if i%2 == 0 { // so that it pends
					start()
				}
				if _, err := c.Write(msg); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Millisecond)
				if i%2 == 1 { // so that it succeeds at once
					start()
				}
				n := r.want(KindRecv).N
				if !bytes.Equal(buf[:n], msg) {
					t.Fatalf("received %q", buf[:n])
				}
				if err := r.p.Send(&send, h, buf[:n]); err != nil {
					t.Fatal(err)
				}
				if got := r.want(KindSend).N; got != n {
					t.Fatalf("sent %d of %d", got, n)
				}
				back := make([]byte, n)
				if _, err := io.ReadFull(c, back); err != nil || !bytes.Equal(back, msg) {
					t.Fatalf("echo %q, %v", back, err)
				}
			}
			var none [4]Completion
			if n, _ := r.p.Dequeue(none[:], 50*time.Millisecond); n != 0 {
				t.Errorf("%d completions too many: %v", n, none[:n])
			}
		})
	}
}

// TestIOCPReuse sends many connections one after the other through the same
// slot, each with a recv that is canceled by the close.
func TestIOCPReuse(t *testing.T) {
	r := newIOCPRig(t, Config{})
	r.arm()
	slots := map[uint32]bool{}
	for i := range 60 {
		h, c := r.pair()
		slots[h.index()] = true
		var recv, close Op
		var err error
		if i%2 == 0 {
			err = r.p.RecvStream(&recv, h)
		} else {
			err = r.p.Recv(&recv, h, make([]byte, 10))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.p.CloseSocket(&close, h, i%3 == 0); err != nil {
			t.Fatal(err)
		}
		if e := r.next(); e.Op != &recv || !errors.Is(e.Err, ErrCanceled) || e.More {
			t.Fatalf("recv ended with %v, %v", e.Kind, e.Err)
		}
		if e := r.want(KindClose); e.Op != &close {
			t.Fatal("close of another Op")
		}
		c.Close()
	}
	if len(slots) != 1 || len(r.b.slots) != 1 {
		t.Errorf("%d slots in %d chunks used", len(slots), len(r.b.slots))
	}
}

// TestIOCPAcceptResets has connections die before they are accepted: the
// others come.
func TestIOCPAcceptResets(t *testing.T) {
	r := newIOCPRig(t, Config{})
	for range 40 {
		c := r.dial()
		c.SetLinger(0)
		c.Close()
	}
	c := r.dial()
	r.arm()
	for {
		k := r.want(KindAccept).Socket
		a, err := remoteAddr(windows.Handle(k))
		r.p.Discard(k)
		if err == nil && a.String() == c.LocalAddr().String() {
			return
		}
	}
}

// TestIOCPAcceptRunsOut takes the ability to make sockets away: the AcceptEx
// that are outstanding still accept, one by one, and only then the accept ends.
func TestIOCPAcceptRunsOut(t *testing.T) {
	r := newIOCPRig(t, Config{})
	a := r.b.slots.at(r.h.index()).accepts
	good := a.made
	r.arm()
	a.made = &socketInfo{local: Addr{Unix: true}} // which Wine has not
	for range acceptCount {
		r.dial()
		c := r.want(KindAccept)
		if !c.More {
			t.Fatal("final too early")
		}
		r.p.Discard(c.Socket)
	}
	if c := r.next(); c.More || !errors.Is(c.Err, ErrUnsupported) {
		t.Fatalf("ended with %v", c.Err)
	}
	if r.accept.InFlight() || a.armed != 0 {
		t.Fatal("still in flight")
	}
	a.made = good
	r.dial()
	r.arm()
	r.p.Discard(r.want(KindAccept).Socket)
}

// TestIOCPPieces sends more than the kernel takes at once: it goes out piece by
// piece while the peer reads, and cancel tells how far it came.
func TestIOCPPieces(t *testing.T) {
	r := newIOCPRig(t, Config{})
	r.arm()
	h, c := r.pair()
	data := make([]byte, 6<<20)
	for i := range data {
		data[i] = byte(i >> 8 * 7)
	}
	// Also as several buffers, the odd ones empty or tiny.
	var bufs [][]byte
	for rest, n := data, 1; len(rest) > 0; n = n*3 + 1 {
		k := min(n, len(rest))
		bufs = append(bufs, rest[:k], nil)
		rest = rest[k:]
	}
	for i, start := range []func(*Op) error{
		func(op *Op) error { return r.p.Send(op, h, data) },
		func(op *Op) error { return r.p.Sendv(op, h, bufs) },
	} {
		var send Op
		if err := start(&send); err != nil {
			t.Fatal(err)
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
		if e := r.want(KindSend); e.N != len(data) {
			t.Errorf("%d: sent %d of %d", i, e.N, len(data))
		}
		if err := <-read; err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	// With nobody who reads, no more than a piece may be in the kernel's hands.
	var send Op
	big := make([]byte, 64<<20)
	if err := r.p.Send(&send, h, big); err != nil {
		t.Fatal(err)
	}
	var none [1]Completion
	if n, _ := r.p.Dequeue(none[:], 300*time.Millisecond); n != 0 {
		t.Fatalf("ended: %d, %v", none[0].N, none[0].Err)
	}
	t.Logf("%d bytes taken, more in the air", send.n)
	r.p.Cancel(&send)
	if e := r.next(); e.Op != &send || !errors.Is(e.Err, ErrCanceled) || e.N >= len(big) || e.N != int(send.n) {
		t.Errorf("canceled: %v, N %d", e.Err, e.N)
	}
}

// TestIOCPIdle checks that connections on which nothing arrives hold no buffer,
// and that those that find none get their bytes when one is released.
func TestIOCPIdle(t *testing.T) {
	r := newIOCPRig(t, Config{BufferSize: 64, BufferCount: 1})
	r.arm()
	const n = 5
	ops := make([]Op, n)
	peers := make([]*net.TCPConn, n)
	for i := range n {
		var h Handle
		h, peers[i] = r.pair()
		if err := r.p.RecvStream(&ops[i], h); err != nil {
			t.Fatal(err)
		}
	}
	var none [1]Completion
	if k, _ := r.p.Dequeue(none[:], 50*time.Millisecond); k != 0 || len(r.b.lender.slabs) != 0 {
		t.Fatalf("%d completions, %d buffers", k, len(r.b.lender.slabs))
	}
	msg := bytes.Repeat([]byte{'x'}, 60)
	for _, c := range peers {
		if _, err := c.Write(msg); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[*Op]bool{}
	for range n {
		c := r.want(KindRecv)
		if seen[c.Op] || !bytes.Equal(c.Buf, msg) {
			t.Fatalf("got %q", c.Buf)
		}
		seen[c.Op] = true
		if k, _ := r.p.Dequeue(none[:], 20*time.Millisecond); k != 0 {
			t.Fatal("received into a buffer that is lent")
		}
		r.p.Release(&c)
	}
}

// TestIOCPShared has several workers fetch packets and post wakes.
func TestIOCPShared(t *testing.T) {
	p, err := Open(Config{Backend: "iocp", Mode: Shared})
	if err != nil {
		t.Fatal(err)
	}
	const workers, posts = 4, 2000
	done := make(chan int, workers)
	for range workers {
		go func() {
			sum := 0
			for {
				var c [3]Completion
				n, err := p.Dequeue(c[:], -1)
				if err != nil {
					done <- -1
					return
				}
				for i := range n {
					if c[i].Key == 0 {
						p.Post(0, nil) // the next worker's
						done <- sum
						return
					}
					sum++
				}
			}
		}()
	}
	for i := range posts {
		p.Post(uint64(i+1), nil)
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	p.Post(0, nil)
	total := 0
	for range workers {
		select {
		case n := <-done:
			total += n
		case <-time.After(20 * time.Second):
			t.Fatal("a worker sleeps on")
		}
	}
	if total < posts-3*workers || total > posts {
		t.Errorf("%d of %d posts seen", total, posts)
	}
	p.Close()
}

func TestIOCPErrors(t *testing.T) {
	for errno, class := range map[syscall.Errno]error{
		64: ErrReset, 10054: ErrReset, 10053: ErrReset, 1236: ErrReset, 10057: ErrReset, 10058: ErrReset,
		676: ErrCanceled, 995: ErrCanceled,
		1225: ErrRefused, 10061: ErrRefused, 1234: ErrRefused,
		121: ErrTimeout, 10060: ErrTimeout, 1460: ErrTimeout, 10052: ErrTimeout,
		1231: ErrUnreachable, 1232: ErrUnreachable, 10051: ErrUnreachable, 10065: ErrUnreachable,
		10048: ErrAddrInUse, 10049: ErrAddrNotAvail, 10013: ErrPermission, 5: ErrPermission,
		10024: ErrNoDescriptors, 4: ErrNoDescriptors, 8: ErrNoMemory, 14: ErrNoMemory,
		10055: ErrNoBuffers, 1450: ErrNoBuffers, 1816: ErrNoBuffers, 10047: ErrUnsupported, 10045: ErrUnsupported,
		10022: ErrInvalid, 87: ErrInvalid, 10038: ErrOther,
	} {
		if got := classifyErrno(errno); got != class {
			t.Errorf("%d (%v) is %v, want %v", uint32(errno), errno, got, class)
		}
	}
	op := &Op{kind: KindRecv, flags: opCanceled}
	for _, errno := range []syscall.Errno{676, 995, 1236} {
		if err := opError(&sock{}, op, errno); !errors.Is(err, ErrCanceled) {
			t.Errorf("canceled, then %d: %v", uint32(errno), err)
		}
	}
	if err := opError(&sock{}, op, 64); !errors.Is(err, ErrReset) {
		t.Errorf("canceled, but reset before: %v", err)
	}
}
