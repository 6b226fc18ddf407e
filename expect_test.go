package proactor_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
)

// send writes all of p.
func send(t testing.TB, c io.Writer, p []byte) {
	t.Helper()
	if _, err := c.Write(p); err != nil {
		t.Fatal(err)
	}
}

// expect reads exactly want.
func expect(t testing.TB, c io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		t.Fatalf("after %d of %d bytes: %v", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes came that differ, the first at %d", len(want), differs(got, want))
	}
}

// expectEnd reads want and then the end of the stream.
func expectEnd(t testing.TB, c io.Reader, want []byte) {
	t.Helper()
	expect(t, c, want)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("%d bytes and %v where the end should be", n, err)
	}
}

// onWine makes an exception: who reads only after the reset came is told of an
// end of stream by Wine.
var onWine = os.Getenv("PROACTOR_WINE") != ""

// expectReset reads until the connection is reset.
func expectReset(t testing.TB, c io.Reader) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	if err == nil && onWine {
		return // see onWine
	}
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the stream ended with %v, not a reset", err)
	}
}

// ask sends and expects it back.
func ask(t testing.TB, c net.Conn, p string) {
	t.Helper()
	send(t, c, []byte(p))
	expect(t, c, []byte(p))
}

func differs(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// pattern is n bytes whose places can be told from one another.
func pattern(seed uint64, n int) []byte {
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

// bounded is a context that ends when patience does.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// onLoop runs f in a callback of c and waits for it.
func onLoop(t *testing.T, c *proactor.Conn, f func()) {
	t.Helper()
	done := make(chan struct{})
	if err := c.Post(func() { defer close(done); f() }); err != nil {
		t.Fatal(err)
	}
	take(t, "a posted function", done)
}

// socketPath is a short path for a Unix socket.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "proactor")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// syncBuffer is a log that several goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
