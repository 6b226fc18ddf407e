package soak

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// ending is how a connection ended, as the side that made it saw it.
type ending uint8

const (
	endOrderly ending = iota // all is answered, then the end of the stream
	endCut                   // the end of the stream before that
	endStopped               // by this side, which sent all that it had written
	endLeft                  // by this side, in one of the rude ways
	endBroken                // with an error
	endFailed                // a violation, which is noted already
	endings
)

// near is the account of the side that made a connection.
type near struct {
	sent, received int64
	end            ending
	err            error // of endBroken
	late           bool  // the server was being shut down when it ended
}

// far is that of the side that accepted it.
type far struct {
	received, written int64
	cause             error // as Closed was told; nil of a server without callbacks
	framework         bool  // there was a cause
}

// entry is a connection whose accounts are not both closed.
type entry struct {
	id   uint64
	way  *way
	gen  *generation // nil: of an outbound connection
	met  bool        // the far side knows which it is
	near *near
	far  *far
}

// wayCount is what became of the connections of one way.
type wayCount struct {
	opened int64
	ends   [endings]int64
	bytes  int64 // of connections that ended in good order
}

// ledger has an account of every byte.
type ledger struct {
	*verdict
	mu      sync.Mutex
	open    map[uint64]*entry
	ways    map[*way]*wayCount
	near    struct{ sent, received int64 } // of accounts that are closed
	far     struct{ received, written int64 }
	changed chan struct{} // has a token when an account was closed
}

func newLedger(v *verdict) *ledger {
	l := &ledger{verdict: v, open: map[uint64]*entry{}, ways: map[*way]*wayCount{}, changed: make(chan struct{}, 1)}
	for _, ways := range [][]*way{inbound, outbound} {
		for _, w := range ways {
			l.ways[w] = new(wayCount)
		}
	}
	return l
}

// finForReset: under Wine a peer that is reset is sometimes told that the stream has ended,
// whichever side reset it. Package net does no better there.
const finForReset = runtime.GOOS == "windows"

// begin opens the accounts of a connection.
func (l *ledger) begin(id uint64, w *way, g *generation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[id] = &entry{id: id, way: w, gen: g}
	l.ways[w].opened++
}

// meet tells the far side which way a connection is, whose number it has read;
// nil: there is no such connection, or another one is it.
func (l *ledger) meet(id uint64) *way {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.open[id]
	if e == nil || e.met {
		l.violated(invBytes, "a connection says that it is number %#x, which it is not", id)
		return nil
	}
	e.met = true
	return e.way
}

func (l *ledger) closeNear(id uint64, n near) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.open[id]
	e.near = &n
	l.near.sent += n.sent
	l.near.received += n.received
	l.ways[e.way].ends[n.end]++
	l.reconcile(e)
}

func (l *ledger) closeFar(id uint64, f far) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.open[id]
	if e == nil || e.far != nil {
		l.violated(invClosed, "connection %#x is closed again", id)
		return
	}
	e.far = &f
	l.far.received += f.received
	l.far.written += f.written
	l.reconcile(e)
}

// reconcile compares the accounts once both are closed. The lock is held.
func (l *ledger) reconcile(e *entry) {
	select {
	case l.changed <- struct{}{}:
	default:
	}
	if e.near == nil || e.far == nil {
		return
	}
	delete(l.open, e.id)
	n, f := e.near, e.far
	account := fmt.Sprintf("connection %#x (%s) sent %d bytes, of which %d were received, %d answered, %d came back; Closed: %v",
		e.id, e.way.name, n.sent, f.received, f.written, n.received, f.cause)
	if f.received > n.sent || n.received > f.written {
		l.violated(invBound, "%s", account)
	}
	stopped := f.framework && errors.Is(f.cause, proactor.ErrServerClosed) && e.gen.late()
	var panicked *proactor.PanicError
	reset := e.way.last == askPanic && errors.As(f.cause, &panicked) || e.way.last == askReset
	switch n.end {
	case endOrderly:
		l.ways[e.way].bytes += n.sent
		if n.sent != f.received || n.sent != f.written || n.sent != n.received {
			l.violated(invOrder, "%s", account)
		}
		want := proactor.ErrPeerClosed
		if e.way.last == askClose {
			want = proactor.ErrLocalClosed
		}
		if f.framework && !errors.Is(f.cause, want) && !stopped {
			l.violated(invCause, "%s", account)
		}
	case endCut:
		switch {
		case reset && finForReset:
		case !stopped:
			l.violated(invOrder, "%s, and the end of the stream came too early", account)
		case n.received != f.written:
			l.violated(invShutdown, "%s", account)
		}
	case endStopped:
		if n.sent != f.received {
			l.violated(invOrder, "%s", account)
		}
	case endLeft:
		if f.framework && !errors.Is(f.cause, port.ErrReset) && !errors.Is(f.cause, proactor.ErrPeerClosed) && !stopped {
			l.violated(invCause, "%s", account)
		}
	case endBroken:
		if !reset {
			l.violated(invReset, "%s; it ended with: %v", account, n.err)
		}
	}
}

// settle ends the accounts of a server that has been shut down, or with nil of
// the outbound connections, all of which have ended.
func (l *ledger) settle(g *generation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, e := range l.open {
		if e.gen != g {
			continue
		}
		delete(l.open, id)
		n := e.near
		switch {
		case n == nil:
			l.violated(invStuck, "connection %#x (%s) has not ended", id, e.way.name)
		case e.met:
			l.violated(invClosed, "connection %#x (%s) was never closed", id, e.way.name)
		case n.end == endFailed:
		case n.received > 0:
			l.violated(invBytes, "connection %#x (%s) received %d bytes, though its own were never seen", id, e.way.name, n.received)
		case n.end == endLeft:
		case g == nil && n.sent == 0 && errors.Is(n.err, proactor.ErrLocalClosed):
			// A redialer was stopped when it had just dialed.
			l.ways[e.way].ends[n.end]--
			l.ways[e.way].ends[endCut]++
		case !n.late:
			l.violated(invReset, "connection %#x (%s) was never seen, sent %d bytes and ended with: %v", id, e.way.name, n.sent, n.err)
		case n.end == endOrderly && n.sent > 0:
			l.violated(invOrder, "connection %#x (%s) sent %d bytes, which were never seen", id, e.way.name, n.sent)
		default: // it waited to be accepted
			l.ways[e.way].ends[n.end]--
			l.ways[e.way].ends[endCut]++
		}
	}
}

// outstanding is how many connections have an account that is not closed.
func (l *ledger) outstanding(g *generation) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.open {
		if e.gen == g && (e.near == nil || e.met && e.far == nil) {
			n++
		}
	}
	return n
}
