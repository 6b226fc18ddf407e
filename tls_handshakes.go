package proactor

import (
	"container/list"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"

	"github.com/proactor-go/proactor/internal/goid"
)

// handshakes bounds the TLS handshakes of an engine: those that compute, so that the loops have
// the rest of the machine, and those that have a goroutine, most of which wait for their
// peers. The others wait in the order in which they came, without a goroutine.
type handshakes struct {
	engine  *Engine
	running sync.WaitGroup // goroutines
	count   shakeCounters

	mu               sync.Mutex
	busy             int       // compute
	back             list.List // of *handshake, which have a goroutine, and can go on
	accepted, dialed crowd     // apart, so that neither has all places
	told             int       // to end, so that others have their place, and have not ended
}

// crowd are handshakes of one side.
type crowd struct {
	most  int       // may have a goroutine
	alive int       // have one
	fresh list.List // of *handshake, which have none yet
	waits list.List // of *handshake, which have one and wait for the peer, the longest first
}

// handshakesAlive bounds the goroutines of a crowd: at least so many, and so many for each that
// may compute. One that waits costs 20 to 30 KB. Where all places are taken, the handshake ends
// that has waited longest for its peer. A processor computes 1,000 to 3,000 handshakes a second,
// so the peer had a fifth of a second or more.
const handshakesAlive, handshakesEach = 1024, 512

// bound sets the bounds.
func (s *handshakes) bound(e *Engine) {
	s.engine = e
	s.accepted.most = max(handshakesAlive, handshakesEach*computeMost())
	s.dialed.most = s.accepted.most
}

// computeMost is half of the processors, rounded up.
func computeMost() int { return (runtime.GOMAXPROCS(0) + 1) / 2 }

// handshake is one of a connection. It is gone when the connection is ready.
type handshake struct {
	tls   *tlsLayer
	turn  chan struct{} // it may compute
	crowd *crowd

	// Guarded by handshakes.mu.
	in   *list.List    // of the crowd, nil: none
	at   *list.Element // there
	told bool          // to end

	// Guarded by Conn.mu.
	more   sync.Cond // there are more records, or no more will come
	early  []byte    // what has arrived; its capacity is counted in Engine.inbound
	from   int       // so many of early were read
	whole  int       // up to here early has whole records, and headers that end the handshake
	scan   records   // those that follow
	fin    bool      // the peer's FIN was reached
	over   bool      // nobody wants it any more
	done   bool      // it has ended well: from here on tls.Conn is the loop's
	cancel func()    // tells functions of the tls.Config, see aside; may be nil
}

// begin has a handshake of which all is there that it needs run as soon as it may.
func (s *handshakes) begin(h *handshake) {
	s.mu.Lock()
	h.goes(&h.crowd.fresh)
	s.pump()
	s.mu.Unlock()
}

// drop takes one back that may not have begun.
func (s *handshakes) drop(h *handshake) {
	s.mu.Lock()
	if h.in == &h.crowd.fresh {
		h.goes(nil)
	}
	s.mu.Unlock()
}

// goes takes the handshake from the list that it is in to another; nil: to none.
func (h *handshake) goes(to *list.List) {
	if h.in != nil {
		h.in.Remove(h.at)
	}
	if h.in = to; to != nil {
		h.at = to.PushBack(h)
	}
}

// first takes the first of a list out; nil: there is none.
func first(l *list.List) *handshake {
	e := l.Front()
	if e == nil {
		return nil
	}
	h := e.Value.(*handshake)
	h.goes(nil)
	return h
}

// pump lets those go on that may: first those that have begun. mu is held.
func (s *handshakes) pump() {
	for s.busy < computeMost() {
		if h := first(&s.back); h != nil {
			h.turn <- struct{}{}
		} else if !s.start(&s.dialed) && !s.start(&s.accepted) {
			s.makeRoom()
			return
		}
		s.busy++
	}
}

// start gives the first of a crowd a goroutine, if it may.
func (s *handshakes) start(c *crowd) bool {
	if c.alive == c.most {
		return false
	}
	h := first(&c.fresh)
	if h == nil {
		return false
	}
	c.alive++
	s.running.Add(1)
	s.engine.run(h.run)
	return true
}

