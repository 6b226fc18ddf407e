package proactor

import (
	"container/list"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
)

// handshakes bounds the TLS handshakes of an engine: those that compute, so that the loops have
// the rest of the machine, and those that have a goroutine, most of which wait for their
// peers. The others wait in the order in which they came, without a goroutine.
type handshakes struct {
	engine *Engine

	mu    sync.Mutex
	busy  int       // compute
	alive int       // have a goroutine
	back  list.List // of *handshake, which have one, and can go on
	fresh list.List // which have none yet
}

// handshakesAlive bounds the goroutines. One that waits costs 20 to 30 KB.
const handshakesAlive = 1024

// computeMost is half of the processors, rounded up.
func computeMost() int { return (runtime.GOMAXPROCS(0) + 1) / 2 }

// handshake is one of a connection. It is gone when the connection is ready.
type handshake struct {
	tls  *tlsLayer
	turn chan struct{} // it may compute
	wait *list.Element // in fresh

	// Guarded by Conn.mu.
	more  sync.Cond // there are more records, or no more will come
	early []byte    // what has arrived; its capacity is counted in Engine.inbound
	from  int       // so many of early were read
	whole int       // up to here early has whole records
	scan  records   // those that follow
	fin   bool      // the peer's FIN was reached
	over  bool      // nobody wants it any more
	done  bool      // it has ended well: from here on tls.Conn is the loop's
}

// begin has a handshake of which all is there that it needs run as soon as it may.
func (s *handshakes) begin(h *handshake) {
	s.mu.Lock()
	h.wait = s.fresh.PushBack(h)
	s.pump()
	s.mu.Unlock()
}

// drop takes one back that may not have begun.
func (s *handshakes) drop(h *handshake) {
	s.mu.Lock()
	if h.wait != nil {
		s.fresh.Remove(h.wait)
		h.wait = nil
	}
	s.mu.Unlock()
}

// pump lets those go on that may: first those that have begun. mu is held.
func (s *handshakes) pump() {
	for s.busy < computeMost() {
		if e := s.back.Front(); e != nil {
			s.back.Remove(e).(*handshake).turn <- struct{}{}
		} else if e := s.fresh.Front(); e != nil && s.alive < handshakesAlive {
			h := s.fresh.Remove(e).(*handshake)
			h.wait = nil
			s.alive++
			s.engine.run(h.run)
		} else {
			return
		}
		s.busy++
	}
}

// run runs f on a goroutine of its own.
func (e *Engine) run(f func()) {
	if n := e.cfg.Sim; n != nil {
		n.Go(f)
		return
	}
	go f()
}

// pauses and goesOn enclose a wait for the peer.
func (s *handshakes) pauses() {
	s.mu.Lock()
	s.busy--
	s.pump()
	s.mu.Unlock()
}

func (s *handshakes) goesOn(h *handshake) {
	s.mu.Lock()
	s.back.PushBack(h)
	s.pump()
	s.mu.Unlock()
	<-h.turn
	s.engine.settle()
}

// ends gives the place of a goroutine back.
func (s *handshakes) ends() {
	s.mu.Lock()
	s.busy--
	s.alive--
	s.pump()
	s.mu.Unlock()
}

// run is the handshake's goroutine. Functions of the user's tls.Config may not return.
func (h *handshake) run() {
	returned := false
	var err error
	defer func() {
		if !returned {
			err = h.tls.panicked(caught(recover()))
		}
		h.end(err)
	}()
	if err = h.tls.conn.Handshake(); err != nil {
		err = fmt.Errorf("TLS handshake: %w", err)
	}
	returned = true
}

func (h *handshake) end(err error) {
	w := h.tls.wire
	w.conn.mu.Lock()
	h.done = err == nil
	w.conn.mu.Unlock()
	w.conn.loop.engine.handshakes.ends()
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
		if at += n; whole {
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
		s.pauses()
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
