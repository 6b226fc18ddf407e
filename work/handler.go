package work

import (
	"context"
	"errors"

	"github.com/proactor-go/proactor"
)

// Request is one message of a connection, for Serve.
type Request struct {
	// Conn is the connection that the message came on. Answers may be written to
	// it by the worker, at any time.
	Conn *proactor.Conn
	// Msg is the message, in a transfer buffer. It may be changed, and is valid
	// until Serve returns.
	Msg []byte
	// N counts the messages of the connection; that of the first is 1.
	N int64
}

// Handler is a proactor.Handler whose messages are served by workers.
type Handler struct {
	// Handler has the callbacks that are made on the loop, as usual: they must
	// not block. Split or NewSplit must be set; Data and Message must not.
	//
	// Ended is called after the last message was served: what was written
	// before goes out first. Where it is nil, the connection is closed then. It is
	// not called after Serve has failed.
	//
	// Closed may be called while Serve runs for the connection, whose context
	// is done then. Its cause is what Serve has failed with, if it did.
	proactor.Handler

	// Serve serves one message, on a worker, and may block. Messages of one
	// connection are served one at a time, in their order.
	//
	// To answer, Write to the Conn. While Limits.HighWater or more waits to be
	// sent, nothing more is read, but messages that wait are served: so
	// Limits.MaxPending should have room for the answers to Config.PerConn
	// of them beyond. WriteContext needs no such room, but then a peer that does
	// not read keeps a worker, until ctx is done.
	//
	// ctx is done when the connection has closed, or the pool gives up. An error
	// ends the connection: messages that wait are dropped, what was written goes
	// out, then it is closed. A panic is logged, and aborts the connection with
	// a *[proactor.PanicError] as its cause, like that of a callback.
	Serve func(ctx context.Context, r Request) error

	// Priority tells, on the loop, how urgent a message is: 0 is usual, more is
	// sooner. Each step is worth Config.Aging of waiting time: a message of
	// priority 3 goes before those of priority 0 of other connections, but for
	// those that began to wait for their turn more than 3 × Aging earlier. It must
	// not keep msg. nil: all have 0.
	Priority func(msg []byte) int
}

// service is a Handler, in a pool.
type service struct {
	pool *Pool
	Handler
}

// Handler makes the handler of a server or dialer whose messages this pool
// serves. It may be given to several. It panics if h lacks Serve or a split
// function, or has Data or Message.
func (p *Pool) Handler(h Handler) proactor.Handler {
	switch {
	case h.Serve == nil:
		panic("work: Handler without Serve")
	case h.Split == nil && h.NewSplit == nil:
		panic("work: Handler without Split or NewSplit")
	case h.Data != nil || h.Message != nil:
		panic("work: Handler with Data or Message, which would never be called")
	}
	s := &service{pool: p, Handler: h}
	on := h.Handler
	on.Message, on.Ended, on.Closed = s.message, s.ended, s.closed
	return on
}

// message hands one message over to the workers. On the loop, as all that
// follows.
func (s *service) message(c *proactor.Conn, msg []byte) {
	p, priority := s.pool, 0
	if s.Priority != nil {
		priority = s.Priority(msg)
	}
	t := p.buffers.copyOf(msg)
	t.priority = priority

	p.mu.Lock()
	l := p.laneOf(s, c)
	p.grants.takeBack(l)
	if p.closing || l.failed {
		p.buffers.put(t)
		p.stats.Dropped++
		l.refused = true
		now := !l.failed && !l.busy()
		if now {
			l.fail(ErrPoolClosed)
		}
		p.unlock()
		if now {
			c.Close()
		}
		return
	}
	l.add(t)
	p.dispatch()
	l.pauseIfFull()
	p.unlock()
}

// ended runs the user's Ended when the lane is done.
func (s *service) ended(c *proactor.Conn, why error) {
	p := s.pool
	p.mu.Lock()
	l := p.laneOf(s, c)
	switch {
	case l.failed: // it is being closed
		p.mu.Unlock()
	case l.busy() || l.telling:
		l.ends = append(l.ends, why)
		p.mu.Unlock()
	default:
		p.mu.Unlock()
		l.end(why)
	}
}

// closed forgets the lane.
func (s *service) closed(c *proactor.Conn, cause error) {
	p := s.pool
	p.mu.Lock()
	l := p.lanes[c]
	if l != nil {
		delete(p.lanes, c)
		l.closed = true
		l.drop()
		p.grants.takeBack(l)
		if l.cause != nil && errors.Is(cause, proactor.ErrLocalClosed) {
			cause = l.cause
		}
	}
	p.unlock()
	if l != nil && l.cancel != nil {
		l.cancel()
	}
	if s.Closed != nil {
		s.Closed(c, cause)
	}
}
