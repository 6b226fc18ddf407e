package port

import (
	"testing"
	"time"

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
