package port

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"golang.org/x/sys/unix"
)

// The probe, which fills buffers, does not count as messages that are large.
func TestUringProbe(t *testing.T) {
	p := openOn(t, "uring", Config{})
	if b := &p.b.(*uring).bufs; b.inc && (b.length != firstLength || b.with*b.length != firstDepth) {
		t.Errorf("%d buffers, %d bytes of each at first; want %d bytes, %d in all", b.with, b.length, firstLength, firstDepth)
	}
}

// Of recvs that starved, as many are armed at a time as there may be room for. One
// look goes on until it has found those for which there is something.
func TestUringFeed(t *testing.T) {
	p := openOn(t, "uring", Config{BufferSize: 4096, BufferCount: 2})
	full := streamPair(t, p)
	if _, err := unix.Write(full, make([]byte, 2*4096)); err != nil {
		t.Fatal(err)
	}
	var held []Completion
	batch := make([]Completion, 16)
	look := func() int {
		t.Helper()
		n, err := p.Dequeue(batch, 0)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, batch[:n]...)
		return n
	}
	for sum := 0; sum < 2*4096; {
		n := len(held)
		look()
		for _, c := range held[n:] {
			sum += c.N
		}
	}
	const streams = 40
	var first, last int
	for i := range streams {
		last = streamPair(t, p)
		if i == 0 {
			first = last
		}
	}
	for _, fd := range []int{first, last} {
		if _, err := unix.Write(fd, []byte("here")); err != nil {
			t.Fatal(err)
		}
	}
	if n := look() + look(); n > 0 {
		t.Fatalf("%d completions, though all buffers are lent", n)
	}
	u := p.b.(*uring)
	before := u.starved.len()
	if before < streams {
		t.Fatalf("%d recvs starve of %d", before, streams)
	}
	for i := range held {
		p.Release(&held[i])
	}
	// The first of them needs few, for the last all are looked at.
	for i, left := range []int{before - streams/2, 0} {
		held = held[:0]
		if n := look(); n != 1 || string(held[0].Buf) != "here" {
			t.Fatalf("look %d: %d completions once there are buffers", i, n)
		}
		p.Release(&held[0])
		if u.starved.len() < left {
			t.Errorf("look %d: of %d recvs that starved, %d were armed", i, before, before-u.starved.len())
		}
	}
}

// On older kernels completions may come faster than they are dequeued. What was
// started goes out all the same.
func TestUringSubmitsBeforeDrained(t *testing.T) {
	p := openOn(t, "uring-coop", Config{})
	var far [3]int
	for i := range far {
		far[i] = streamPair(t, p)
		if _, err := unix.Write(far[i], []byte("here")); err != nil {
			t.Fatal(err)
		}
	}
	var one [1]Completion
	dequeue := func() *Op {
		t.Helper()
		if n, err := p.Dequeue(one[:], 10*time.Second); n != 1 || err != nil || string(one[0].Buf) != "here" {
			t.Fatal(n, err)
		}
		p.Release(&one[0])
		return one[0].Op
	}
	if err := p.Send(new(Op), dequeue().h, []byte("answer")); err != nil {
		t.Fatal(err)
	}
	dequeue()
	if head, tail := p.b.(*uring).completions(); head == tail {
		t.Fatal("all is dequeued")
	}
	answers := 0
	for _, fd := range far {
		if n, _, _ := unix.Recvfrom(fd, make([]byte, 10), unix.MSG_DONTWAIT); n > 0 {
			answers++
		}
	}
	if answers != 1 {
		t.Errorf("%d answers while a completion waits to be dequeued", answers)
	}
}

// 10,000 sends and as many recvs that are started at once are more than the
// kernel takes at a time, and more than it has room to tell of: all are carried out
// and told, each once.
func TestUringFlood(t *testing.T) {
	const pairs = 5000
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < 2*pairs+100 {
		t.Skipf("%d descriptors are too few for 10,000 sockets", limit.Cur)
	}
	for _, backend := range []string{"uring", "uring-coop", "uring-plain", "uring-whole", "uring-oldest"} {
		for name, mode := range map[string]Mode{"exclusive": Exclusive, "shared": Shared} {
			t.Run(backend+"/"+name, func(t *testing.T) {
				if backend != "uring" && !testenv.Long() {
					t.Skip("a variant: PROACTOR_LONG=1 runs it")
				}
				flood(t, openOn(t, backend, Config{Mode: mode}), pairs)
			})
		}
	}
}

func flood(t *testing.T, p *Port, pairs int) {
	type end struct {
		h          Handle
		recv, send Op
		message    [8]byte
		sent       bool
		got        []byte
	}
	ends := make([]end, 2*pairs) // each sends to its neighbour
	for i := 0; i < len(ends); i += 2 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		for j, fd := range pair {
			e := &ends[i+j]
			binary.LittleEndian.PutUint64(e.message[:], uint64(i+j))
			if e.h, err = p.Associate(Socket(fd), uint64(i+j)); err != nil {
				t.Fatal(err)
			}
			if err := p.RecvStream(&e.recv, e.h); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range ends {
		if err := p.Send(&ends[i].send, ends[i].h, ends[i].message[:]); err != nil {
			t.Fatal(err)
		}
	}
	u := p.b.(*uring)
	waiting := func() uint32 { head, tail := u.completions(); return tail - head }
	must.Eventually(t, "the queue overflows", func() bool { // with DEFER_TASKRUN the kernel adds some with each call, in a shared ring when it likes
		u.flush()
		u.submit()
		return waiting() == cqSize
	})
	batch := make([]Completion, 128)
	for left := 2 * len(ends); left > 0; {
		n, err := p.Dequeue(batch, must.Patience)
		if n == 0 || err != nil {
			t.Fatalf("%d of %d completions are missing: %v", left, 2*len(ends), err)
		}
		for i := range batch[:n] {
			c := &batch[i]
			e := &ends[c.Key]
			switch {
			case c.Kind == KindSend && c.N == len(e.message) && c.Err == nil && !e.sent:
				e.sent = true
				left--
			case c.Kind == KindRecv && c.More && c.Err == nil && e.got == nil && string(c.Buf) == string(ends[c.Key^1].message[:]):
				e.got = append(e.got, c.Buf...)
				left--
			default:
				t.Fatalf("socket %d: %+v", c.Key, *c)
			}
			p.Release(c)
		}
	}
	if n, err := p.Dequeue(batch, 0); n != 0 || err != nil {
		t.Errorf("%d completions more, %v", n, err)
	}
}
