package raw

import (
	"fmt"
	"io"
	"sync"

	"github.com/proactor-go/proactor/port"
)

// tracer prints a line for every port call and every completion:
//
//	worker  1  call        recv       conn 2    4096 bytes
//	worker  2  completion  recv       conn 2    8 bytes
//
// Worker 0 is the goroutine that started the server. A nil tracer is silent.
type tracer struct {
	mu sync.Mutex
	w  io.Writer
}

func newTracer(w io.Writer) *tracer {
	if w == nil {
		return nil
	}
	return &tracer{w: w}
}

// call prints a call that worker w is about to make, or has made where what,
// which may be nil, is known only then.
func (t *tracer) call(w int, operation string, key uint64, what any) {
	if t != nil {
		t.line(w, "call", operation, key, what)
	}
}

// count is call with a number of things. It costs nothing where t is nil.
func (t *tracer) count(w int, operation string, key uint64, n int, things string) {
	if t != nil {
		t.line(w, "call", operation, key, fmt.Sprint(n, " ", things))
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
	who := "port"
	switch {
	case key >= firstConn:
		who = fmt.Sprint("conn ", key-firstConn+1)
	case operation == "accept" || operation == "listen" || operation == "associate" || operation == "close":
		who = "listener"
	}
	if what == nil {
		what = ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.w, "worker %2d  %-10s  %-10s  %-9s %v\n", w, sort, operation, who, what)
}
