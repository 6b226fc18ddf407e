package proactortest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// Client is a client of a server under test. It is a net.Conn, so clients of any protocol
// can use it. One goroutine may write while another reads. The methods that begin with
// Expect fail the test when something else comes, or nothing within [Patience].
type Client struct {
	*port.SimConn
	env *Env
}

// Dial connects to a server of this run, and fails the test if it cannot. On a network that
// refuses connections use Net.Dial, which returns the error.
func (e *Env) Dial(s *proactor.Server) *Client {
	e.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, err := e.Net.Dial(ctx, s.ListenAddr().Network(), s.ListenAddr().String())
	if err != nil {
		e.Fatalf("dial: %v", err)
	}
	c := &Client{conn, e}
	e.mu.Lock()
	e.clients = append(e.clients, c)
	e.mu.Unlock()
	return c
}

// Send writes p. It waits while the server's side has no room for it. An error fails the
// test.
func (c *Client) Send(p string) {
	c.env.Helper()
	c.SetWriteDeadline(time.Now().Add(Patience))
	if n, err := c.Write([]byte(p)); err != nil {
		c.env.Fatalf("send: %d of %d bytes, then %v", n, len(p), err)
	}
}

// Expect reads as many bytes as want has. They must be those of want.
func (c *Client) Expect(want string) {
	c.env.Helper()
	c.SetReadDeadline(time.Now().Add(Patience))
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if !bytes.Equal(got[:n], []byte(want[:n])) || err != nil {
		c.env.Fatalf("received %.200q, %v; want %.200q", got[:n], err, want)
	}
}

// ExpectEnd reads the end of the stream: no further bytes, and a FIN of the server.
func (c *Client) ExpectEnd() { c.env.Helper(); c.expectErr(io.EOF) }

// ExpectReset reads until the connection is reset. Bytes before that are dropped.
func (c *Client) ExpectReset() { c.env.Helper(); c.expectErr(port.ErrReset) }

func (c *Client) expectErr(want error) {
	c.env.Helper()
	c.SetReadDeadline(time.Now().Add(Patience))
	p := make([]byte, 200)
	n, err := c.Read(p)
	for want != io.EOF && err == nil {
		n, err = c.Read(p)
	}
	if !errors.Is(err, want) {
		c.env.Fatalf("received %q, %v; want %v", p[:n], err, want)
	}
}

// Reset closes the client's end with a reset.
func (c *Client) Reset() {
	c.SetLinger(0)
	c.Close()
}
