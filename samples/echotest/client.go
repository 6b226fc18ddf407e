package echotest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Patience is how long one event may take, such as the end of a server, and Life how
// long all that a client does with a connection: megabytes, on a busy machine and
// under the race detector, take their time.
const (
	Patience = 20 * time.Second
	Life     = 6 * Patience
)

// Conn is a client's connection: a *net.TCPConn, or TLS over one, see [OverTLS].
type Conn interface {
	net.Conn
	CloseWrite() error
	SetLinger(seconds int) error
	SetReadBuffer(bytes int) error
}

// Dial connects, for as long as the test may take.
func Dial(t testing.TB, addr string) Conn {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(c) })
	return c
}

func dial(addr string) (Conn, error) {
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(Life))
	return secured(c.(*net.TCPConn), addr)
}

// Client is a connection that is read by lines. What fails ends the test.
type Client struct {
	Conn
	In *bufio.Reader // what comes; nothing else may read
	t  *testing.T
}

// NewClient connects.
func NewClient(t *testing.T, addr string) *Client {
	t.Helper()
	c := Dial(t, addr)
	return &Client{c, bufio.NewReader(c), t}
}

// Say sends a text.
func (c *Client) Say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// Hear expects lines.
func (c *Client) Hear(want string) {
	c.t.Helper()
	for line := range strings.Lines(want) {
		if got, err := c.In.ReadString('\n'); err != nil || got != line {
			c.t.Fatalf("got %q, %v; want %q", got, err, line)
		}
	}
}

// HearEnd expects the end of the stream.
func (c *Client) HearEnd() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.In); err != nil || len(rest) > 0 {
		c.t.Fatalf("at the end: %d bytes, %.100q, %v", len(rest), rest, err)
	}
}

// SendInPieces sends some bytes at a time, then a FIN, while others read. A
// server that closes before is no error.
func SendInPieces(c Conn, p []byte, size int) {
	for len(p) > 0 {
		n := min(size, len(p))
		if _, err := c.Write(p[:n]); err != nil {
			return
		}
		p = p[n:]
	}
	c.CloseWrite()
}

// jam has a connection take as much of p as it does while nobody reads. took: no byte more for
// a while, or all. A goroutine goes on with the rest, then sends a FIN, and tells written.
func jam(c Conn, p []byte) (took int, written <-chan error) {
	result := make(chan error, 1)
	var sent atomic.Int64
	go func() {
		for at := 0; at < len(p); {
			n, err := c.Write(p[at:min(at+64<<10, len(p))])
			at += n
			sent.Store(int64(at))
			if err != nil {
				result <- err
				return
			}
		}
		result <- c.CloseWrite()
	}()
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for before := -1; took != before && took < len(p); {
		<-t.C
		before, took = took, int(sent.Load())
	}
	return took, result
}

// expect reads as many bytes as are wanted, and compares.
func expect(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil {
		return fmt.Errorf("after %d bytes of %d: %w", n, len(want), err)
	}
	return differs(got, want)
}

func differs(got, want []byte) error {
	if bytes.Equal(got, want) {
		return nil
	}
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	return fmt.Errorf("got %d bytes, want %d; they differ from byte %d", len(got), len(want), i)
}
