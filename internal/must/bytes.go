package must

import (
	"bytes"
	"io"
	"net"
	"testing"
)

// Send writes all of p.
func Send(t testing.TB, c io.Writer, p []byte) {
	t.Helper()
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
}

// Read reads exactly want.
func Read(t testing.TB, c io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("after %d of %d bytes: %v", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes came that differ, the first at %d", len(want), Differs(got, want))
	}
}

// ReadEnd reads want and then the end of the stream.
func ReadEnd(t testing.TB, c io.Reader, want []byte) {
	t.Helper()
	Read(t, c, want)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("%d bytes and %v where the end should be", n, err)
	}
}

// Ask sends and expects it back.
func Ask(t testing.TB, c net.Conn, p string) {
	t.Helper()
	Send(t, c, []byte(p))
	Read(t, c, []byte(p))
}

func Differs(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// Pattern is n bytes whose places can be told from one another.
func Pattern(seed uint64, n int) []byte {
	b := make([]byte, n)
	x := seed*0x9e3779b97f4a7c15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}
