package work

import (
	"context"
	"errors"

	"github.com/proactor-go/proactor"
)

// Request is one message of a connection, for Serve.
type Request struct {
	// Conn is the connection that the message came on. The worker may write
	// answers to it at any time.
	Conn *proactor.Conn
	// Msg is the message, in a transfer buffer. Serve may change it. It is valid
	// until Serve returns.
	Msg []byte
	// N is the number of the message on its connection; the first has 1.
	N int64
}

// Handler is a proactor.Handler whose messages workers serve.
type Handler struct {
	// Handler has the callbacks of the loop, which must not block. Split or NewSplit must
	// be set; Data and Message must not.
	//
	// Ended is called after the last message was served; replies that were written before
	// go out first. If Ended is nil, the connection is closed then. It is not
	// called after Serve has failed.
	//
	// Closed may be called while Serve still runs for the connection; the context of that
	// Serve is done by then. If Serve has failed, its error is the cause.
	proactor.Handler

	// Serve serves one message, on a worker, and may block. Messages of one
	// connection are served one at a time, in their order.
	//
	// To answer, Write to the Conn. While Limits.HighWater or more waits to be sent, the
	// connection is not read, but messages that have arrived are still served. So
	// Limits.MaxPending should have room, above HighWater, for the answers to Config.PerConn
	// messages. WriteContext needs no such room, but a peer that does not read then
	// keeps a worker busy until ctx is done.
	//
	// ctx is done when the connection has closed, or when the pool's Shutdown runs out of time. An
	// error ends the connection: messages that wait are dropped, replies that were written go
	// out, then the connection is closed. A panic is logged, and resets the connection with a
	// *[proactor.PanicError] as the cause, like the panic of a callback. So does a call of
	// runtime.Goexit.
	Serve func(ctx context.Context, r Request) error

	// Priority returns how urgent a message is: 0 is usual, more is sooner. It is called on the
	// loop, must not block, and must not keep msg. Each step is worth Config.Aging of waiting
	// time: a message of priority 3 goes before those of priority 0 of other connections, except
	// those that entered the run queue more than 3 × Aging earlier. nil: all messages have
	// priority 0.
	Priority func(msg []byte) int
}

// service is a Handler, in a pool.
type service struct {
	pool *Pool
	Handler
}

// Handler makes a handler for servers and dialers whose messages this pool serves. The result may
// be used by any number of them. Handler panics if h lacks Serve or a split function, or has Data
// or Message.
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

// message hands one message over to the workers. This and the functions that follow run
// on the loop.
func (s *service) message(c *proactor.Conn, msg []byte) {
	p, priority := s.pool, 0
	if s.Priority != nil {
		priority = s.Priority(msg)
	}
	t := p.buffers.copyOf(msg)
	t.priority = priority

	p.mu.Lock()
	q := p.queueOf(s, c)
	p.grants.takeBack(q)
	switch {
	case p.closing:
		q.refuse(t, ErrPoolClosed)
	case t.memory() > p.cfg.MaxBytes-p.stats.Memory:
		q.refuse(t, ErrNoRoom)
	case q.failed || q.refused != nil:
		q.refuse(t, nil) // what comes after what was dropped would leave a hole
	default:
		q.add(t)
		p.dispatch()
		q.pauseIfFull()
		p.unlock()
	}
}

// ended runs the user's Ended when the queue is done.
func (s *service) ended(c *proactor.Conn, why error) {
	p := s.pool
	p.mu.Lock()
	q := p.queueOf(s, c)
	switch {
	case q.failed: // it is being closed
		p.mu.Unlock()
	case q.busy() || q.telling:
		q.ends = append(q.ends, why)
		p.mu.Unlock()
	default:
		p.mu.Unlock()
		q.end(why)
	}
}

// closed forgets the queue.
func (s *service) closed(c *proactor.Conn, cause error) {
	p := s.pool
	p.mu.Lock()
	q := p.queues[c]
	if q != nil {
		delete(p.queues, c)
		q.closed = true
		q.drop()
		p.grants.takeBack(q)
		if q.cause != nil && errors.Is(cause, proactor.ErrLocalClosed) {
			cause = q.cause
		}
	}
	p.unlock()
	if q != nil && q.cancel != nil {
		q.cancel()
	}
	if s.Closed != nil {
		s.Closed(c, cause)
	}
}