// makeRoom ends the handshake that has waited longest for its peer, where there is no place for
// another. The dials are the program's own: theirs wait. mu is held.
func (s *handshakes) makeRoom() {
	if s.accepted.fresh.Len() == 0 || s.told >= computeMost() {
		return
	}
	h := first(&s.accepted.waits)
	if h == nil {
		return
	}
	h.told = true
	s.told++
	c := h.tls.wire.conn
	c.loop.do(func() {
		c.mu.Lock()
		done := h.done // it has given its place up already
		c.mu.Unlock()
		if c.unready() && !done {
			c.close(ErrCrowded)
		}
	})
}

// run runs f on a goroutine of its own.
func (e *Engine) run(f func()) {
	if n := e.cfg.Sim; n != nil {
		n.Go(f)
		return
	}
	go f()
}

// pauses and goesOn enclose a wait: for the peer of h, or, where that is nil, for something else.
func (s *handshakes) pauses(h *handshake) {
	s.mu.Lock()
	s.busy--
	if h != nil {
		h.goes(&h.crowd.waits)
	}
	s.pump()
	s.mu.Unlock()
}

func (s *handshakes) goesOn(h *handshake) {
	s.mu.Lock()
	h.goes(&s.back)
	s.pump()
	s.mu.Unlock()
	<-h.turn
	s.engine.settle()
}

// ends gives the place of a goroutine back.
func (s *handshakes) ends(h *handshake) {
	s.mu.Lock()
	s.busy--
	h.crowd.alive--
	if h.told {
		s.told--
	}
	s.pump()
	s.mu.Unlock()
}

// wait waits for the goroutines, when no more begin. One of them that closes the engine, in a
// function of the tls.Config, does not wait for itself.
func (s *handshakes) wait() {
	if _, inside := goid.Owner().(*handshake); !inside {
		s.running.Wait()
	}
}

// run is the handshake's goroutine. Functions of the user's tls.Config may not return.
func (h *handshake) run() {
	defer h.engine().handshakes.running.Done()
	returned := false
	var err error
	defer func() {
		if !returned {
			err = h.tls.panicked(caught(recover()))
		}
		h.end(err)
	}()
	if err = h.shakes(); err != nil {
		err = fmt.Errorf("TLS handshake: %w", named(err))
	}
	returned = true
}

func (h *handshake) end(err error) {
	w := h.tls.wire
	w.conn.mu.Lock()
	h.done = err == nil
	counts := h.done && !h.over // else it was counted as failed
	w.conn.mu.Unlock()
	if counts {
		h.engine().handshakes.count[shakeDone].Add(1)
	}
	h.engine().handshakes.ends(h)
	w.Ready(err)
}

// arrived takes what has come from the peer. mu is held.
func (h *handshake) arrived(b []byte, fin bool) error {
	if need := len(h.early) + len(b); need > cap(h.early) {
		size := max(need, 2*cap(h.early))
		if !h.engine().reserve(size - cap(h.early)) {
			return ErrInbound
		}
		h.early = append(make([]byte, 0, size), h.early...)
	}
	at := len(h.early)
	h.early = append(h.early, b...)
	for at < len(h.early) {
		n, _, whole := h.scan.next(h.early[at:])
		if at += n; whole || h.scan.strange() {
			h.whole = at
		}
	}
	h.fin = h.fin || fin
	h.more.Signal()
	return nil
}

// next waits for a record, and gives it, without its end where the peer's FIN is there.
func (h *handshake) next() ([]byte, error) {
	s, c := &h.engine().handshakes, h.tls.wire.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.waits() {
		s.pauses(h)
		for h.waits() {
			h.more.Wait()
		}
		c.mu.Unlock()
		s.goesOn(h)
		c.mu.Lock()
	}
	rest := h.early[h.from:]
	switch {
	case h.over:
		return nil, net.ErrClosed
	case len(rest) == 0:
		return nil, io.EOF
	}
	n, _, _ := h.tls.records.next(rest)
	h.from += n
	return rest[:n], nil
}

func (h *handshake) waits() bool { return h.from == h.whole && !h.fin && !h.over }

// stop ends the handshake, if it has not ended. mu is held.
func (h *handshake) stop() {
	h.over = true
	if h.cancel != nil {
		h.cancel()
	}
	h.engine().handshakes.drop(h)
	h.more.Signal()
}

// rest gives the bytes that have arrived and that the handshake has not read, which now
// are the caller's. mu is held.
func (h *handshake) rest() []byte {
	h.engine().reserve(-cap(h.early))
	rest := h.early[h.from:]
	h.early, h.from, h.whole = nil, 0, 0
	return rest
}

func (h *handshake) engine() *Engine { return h.tls.wire.conn.loop.engine }
