package greet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
)

// ClientOptions say whom the client talks to.
type ClientOptions struct {
	// Network is "tcp" or "unix". Empty: "tcp".
	Network string
	// Addr is "host:port", or a path.
	Addr string
	// Timeout bounds the whole conversation, the connect included. 0: 10 s.
	Timeout time.Duration
	// Transcript gets a line for each thing that was said, "< " before the server's
	// and "> " before the client's. What the server says otherwise than the script has
	// it is quoted, as Go does. nil: none is kept.
	Transcript io.Writer
	// Engine carries the connection. nil: one of the client's own.
	Engine *proactor.Engine
}

// ErrScript says that the server did not keep to the script; the error that
// wraps it tells where.
var ErrScript = errors.New("the server did not keep to the script")

// script is the conversation as the client has it. It goes on once so many bytes have
// come, whatever they say.
var script = [...]struct {
	hear  string
	least int
	say   string
}{
	{ServerHello, len(ServerHello), ClientHello},
	{SayGoodbye, 1, Goodbye},
}

// client is one conversation. Its fields belong to the connection's loop.
type client struct {
	step int    // of script
	part []byte // what came of the answer that is awaited or, at the end, after it
	// said takes all of the conversation without waiting: a callback must not
	// wait for the reader of the transcript.
	said  chan string
	ended chan error // takes one, at the end
	fault error      // why it ended early
	wrong error      // where it first left the script
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
	c, err := d.Dial(ctx, cmp.Or(o.Network, "tcp"), o.Addr)
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

// data answers what has come, and closes after Goodbye. But the words that this answers
// may be on their way yet: then it listens until it has them, or the server closes.
func (k *client) data(c *proactor.Conn, p []byte) int {
	answer := k.hear(p)
	if len(answer) > 0 {
		c.Write([]byte(answer))
	}
	if k.step == len(script) {
		if len(k.part) < len(SayGoodbye) {
			c.CloseWrite()
		} else {
			c.Close()
		}
	}
	return len(p)
}

// hear notes what came, as far as the script has words for it, and answers. The server's
// words may arrive in any pieces.
func (k *client) hear(p []byte) (answer string) {
	for len(p) > 0 {
		now := script[min(k.step, len(script)-1)]
		n := min(len(p), max(len(now.hear)-len(k.part), 0))
		k.part, p = append(k.part, p[:n]...), p[n:]
		if k.step == len(script) {
			return answer // anything beyond is not looked at
		}
		if len(k.part) < now.least {
			return answer
		}
		answer += now.say
		k.step++
		if k.step < len(script) {
			k.turn(now.hear, now.say)
		}
	}
	return answer
}

// turn notes what was said, one after the other.
func (k *client) turn(hear, say string) {
	heard := string(k.part)
	if k.part = k.part[:0]; heard != hear {
		if k.wrong == nil {
			k.wrong = fmt.Errorf("%w: it said %q, not %q", ErrScript, heard, hear)
		}
		heard = strconv.Quote(heard) + "\n"
	}
	k.said <- "< " + heard
	k.said <- "> " + say
}

// left is called when the server has closed.
func (k *client) left(c *proactor.Conn, why error) {
	switch {
	case k.step == len(script):
	case errors.Is(why, proactor.ErrPeerClosed):
		k.fault = fmt.Errorf("%w: it closed", ErrScript)
	default:
		k.fault = why
	}
	c.Close()
}

// give gives the conversation up.
func (k *client) give(c *proactor.Conn, why error) {
	if k.fault == nil {
		k.fault = why
	}
	c.Abort()
}

// closed is the end of it, for whatever reason. After Goodbye the server may close as it
// likes.
func (k *client) closed(_ *proactor.Conn, cause error) {
	if k.fault != nil {
		cause = k.fault
	}
	if k.step < len(script) {
		k.ended <- fmt.Errorf("greet: waiting for %q, got %q: %w", script[k.step].hear, k.part, cause)
		return
	}
	last := script[len(script)-1]
	clean := errors.Is(cause, proactor.ErrLocalClosed) || errors.Is(cause, proactor.ErrPeerClosed)
	if clean || !strings.HasPrefix(last.hear, string(k.part)) || len(k.part) == len(last.hear) {
		k.turn(last.hear, last.say) // else it was cut off
	}
	switch {
	case k.wrong != nil:
		k.ended <- fmt.Errorf("greet: %w", k.wrong)
	case clean:
		k.ended <- nil
	default:
		k.ended <- fmt.Errorf("greet: after %q: %w", Goodbye, cause)
	}
}
