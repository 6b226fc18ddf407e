package raw

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/proactor-go/proactor/port"
)

// tracer prints a line for every port call when it is made, for every completion when
// it was dequeued, and for what is known of a socket only after the call:
//
//	0.001302  worker  1  call        dequeue     port                             waits
//	0.417755  worker  1  completion  accept      listener
//	0.417790  worker  1  call        associate   conn 1
//	0.417811  worker  1  note        accepted    conn 1    127.0.0.1:51602        handle 1.1
//	0.417825  worker  1  call        recv        conn 1    127.0.0.1:51602        4096 bytes
//
// Times are seconds since the start. main is the goroutine that started the server. A
// nil tracer is silent.
type tracer struct {
	began time.Time
	mu    sync.Mutex
	w     io.Writer
	peers map[uint64]string // of connections, by their keys
}

func newTracer(w io.Writer) *tracer {
	if w == nil {
		return nil
	}
	return &tracer{began: time.Now(), w: w, peers: map[uint64]string{}}
}

// call prints a call that worker w is about to make. what may be nil.
func (t *tracer) call(w int, operation string, key uint64, what any) {
	if t != nil {
		t.line(w, "call", operation, key, what)
	}
}

// count is call with a number of bytes. It costs nothing where t is nil.
func (t *tracer) count(w int, operation string, key uint64, n int) {
	if t != nil {
		t.line(w, "call", operation, key, fmt.Sprint(n, " bytes"))
	}
}

// note prints what has come of a call that has no completion.
func (t *tracer) note(w int, what string, key uint64, more any) {
	if t != nil {
		t.line(w, "note", what, key, more)
	}
}

// accepted prints whom a connection is to; from now on each of its lines says it.
func (t *tracer) accepted(w int, key uint64, peer string, h port.Handle) {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.peers[key] = peer
	t.mu.Unlock()
	t.line(w, "note", "accepted", key, fmt.Sprint("handle ", h))
}

// forget is called when a connection is closed.
func (t *tracer) forget(key uint64) {
	if t != nil {
		t.mu.Lock()
		delete(t.peers, key)
		t.mu.Unlock()
	}
}

// completion prints one that worker w has dequeued.
func (t *tracer) completion(w int, c *port.Completion) {
	switch {
	case t == nil:
	case c.Err != nil:
		t.line(w, "completion", c.Kind.String(), c.Key, fmt.Sprintf("%d bytes, %v", c.N, c.Err))
	case c.Kind == port.KindRecv || c.Kind == port.KindSend:
		t.line(w, "completion", c.Kind.String(), c.Key, fmt.Sprint(c.N, " bytes"))
	default:
		t.line(w, "completion", c.Kind.String(), c.Key, nil)
	}
}

func (t *tracer) line(w int, sort, operation string, key uint64, what any) {
	worker, who := "main     ", "port"
	if w > 0 {
		worker = fmt.Sprintf("worker %2d", w)
	}
	switch {
	case key >= firstConn:
		who = fmt.Sprint("conn ", number(key))
	case key == keyListener:
		who = "listener"
	}
	if what == nil {
		what = ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.w, "%10.6f  %s  %-10s  %-10s  %-9s %-22s %v\n", time.Since(t.began).Seconds(), worker, sort, operation, who, t.peers[key], what)
}
