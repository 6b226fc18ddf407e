package soak

import (
	"bytes"
	"slices"
	"testing"
)

func all(s *stream, piece int) (b []byte) {
	for p := make([]byte, piece); ; {
		n := s.fill(p)
		if n == 0 {
			return b
		}
		b = append(b, p[:n]...)
	}
}

// TestStream: it is the same in pieces of any size, its frames are whole, the
// last one asks what the way wants, and it belongs to one connection of one
// seed.
func TestStream(t *testing.T) {
	for _, w := range slices.Concat(inbound, outbound) {
		if w.frames[1] == forever {
			continue
		}
		for id := range uint64(5) {
			want := all(newStream(1, id, w), 1<<20)
			for _, piece := range []int{1, 1000, 65536} {
				if piece == 1 && len(want) > 50_000 {
					continue
				}
				s := newStream(1, id, w)
				if got := all(s, piece); !bytes.Equal(got, want) || !s.ended() {
					t.Fatalf("%s, %d: in pieces of %d it is another", w.name, id, piece)
				}
			}
			n, last := 0, byte(0)
			for rest := want; len(rest) > 0; n++ {
				f, ok := frame(rest)
				if f == nil || !ok || numberOf(f) != id {
					t.Fatalf("%s, %d: no frame at %d", w.name, id, len(want)-len(rest))
				}
				last, rest = f[0], rest[len(f):]
			}
			if n < w.frames[0] || n > w.frames[1] || w.last != 0 && last != w.last {
				t.Errorf("%s, %d: %d frames, the last asks %q", w.name, id, n, last)
			}
			if other := all(newStream(2, id, w), 1<<20); len(want) > 100 && bytes.Equal(other, want) {
				t.Errorf("%s, %d: the seed makes no difference", w.name, id)
			}
		}
	}
}

// TestStreamCheck: what is changed, lost, doubled or another's is found.
func TestStreamCheck(t *testing.T) {
	w := &way{frames: [2]int{20, 20}, payload: 1500}
	want := all(newStream(1, 4, w), 1000)
	at := len(want) / 2
	changed := bytes.Clone(want)
	changed[at] ^= 1
	for name, b := range map[string][]byte{
		"changed":   changed,
		"lost":      slices.Delete(bytes.Clone(want), at, at+1),
		"doubled":   slices.Insert(bytes.Clone(want), at, want[at-50:at]...),
		"too much":  append(bytes.Clone(want), 0),
		"another's": all(newStream(1, 5, w), 1000),
	} {
		if newStream(1, 4, w).check(b) {
			t.Errorf("%s: not found", name)
		}
	}
	if s := newStream(1, 4, w); !s.check(want[:at]) || !s.check(want[at:]) || !s.ended() {
		t.Error("the stream is not itself")
	}
}

func TestFrame(t *testing.T) {
	w := &way{frames: [2]int{1, 1}, payload: 64}
	b := all(newStream(1, 4, w), 1000)
	for n := range b {
		if f, ok := frame(b[:n]); f != nil || !ok {
			t.Fatalf("%d bytes of %d are a frame: %v", n, len(b), ok)
		}
	}
	for _, size := range []byte{0, 255} {
		copy(b[4:8], []byte{0, size, 0, 0})
		if _, ok := frame(b); ok {
			t.Error("a payload of no size, or of any, is one")
		}
	}
}
