package work

import (
	"runtime/debug"
	"slices"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
)

// worker is a goroutine that serves the queues of connections.
type worker struct {
	next  chan *connQueue // of one place: the queue to serve next; nil: end
	timer *time.Timer     // fires when the worker was idle for too long
}

// dispatch gives ready queues to idle workers, and to new ones. mu is held.
func (p *Pool) dispatch() {
	for p.queue.len() > 0 {
		if last := len(p.idle) - 1; last >= 0 {
			w := p.idle[last]
			p.idle[last] = nil
			p.idle = p.idle[:last]
			w.next <- p.begin()
		} else if p.stats.Workers < p.cfg.Max {
			p.stats.Workers++
			go p.work(p.begin())
		} else {
			break
		}
	}
	p.stats.note()
}

// begin takes the next connection off the run queue, and makes its first message the
// current one. mu is held.
func (p *Pool) begin() *connQueue {
	q := p.queue.pop()
	q.current = q.take()
	q.served++
	p.stats.Busy++
	if q.paused && q.parked == nil && q.waiting <= p.cfg.PerConn/2 {
		q.park()
	}
	return q
}

// work is a worker's goroutine. It serves q first.
func (p *Pool) work(q *connQueue) {
	w := &worker{next: make(chan *connQueue, 1)}
	goid.Own(p)
	defer goid.Disown()
	defer func() {
		if q != nil { // Serve has ended the goroutine
			p.exited(q)
		}
	}()
	for q != nil {
		panicked, err := q.serve()
		next, idle := p.finish(w, q, panicked, err)
		if q = next; idle {
			q = p.await(w)
		}
	}
}

// finish is called when a queue's Serve has ended. It gives the worker's next
// queue; there is none when it has become idle, or has to end.
func (p *Pool) finish(w *worker, q *connQueue, panicked *proactor.PanicError, err error) (next *connQueue, idle bool) {
	p.mu.Lock()
	defer p.unlock()
	p.settle(q, panicked, err)
	switch {
	case p.queue.len() > 0:
		return p.begin(), false
	case p.closing:
		p.stats.Workers--
		p.endIfLast()
		return nil, false
	}
	p.idle = append(p.idle, w)
	return nil, true
}

// exited is called when Serve has ended the worker's goroutine, which counts as a panic.
func (p *Pool) exited(q *connQueue) {
	p.mu.Lock()
	why := &proactor.PanicError{Value: proactor.ErrGoexit, Stack: debug.Stack()}
	p.settle(q, why, why)
	p.stats.Workers--
	p.dispatch()
	p.endIfLast()
	p.unlock()
}

// endIfLast ends a shutdown when no worker is left. mu is held.
func (p *Pool) endIfLast() {
	if !p.closing || p.stats.Workers > 0 {
		return
	}
	select {
	case <-p.done:
	default:
		p.giveUp() // which frees the context
		close(p.done)
	}
}

// await waits until an idle worker is given a queue; nil: it has to end.
func (p *Pool) await(w *worker) *connQueue {
	if w.timer == nil {
		w.timer = time.NewTimer(p.cfg.IdleAfter)
	} else {
		w.timer.Reset(p.cfg.IdleAfter)
	}
	select {
	case q := <-w.next:
		w.timer.Stop()
		return q
	case <-w.timer.C:
	}
	if p.retire(w) {
		return nil
	}
	// At most Min workers wait here, and one that was given a queue at this moment.
	return <-w.next
}

// retire ends a worker, unless it is needed.
func (p *Pool) retire(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.idle, w)
	if i < 0 || p.stats.Workers <= p.cfg.Min {
		return false
	}
	p.idle = slices.Delete(p.idle, i, i+1)
	p.stats.Workers--
	return true
}
