package port

import (
	"sync"
	"time"

	"golang.org/x/sys/windows"
)

// owedWake is a wake that the system refused to post: it has no memory for the
// packet. The port counts it as under way and asks for no other, so it is asked for
// again until it is in the queue.
type owedWake struct {
	mu    sync.Mutex
	timer *time.Timer // runs while a wake is owed
	gone  bool        // the port's handle is closed
}

// wakeTick is how long a refused wake waits for its next try.
const wakeTick = time.Millisecond

// wake posts a packet that ends a fetch.
func (b *iocp) wake() {
	if b.sys.post(b.port) != nil {
		b.owed.later(b.wakeAgain)
	}
}

func (b *iocp) wakeAgain() {
	w := &b.owed
	w.mu.Lock()
	w.timer = nil
	failed := !w.gone && b.sys.post(b.port) != nil
	w.mu.Unlock()
	if failed {
		w.later(b.wakeAgain)
	}
}

func (w *owedWake) later(again func()) {
	w.mu.Lock()
	if w.timer == nil && !w.gone {
		w.timer = time.AfterFunc(wakeTick, again)
	}
	w.mu.Unlock()
}

// end closes the port's handle, after which nothing is posted to it.
func (w *owedWake) end(port windows.Handle) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	if w.timer != nil {
		w.timer.Stop()
	}
	windows.CloseHandle(port)
}

// keepWake is called when a poll met the packet of a wake: it is meant for
// block.
func (b *iocp) keepWake() {
	if b.p.cfg.Mode == Shared {
		b.wake() // may be for a worker that blocks now
	} else {
		b.woken = true
	}
}
