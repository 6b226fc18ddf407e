package work

import (
	"container/list"
	"context"
	"runtime/debug"
	"time"

	"github.com/proactor-go/proactor"
)

// connQueue is a connection as the pool sees it: its messages, which are served one after
// the other. The pool's mu guards it.
type connQueue struct {
	service *service
	conn    *proactor.Conn
	ctx     context.Context // of its Serves; nil before the first message
	cancel  context.CancelFunc

	first, last *transfer // those that wait
	waiting     int
	current     *transfer // that which is being served, by one worker
	served      int64     // messages whose Serve was called

	// Place in the run queue.
	key      time.Duration // what the queue is ordered by
	sequence uint64
	position int // 1 and up; 0: not in it

	paused   bool          // the connection is not read
	parked   *list.Element // nil: its own messages have to become fewer first
	granted  bool          // it was resumed, and room is kept for it
	grant    int           // bytes of that
	resumes  uint64        // how often it was
	lastSize int           // bytes of the newest message

	ends    []error // what Ended is to be called with when all is served
	telling bool    // a task of the loop's will do that
	refused error   // why a message was dropped: it is closed when those before are served
	failed  bool    // nothing more is served, and the pool closes the connection
	cause   error   // why
	closed  bool
}

// queueOf finds the queue of a connection that has not closed. mu is held.
func (p *Pool) queueOf(s *service, c *proactor.Conn) *connQueue {
	q := p.queues[c]
	if q == nil {
		q = &connQueue{service: s, conn: c}
		p.queues[c] = q
	}
	return q
}

// busy reports whether there is anything to serve, or being served.
func (q *connQueue) busy() bool { return q.current != nil || q.first != nil }

// add puts a message at the end. mu is held.
func (q *connQueue) add(t *transfer) {
	p := q.service.pool
	if q.ctx == nil {
		q.ctx, q.cancel = context.WithCancel(p.ctx)
	}
	first := !q.busy()
	if q.first == nil {
		q.first = t
	} else {
		q.last.next = t
	}
	q.last = t
	q.waiting++
	q.lastSize = len(t.msg)
	p.stats.Waiting++
	p.stats.WaitingBytes += len(t.msg)
	p.stats.Memory += t.memory()
	if first {
		q.ready()
	}
}

// refuse drops a message, in a callback of the connection, which is closed for that
// when all before it is served. mu is held, and given up.
func (q *connQueue) refuse(t *transfer, why error) {
	p := q.service.pool
	p.buffers.put(t)
	p.stats.Dropped++
	if q.refused == nil {
		q.refused = why
	}
	open, busy := !q.failed, q.busy()
	if open && !busy {
		q.fail(q.refused)
	}
	p.unlock()
	switch {
	case open && busy:
		q.conn.PauseRead() // nothing more of it will be served
	case open:
		q.conn.Close()
	}
}

// ready puts the queue in the run queue. mu is held.
func (q *connQueue) ready() {
	p := q.service.pool
	p.queue.push(q, p.now(), headStart(q.first.priority, p.cfg.Aging))
}

// take takes the first message. mu is held.
func (q *connQueue) take() *transfer {
	p, t := q.service.pool, q.first
	if q.first = t.next; q.first == nil {
		q.last = nil
	}
	t.next = nil
	q.waiting--
	p.stats.Waiting--
	p.stats.WaitingBytes -= len(t.msg)
	return t
}

// drop drops all that waits. mu is held.
func (q *connQueue) drop() {
	p := q.service.pool
	p.queue.remove(q)
	for q.first != nil {
		p.free(q.take())
		p.stats.Dropped++
	}
	q.unpause()
}

// fail says that nothing more of the connection is served, and why; the caller
// closes it. mu is held.
func (q *connQueue) fail(cause error) {
	q.drop()
	q.failed = true
	if q.cause == nil {
		q.cause = cause
	}
}

