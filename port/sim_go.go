package port

import (
	"time"

	"github.com/proactor-go/proactor/internal/goid"
)

// Go runs f on a goroutine of its own, at a time of its own, soon.
func (n *Sim) Go(f func()) {
	if n.clock == nil {
		go f()
		return
	}
	n.mu.Lock()
	number := n.number()
	n.mu.Unlock()
	n.after(number, 0, func() {
		go func() {
			id := goid.Current()
			n.mu.Lock()
			n.started[id] = number
			n.mu.Unlock()
			defer func() {
				n.mu.Lock()
				delete(n.started, id)
				n.mu.Unlock()
			}()
			f()
		}()
	})
}

// Sleep waits until d has passed. Nothing else on the network happens at the
// instant at which it returns: so with 0 it waits for the others to wait again,
// as whoever was woken by another goroutine has to before it asks an engine or a
// port for something, or the run may depend on which of the two is faster.
func (n *Sim) Sleep(d time.Duration) {
	if n.clock == nil {
		time.Sleep(d)
		return
	}
	id := goid.Current() // goroutines of Go may be woken at the same instant
	n.mu.Lock()
	number := n.started[id]
	n.mu.Unlock()
	done := make(chan struct{})
	n.after(number, d, func() { close(done) })
	<-done
}

// after has f happen when d has passed, at a time of the number's, unless stop
// was called by then. f must not wait.
func (n *Sim) after(number uint64, d time.Duration, f func()) (stop func()) {
	if n.clock == nil {
		t := time.AfterFunc(d, f)
		return func() { t.Stop() }
	}
	e := &simEvent{do: f}
	n.clock.set(e, number, d, 0)
	return func() { n.clock.cancel(e) }
}

// tick carries out what is due.
func (n *Sim) tick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for e := n.clock.due(); e != nil; e = n.clock.due() {
		e.do()
	}
}
