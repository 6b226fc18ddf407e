package port

import (
	"testing"

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
	var last int
	for range streams {
		last = streamPair(t, p)
	}
	if _, err := unix.Write(last, []byte("here")); err != nil {
		t.Fatal(err)
	}
	if n := look() + look(); n > 0 {
		t.Fatalf("%d completions, though all buffers are lent", n)
	}
	u := p.b.(*uring)
	if len(u.starved) != streams && u.multishot {
		t.Fatalf("%d recvs starve of %d", len(u.starved), streams)
	}
	for i := range held {
		p.Release(&held[i])
	}
	held = nil
	if n := look(); n != 1 || string(held[0].Buf) != "here" {
		t.Fatalf("%d completions once there are buffers", n)
	}
	p.Release(&held[0])
}
