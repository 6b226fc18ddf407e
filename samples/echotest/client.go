package echotest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
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

// Dial connects, for as long as the test may take.
func Dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangUp(c) })
	return c
}

func dial(addr string) (*net.TCPConn, error) {
	c, err := net.DialTimeout("tcp", addr, Patience)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(Life))
	return c.(*net.TCPConn), nil
}

// Client is a connection that is read by lines. What fails ends the test.
type Client struct {
	*net.TCPConn
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
func SendInPieces(c *net.TCPConn, p []byte, size int) {
	for len(p) > 0 {
		n := min(size, len(p))
		if _, err := c.Write(p[:n]); err != nil {
			return
		}
		p = p[n:]
	}
	c.CloseWrite()
}

// jam writes until the connection takes no more for a while, or has taken all,
// and returns how much it took.
func jam(t *testing.T, c *net.TCPConn, p []byte) (n int) {
	t.Helper()
	defer func() { c.SetWriteDeadline(time.Now().Add(Life)) }()
	for n < len(p) {
		c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		k, err := c.Write(p[n:min(n+64<<10, len(p))])
		n += k
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n
		}
		if err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
	return n
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