// pauseIfFull stops reads when as much waits as may. On the loop, in the
// callback that brought a message: no other comes after it. mu is held.
func (q *connQueue) pauseIfFull() {
	p := q.service.pool
	own := q.waiting >= p.cfg.PerConn
	if q.paused || !own && p.stats.Waiting < p.cfg.Queue && p.stats.WaitingBytes < p.cfg.QueueBytes {
		return
	}
	switch {
	case own:
		p.stats.StoppedByPerConn++
	case p.stats.Waiting >= p.cfg.Queue:
		p.stats.StoppedByQueue++
	default:
		p.stats.StoppedByQueueBytes++
	}
	q.paused = true
	p.stats.Paused++
	p.stats.note()
	q.conn.PauseRead()
	if !own {
		q.park()
	}
}

// park has a paused connection wait for room behind those that do so already.
// mu is held.
func (q *connQueue) park() { q.parked = q.service.pool.parked.PushBack(q) }

// unpause ends a pause in the books. mu is held.
func (q *connQueue) unpause() {
	p := q.service.pool
	if !q.paused {
		return
	}
	q.paused = false
	p.stats.Paused--
	if q.parked != nil {
		p.parked.Remove(q.parked)
		q.parked = nil
	}
}

// serve runs Serve for the current message, on a worker, which alone touches
// that and its number meanwhile. A panic is an error, too.
func (q *connQueue) serve() (panicked *proactor.PanicError, err error) {
	defer func() {
		if v := recover(); v != nil {
			panicked = &proactor.PanicError{Value: v, Stack: debug.Stack()}
			err = panicked
		}
	}()
	return nil, q.service.Serve(q.ctx, Request{Conn: q.conn, Msg: q.current.msg, N: q.served})
}

// settle notes how the Serve of the current message has ended, and does what
// follows. On a worker. mu is held, but not while it closes or posts.
func (p *Pool) settle(q *connQueue, panicked *proactor.PanicError, err error) {
	p.free(q.current)
	q.current = nil
	p.stats.Busy--
	p.stats.Served++
	if panicked != nil {
		p.stats.Panics++
	}
	if err != nil {
		p.stats.Failed++
		q.fail(err)
	}
	var act func()
	switch {
	case panicked != nil:
		act = func() { p.passOn(q.conn, panicked) }
	case q.closed:
	case q.failed:
		act = func() { q.conn.Close() }
	case q.first != nil:
		q.ready()
	case q.refused != nil:
		q.fail(q.refused)
		act = func() { q.conn.Close() }
	case len(q.ends) > 0:
		q.telling = true
		act = func() { q.conn.Post(q.tell) }
	}
	if err == nil && act == nil {
		return
	}
	p.unlock()
	if err != nil && panicked == nil {
		p.cfg.Log.Debug("Serve failed", "conn", q.conn.ID(), "peer", q.conn.RemoteAddr(), "err", err)
	}
	if act != nil {
		act()
	}
	p.mu.Lock()
}

// passOn has the loop end a connection as if a callback had panicked, which is
// logged there. When the loop is gone, so is the connection.
func (p *Pool) passOn(c *proactor.Conn, panicked *proactor.PanicError) {
	if c.Post(func() { panic(panicked) }) != nil {
		p.cfg.Log.Error("Serve panicked", "conn", c.ID(), "peer", c.RemoteAddr(), "panic", panicked.Value, "stack", string(panicked.Stack))
	}
}

// tell makes the calls of Ended that had to wait. On the loop.
func (q *connQueue) tell() {
	p := q.service.pool
	for {
		p.mu.Lock()
		if q.closed || len(q.ends) == 0 {
			q.telling = false
			p.mu.Unlock()
			return
		}
		why := q.ends[0]
		q.ends = q.ends[1:]
		p.mu.Unlock()
		q.end(why)
	}
}

// end makes one call of Ended, or closes in its place. On the loop.
func (q *connQueue) end(why error) {
	if f := q.service.Ended; f != nil {
		f(q.conn, why)
		return
	}
	p := q.service.pool
	p.mu.Lock()
	if q.cause == nil {
		q.cause = why
	}
	p.mu.Unlock()
	q.conn.Close()
}
