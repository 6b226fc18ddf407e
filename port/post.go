package port

import (
	"sync"
	"sync/atomic"
)

// Post queues a completion of kind [KindPost] with this key and op. op may be nil; the port
// does not touch it. Posts are dequeued in the order of the calls. Any goroutine may call
// Post, in both modes. It fails with [ErrPortClosed] once the port is closed.
func (p *Port) Post(key uint64, op *Op) error {
	if !p.posted.put(Completion{Kind: KindPost, Key: key, Op: op}, nil) {
		return ErrPortClosed
	}
	p.stir()
	return nil
}

// Cancel asks for an early end of op, if op is in flight. Its final completion has
// [ErrCanceled], unless the operation ended otherwise first. Any goroutine may call Cancel,
// in both modes. Cancel names the record and not the operation: if op has been started again
// in the meantime, the new operation is canceled.
func (p *Port) Cancel(op *Op) {
	if p.posted.put(Completion{}, op) {
		p.stir()
	}
}

// inbox takes requests from other goroutines to the one that drives the port.
type inbox struct {
	mu      sync.Mutex
	posts   []Completion
	cancels []*Op
	closed  bool
	full    atomic.Bool // there is something to take
}

func (in *inbox) empty() bool { return !in.full.Load() }

func (in *inbox) put(c Completion, cancel *Op) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false
	}
	if cancel != nil {
		in.cancels = append(in.cancels, cancel)
	} else {
		in.posts = append(in.posts, c)
	}
	in.full.Store(true)
	return true
}

func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
}

// takePosted moves posts to the ready queue and carries cancels out.
func (p *Port) takePosted() {
	in := &p.posted
	in.mu.Lock()
	for _, c := range in.posts {
		p.ready.push(c)
	}
	clear(in.posts)
	in.posts = in.posts[:0]
	cancels := in.cancels
	in.cancels = nil
	in.full.Store(false)
	in.mu.Unlock()
	for _, op := range cancels {
		switch op.kind {
		case KindAccept, KindConnect, KindRecv, KindSend, KindSplice:
			if s := p.socks.get(op.h); s != nil && (s.in == op || s.out == op) {
				p.cancelOp(s, op)
			}
		case KindTimeout:
			if p.timeouts.remove(op) {
				p.endTimeout(op, canceled(KindTimeout))
			}
		}
	}
}
