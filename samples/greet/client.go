package greet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
)

// ClientOptions say whom the client talks to.
type ClientOptions struct {
	// Addr is "host:port".
	Addr string
	// Timeout bounds the whole conversation, the connect included. 0: 10 s.
	Timeout time.Duration
	// Transcript gets a line for each thing that was said, "< " before the server's
	// and "> " before the client's. nil: none is kept.
	Transcript io.Writer
	// Engine carries the connection. nil: one of the client's own.
	Engine *proactor.Engine
}

// ErrScript says that the server did not keep to the script; the error that
// wraps it tells where.
var ErrScript = errors.New("the server did not keep to the script")

// script is the conversation as the client has it.
var script = [...]struct{ hear, say string }{
	{ServerHello, ClientHello},
	{SayGoodbye, Goodbye},
}

// client is one conversation. Its fields belong to the connection's loop.
type client struct {
	step int    // of script
	part string // what came of the answer that is awaited
	// said takes all of the conversation without waiting: a callback must not
	// wait for whoever reads the transcript.
	said  chan string
	ended chan error // takes one, at the end
	fault error      // why it ended early
}

// Client has the conversation with a server and closes. It waits for the end;
// a callback must not call it. Errors: those of the dial; [ErrScript]; ctx's,
// or context.DeadlineExceeded after Timeout, with what was waited for; an error
// of the connection or of the transcript.
func Client(ctx context.Context, o ClientOptions) error {
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.Transcript = cmp.Or(o.Transcript, io.Discard)
	if o.Engine == nil {
		e, err := proactor.NewEngine(proactor.Config{Loops: 1})
		if err != nil {
			return err
		}
		defer e.Close()
		o.Engine = e
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	k := &client{said: make(chan string, 2*len(script)), ended: make(chan error, 1)}
	d := proactor.Dialer{Engine: o.Engine, Handler: proactor.Handler{Data: k.data, Ended: k.left, Closed: k.closed}}
	c, err := d.Dial(ctx, "tcp", o.Addr)
	if err != nil {
		return err
	}
	return k.follow(ctx, c, o.Transcript)
}

// follow writes the transcript until the connection has closed. When ctx is
// done before, it resets it.
func (k *client) follow(ctx context.Context, c *proactor.Conn, transcript io.Writer) error {
	var failed error
	write := func(text string) {
		if _, err := io.WriteString(transcript, text); failed == nil && err != nil {
			failed = fmt.Errorf("greet: transcript: %w", err)
		}
	}
	done := ctx.Done()
	for {
		select {
		case text := <-k.said:
			write(text)
		case <-done:
			done = nil
			c.Post(func() { k.give(c, ctx.Err()) })
		case err := <-k.ended:
			for len(k.said) > 0 {
				write(<-k.said)
			}
			return errors.Join(err, failed)
		}
	}
}

// data answers what has come of the script.
func (k *client) data(c *proactor.Conn, p []byte) int {
	n, answer, ok := k.hear(p)
	if len(answer) > 0 {
		c.Write([]byte(answer))
	}
	switch {
	case !ok:
		k.give(c, ErrScript)
	case k.step == len(script):
		c.Close()
		return len(p) // after Goodbye nobody listens
	}
	return n
}

// hear compares what comes with the script, as far as that goes; n bytes of it
// are done with. The server's words may arrive in any pieces: what is not a
// whole answer yet is left, and shown again with more. Unless ok the server did
// not keep to the script.
func (k *client) hear(p []byte) (n int, answer string, ok bool) {
	for k.step < len(script) {
		now := script[k.step]
		k.part = string(p[n:min(len(p), n+len(now.hear))])
		if k.part != now.hear {
			return n, answer, strings.HasPrefix(now.hear, k.part)
		}
		n += len(now.hear)
		k.part = ""
		k.step++
		answer += now.say
		k.said <- "< " + now.hear
		k.said <- "> " + now.say
	}
	return n, answer, true
}

// left is called when the server has closed before the end.
func (k *client) left(c *proactor.Conn, why error) {
	if errors.Is(why, proactor.ErrPeerClosed) {
		why = fmt.Errorf("%w: it closed", ErrScript)
	}
	k.fault = why
	c.Close()
}

// give gives the conversation up.
func (k *client) give(c *proactor.Conn, why error) {
	if k.fault == nil {
		k.fault = why
	}
	c.Abort()
}

// closed is the end of it, for whatever reason.
func (k *client) closed(_ *proactor.Conn, cause error) {
	if k.fault != nil {
		cause = k.fault
	}
	switch {
	case k.step < len(script):
		k.ended <- fmt.Errorf("greet: waiting for %q, got %q: %w", script[k.step].hear, k.part, cause)
	case errors.Is(cause, proactor.ErrLocalClosed):
		k.ended <- nil
	default:
		k.ended <- fmt.Errorf("greet: after %q: %w", Goodbye, cause)
	}
}
