package work

import (
	"errors"
	"slices"
	"time"

	"github.com/proactor-go/proactor"
)

// worker is a goroutine that serves lanes.
type worker struct {
	next  chan *lane  // of one place: what to serve; nil: to end
	timer *time.Timer // fires when it was idle for too long
}

// errExited is the error of a Serve that ended its goroutine.
var errExited = errors.New("work: Serve called runtime.Goexit")

// dispatch gives ready lanes to idle workers, and to new ones. mu is held.
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

// begin takes the next lane off the queue, and its first message is that which
// is being served. mu is held.
func (p *Pool) begin() *lane {
	l := p.queue.pop()
	l.current = l.take()
	l.served++
	p.stats.Busy++
	if l.paused && l.parked == nil && l.waiting <= p.cfg.PerConn/2 {
		l.park()
	}
	return l
}

// work is a worker's goroutine. Its first lane is l.
func (p *Pool) work(l *lane) {
	w := &worker{next: make(chan *lane, 1)}
	defer func() {
		if l != nil { // Serve does not come back
			p.exited(l)
		}
	}()
	for l != nil {
		panicked, err := l.serve()
		next, idle := p.finish(w, l, panicked, err)
		if l = next; idle {
			l = p.await(w)
		}
	}
}

// finish is called when a lane's Serve has ended. It gives the worker's next
// lane; there is none when it has become idle, or has to end.
func (p *Pool) finish(w *worker, l *lane, panicked *proactor.PanicError, err error) (next *lane, idle bool) {
	p.mu.Lock()
	defer p.unlock()
	p.settle(l, panicked, err)
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

// exited is called when Serve has ended the worker's goroutine.
func (p *Pool) exited(l *lane) {
	p.mu.Lock()
	p.settle(l, nil, errExited)
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

// await waits until an idle worker is given a lane; nil: it has to end.
func (p *Pool) await(w *worker) *lane {
	if w.timer == nil {
		w.timer = time.NewTimer(p.cfg.IdleAfter)
	} else {
		w.timer.Reset(p.cfg.IdleAfter)
	}
	select {
	case l := <-w.next:
		w.timer.Stop()
		return l
	case <-w.timer.C:
	}
	if p.retire(w) {
		return nil
	}
	// Min workers wait here at the most, or it was given a lane this moment.
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
