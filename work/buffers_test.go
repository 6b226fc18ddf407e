package work

import (
	"bytes"
	"testing"
)

func TestSizeClass(t *testing.T) {
	for n := range 1<<maxShift + 100 {
		c := sizeClass(n)
		switch {
		case n > 1<<maxShift:
			if c != -1 {
				t.Fatalf("%d bytes: class %d", n, c)
			}
		case c < 0 || 1<<(c+minShift) < n || c > 0 && 1<<(c+minShift-1) >= n:
			t.Fatalf("%d bytes: class %d", n, c)
		}
	}
}

// A transfer buffer is a copy, stays in its class, and is counted.
func TestTransferBuffers(t *testing.T) {
	var b buffers
	for range 3 {
		var all []*transfer
		for _, n := range []int{0, 1, 64, 65, 1000, 1 << 20, 1<<20 + 1} {
			msg := bytes.Repeat([]byte{byte(n)}, n)
			c := b.copyOf(msg)
			clear(msg)
			if len(c.msg) != n || n > 0 && c.msg[n-1] != byte(n) {
				t.Errorf("%d bytes: %d", n, len(c.msg))
			}
			if c.class >= 0 && cap(c.msg) != 1<<(c.class+minShift) {
				t.Errorf("%d bytes: room for %d", n, cap(c.msg))
			}
			all = append(all, c)
		}
		if n := b.inUse.Load(); n != int64(len(all)) {
			t.Errorf("%d in use, want %d", n, len(all))
		}
		for _, c := range all {
			b.put(c)
		}
		if n := b.inUse.Load(); n != 0 {
			t.Errorf("%d in use, want none", n)
		}
	}
}
