package proactor

import "fmt"

// Join makes a pair of two connections on one loop, see [Dialer.DialOn], as a proxy needs
// it: what arrives at one is relayed to the other, in both directions, as by
// [Conn.Relay], from now on and until the end of both.
//
// The end of a stream is passed on. When the peer of one has closed its sending side, what
// it sent goes out at the other, and then a FIN; the other direction goes on. When both
// have, both connections are closed, with [ErrPeerClosed] as the cause. A server's shutdown
// of one is passed on like its peer's FIN.
//
// Any other end of one resets the other, since its peer cannot be told in order: a reset, a
// timeout or a limit, Close, CloseWrite or Abort by this side, which needs to be called for
// one of them only. The cause of the other is a [JoinError] then, which has that of the
// first. A connection that is being closed already is left to that: so Close of both in one
// callback sends what waits at either.
//
// Of the handlers only Drained and Closed are called from now on: Join is in the place of
// Data, Message and Ended. What had arrived and was not consumed is relayed first. A
// connection whose reads are paused stays so: a proxy pauses its client until the server is
// there, loses nothing of it, also no FIN, and calls ResumeRead after Join.
//
// In a callback it takes effect at once. Elsewhere it waits for the loop, as Relay does.
// The errors are those of Relay, for either direction: [ErrOtherLoop], [ErrRelaying], also
// for a connection with itself, [ErrClosed] and [ErrOnLoop]. Then nothing was done.
func Join(a, b *Conn) error {
	if a.loop != b.loop {
		return ErrOtherLoop
	}
	return a.loop.call(func() error {
		if a == b {
			return ErrRelaying
		}
		if err := a.canRelay(b); err != nil {
			return err
		}
		if err := b.canRelay(a); err != nil {
			return err
		}
		j := &joint{a: a, b: b}
		a.remember().joint, b.remember().joint = j, j
		a.relayTo(b)
		b.relayTo(a)
		return nil
	})
}

// JoinError is the cause of a connection that was reset because the one that it was joined
// with has ended. For errors.Is it is [ErrRelayEnd], and the cause of that end.
type JoinError struct {
	Err error // why the other one has ended
}

func (e *JoinError) Error() string { return fmt.Sprintf("%v: %v", ErrRelayEnd, e.Err) }

// Unwrap gives both.
func (e *JoinError) Unwrap() []error { return []error{ErrRelayEnd, e.Err} }

// joint is what two connections that are joined have in common. It is of the loop's
// goroutine alone.
type joint struct {
	a, b         *Conn
	aOver, bOver bool // its stream has come to its end in order
}

// joined is the joint of a connection; nil: none.
func (c *Conn) joined() *joint {
	if c.kept == nil {
		return nil
	}
	return c.kept.joint
}

// of gives the other one, and whether the stream of each is over.
func (j *joint) of(c *Conn) (other *Conn, over, otherOver *bool) {
	if c == j.a {
		return j.b, &j.aOver, &j.bOver
	}
	return j.a, &j.bOver, &j.aOver
}

// ended is told of the end of a stream, in place of the handler.
func (j *joint) ended(c *Conn, why error) {
	other, over, otherOver := j.of(c)
	switch {
	case why != ErrPeerClosed && why != ErrServerClosed: // what is missing must not look like the end
		c.abort(why)
		other.resetWith(why)
	case *otherOver:
		c.close(why)
		other.close(ErrPeerClosed)
	default:
		*over = true
		other.CloseWrite()
	}
}

// gone is told when a connection is gone.
func (j *joint) gone(c *Conn, cause error) {
	other, _, _ := j.of(c)
	other.resetWith(cause)
}

// resetWith ends a connection whose other one has ended, unless it ends by itself.
func (c *Conn) resetWith(why error) {
	if !c.state.open() || c.departing() {
		return
	}
	if _, ok := why.(*JoinError); !ok {
		why = &JoinError{why}
	}
	c.abort(why)
}

// endOf is why a relay ends whose to takes nothing more.
func (r *relay) endOf() error {
	if r.to.joined() == nil {
		return ErrRelayEnd
	}
	r.to.mu.Lock()
	defer r.to.mu.Unlock()
	if why := r.to.closeCause(); why != nil {
		return &JoinError{why}
	}
	return ErrRelayEnd
}
