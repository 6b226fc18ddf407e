package work

import (
	"container/list"
	"context"
	"runtime/debug"
	"time"

	"github.com/proactor-go/proactor"
)

// lane is a connection, as the pool sees it: its messages, one after the
// other. The pool's mu guards it.
type lane struct {
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
	place    int // 0: not in it

	paused   bool          // the connection is not read
	parked   *list.Element // nil: its own messages have to become fewer first
	granted  bool          // it was resumed, and room is kept for it
	grant    int           // bytes of that
	resumes  uint64        // how often it was
	lastSize int           // bytes of the newest message

	ends    []error // what Ended is to be called with when all is served
	telling bool    // a task of the loop's will do that
	refused bool    // a message was dropped: it is closed when those before are served
	failed  bool    // nothing more is served, and the pool closes the connection
	cause   error   // why
	closed  bool
}

// laneOf finds the lane of a connection that has not closed. mu is held.
func (p *Pool) laneOf(s *service, c *proactor.Conn) *lane {
	l := p.lanes[c]
	if l == nil {
		l = &lane{service: s, conn: c}
		p.lanes[c] = l
	}
	return l
}

// busy reports whether there is anything to serve, or being served.
func (l *lane) busy() bool { return l.current != nil || l.first != nil }

// add puts a message at the end. mu is held.
func (l *lane) add(t *transfer) {
	p := l.service.pool
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(p.ctx)
	}
	first := !l.busy()
	if l.first == nil {
		l.first = t
	} else {
		l.last.next = t
	}
	l.last = t
	l.waiting++
	l.lastSize = len(t.msg)
	p.stats.Waiting++
	p.stats.WaitingBytes += len(t.msg)
	if first {
		l.ready()
	}
}

// ready puts the lane in the run queue. mu is held.
func (l *lane) ready() {
	p := l.service.pool
	p.queue.push(l, p.now(), headStart(l.first.priority, p.cfg.Aging))
}

// take takes the first message. mu is held.
func (l *lane) take() *transfer {
	p, t := l.service.pool, l.first
	if l.first = t.next; l.first == nil {
		l.last = nil
	}
	t.next = nil
	l.waiting--
	p.stats.Waiting--
	p.stats.WaitingBytes -= len(t.msg)
	return t
}

// drop drops all that waits. mu is held.
func (l *lane) drop() {
	p := l.service.pool
	p.queue.remove(l)
	for l.first != nil {
		p.buffers.put(l.take())
		p.stats.Dropped++
	}
	l.unpause()
}

// fail says that nothing more of the connection is served, and why; the caller
// closes it. mu is held.
func (l *lane) fail(cause error) {
	l.drop()
	l.failed = true
	if l.cause == nil {
		l.cause = cause
	}
}

// pauseIfFull stops reads when as much waits as may. On the loop, in the
// callback that brought a message: no other comes after it. mu is held.
func (l *lane) pauseIfFull() {
	p := l.service.pool
	own := l.waiting >= p.cfg.PerConn
	if l.paused || !own && p.stats.Waiting < p.cfg.Queue && p.stats.WaitingBytes < p.cfg.QueueBytes {
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
	l.paused = true
	p.stats.Paused++
	p.stats.note()
	l.conn.PauseRead()
	if !own {
		l.park()
	}
}

// park has a paused connection wait for room behind those that do so already.
// mu is held.
func (l *lane) park() { l.parked = l.service.pool.parked.PushBack(l) }

// unpause ends a pause in the books. mu is held.
func (l *lane) unpause() {
	p := l.service.pool
	if !l.paused {
		return
	}
	l.paused = false
	p.stats.Paused--
	if l.parked != nil {
		p.parked.Remove(l.parked)
		l.parked = nil
	}
}

// serve runs Serve for the current message, on a worker, which alone touches
// that and its number meanwhile. A panic is an error, too.
func (l *lane) serve() (panicked *proactor.PanicError, err error) {
	defer func() {
		if v := recover(); v != nil {
			panicked = &proactor.PanicError{Value: v, Stack: debug.Stack()}
			err = panicked
		}
	}()
	return nil, l.service.Serve(l.ctx, Request{Conn: l.conn, Msg: l.current.msg, N: l.served})
}

// settle notes how the Serve of the current message has ended, and does what
// follows. On a worker. mu is held, but not while it closes or posts.
func (p *Pool) settle(l *lane, panicked *proactor.PanicError, err error) {
	p.buffers.put(l.current)
	l.current = nil
	p.stats.Busy--
	p.stats.Served++
	if panicked != nil {
		p.stats.Panics++
	}
	if err != nil {
		p.stats.Failed++
		l.fail(err)
	}
	var act func()
	switch {
	case panicked != nil:
		act = func() { p.passOn(l.conn, panicked) }
	case l.closed:
	case l.failed:
		act = l.conn.Close
	case l.first != nil:
		l.ready()
	case l.refused:
		l.fail(ErrPoolClosed)
		act = l.conn.Close
	case len(l.ends) > 0:
		l.telling = true
		act = func() { l.conn.Post(l.tell) }
	}
	if err == nil && act == nil {
		return
	}
	p.unlock()
	if err != nil && panicked == nil {
		p.cfg.Log.Debug("Serve failed", "conn", l.conn.ID(), "peer", l.conn.RemoteAddr(), "err", err)
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
func (l *lane) tell() {
	p := l.service.pool
	for {
		p.mu.Lock()
		if l.closed || len(l.ends) == 0 {
			l.telling = false
			p.mu.Unlock()
			return
		}
		why := l.ends[0]
		l.ends = l.ends[1:]
		p.mu.Unlock()
		l.end(why)
	}
}

// end makes one call of Ended, or closes in its place. On the loop.
func (l *lane) end(why error) {
	if f := l.service.Ended; f != nil {
		f(l.conn, why)
		return
	}
	p := l.service.pool
	p.mu.Lock()
	if l.cause == nil {
		l.cause = why
	}
	p.mu.Unlock()
	l.conn.Close()
}
