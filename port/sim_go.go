package port

import (
	"time"

	"github.com/proactor-go/proactor/internal/goid"
)

// Go runs f soon, on a goroutine of its own, at an instant at which nothing else happens.
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

// Sleep waits until d has passed. Nothing else happens on the network at the instant at which
// it returns. So Sleep(0) waits until all other goroutines wait. A goroutine that was
// woken by another one must call it before it calls an engine or a port; otherwise the run may
// depend on which of the two is faster.
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

// tick carries out the events that are due.
func (n *Sim) tick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for e := n.clock.due(); e != nil; e = n.clock.due() {
		e.do()
	}
}
