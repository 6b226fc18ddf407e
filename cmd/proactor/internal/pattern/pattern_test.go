package pattern

import (
	"bytes"
	"testing"
)

// stream is n bytes of connection i.
func stream(p Pattern, i, n int) []byte {
	var b []byte
	for at := p.Place(i); len(b) < n; at = p.After(at, 1) {
		b = append(b, p.Message(at, 1)...)
	}
	return b
}

func TestPatternGoesRound(t *testing.T) {
	const size = 2*length + 77
	p := New(size)
	at := p.Place(3)
	want := stream(p, 3, 2*size)
	got := append(bytes.Clone(p.Message(at, size)), p.Message(p.After(at, size), size)...)
	if !bytes.Equal(got, want) {
		t.Error("messages cut from the table are not the stream")
	}
}

func TestPatternCheck(t *testing.T) {
	p := New(10)
	b := stream(p, 7, 300_000)
	for _, cut := range []int{1, 1000, 65536, 131071, 300_000} {
		at, rest := p.Place(7), b
		for len(rest) > 0 {
			n := min(cut, len(rest))
			if right := p.Check(at, rest[:n]); right != n {
				t.Fatalf("in pieces of %d: %d of %d bytes right", cut, right, n)
			}
			at, rest = p.After(at, n), rest[n:]
		}
	}
	for _, place := range []int{0, 1, 131070, 131071, 131072, 299_999} {
		b[place] ^= 0x80
		if right := p.Check(p.Place(7), b); right != place {
			t.Errorf("wrong at %d: %d bytes right", place, right)
		}
		b[place] ^= 0x80
	}
}

// TestPatternsDiffer: no connection's bytes pass for those of another, nor a
// block for one that is shifted, by whatever distance is likely.
func TestPatternsDiffer(t *testing.T) {
	p := New(64)
	seen := map[int]bool{}
	for i := range length {
		seen[p.Place(i)] = true
	}
	if len(seen) != length {
		t.Errorf("%d places for %d connections", len(seen), length)
	}
	b := stream(p, 0, 64)
	for i := 1; i < 2000; i++ {
		if p.Check(p.Place(i), b) == len(b) {
			t.Errorf("connection %d has the bytes of 0", i)
		}
	}
	for _, shift := range []int{1, 2, 64, 1024, 4096, 65536, 1 << 20} {
		if p.Check(p.After(p.Place(0), shift), b) == len(b) {
			t.Errorf("shifted by %d it is the same", shift)
		}
	}
}

func FuzzPatternCheck(f *testing.F) {
	p := New(1)
	f.Add(uint16(0), []byte("x"))
	f.Add(uint16(65535), p.Message(p.Place(65535), 1))
	f.Fuzz(func(t *testing.T, i uint16, b []byte) {
		want := stream(p, int(i), len(b))
		right := 0
		for right < len(b) && b[right] == want[right] {
			right++
		}
		if got := p.Check(p.Place(int(i)), b); got != right {
			t.Errorf("%d bytes right, want %d", got, right)
		}
	})
}
