package proactor

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
)

// ErrGoexit is the Value of a [PanicError] if the callback did not panic, but called
// runtime.Goexit, as t.Fatal of package testing does.
var ErrGoexit = errors.New("runtime.Goexit was called")

// PanicError is the cause of a connection that was closed because a callback, or a
// method of its [Layer], panicked, or called runtime.Goexit.
type PanicError struct {
	Value any    // what the callback panicked with, or ErrGoexit
	Stack []byte // the innermost calls, each with its file and line
}

// Error has the value. The log has the stack, too.
func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

// Unwrap returns the value if it is an error, such as [ErrGoexit].
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// caught makes the error of what recover gave in a function that did not return;
// nil: it has called Goexit. A panic with a *PanicError is one of another goroutine
// that is passed on.
func caught(v any) *PanicError {
	if why, ok := v.(*PanicError); ok {
		return why
	}
	if v == nil {
		v = ErrGoexit
	}
	return &PanicError{v, stack()}
}

// stack is the caller's, as debug.Stack has it, but no more than the innermost calls:
// that of a loop which was carried on is long, and debug.Stack looks at all of it.
func stack() []byte {
	var calls [64]uintptr
	frames := runtime.CallersFrames(calls[:runtime.Callers(3, calls[:])])
	var b bytes.Buffer
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
	}
	return b.Bytes()
}

// contain is deferred around every callback of a connection: one that does not
// return ends the connection only. A panic in endCallback goes on: it is not the user's.
func (c *Conn) contain(what string) {
	if c.busy.Load()&inside != 0 {
		c.failedIn(what, caught(recover()))
	}
}

// containLast is contain where what is known only when it has happened.
func (c *Conn) containLast(what *string) {
	if c.busy.Load()&inside != 0 {
		c.failedIn(*what, caught(recover()))
	}
}

// failedIn ends the connection, one of whose callbacks did not return.
func (c *Conn) failedIn(what string, why *PanicError) {
	c.loop.engine.panics.Add(1)
	c.mu.Lock()
	c.sending |= shut
	c.want |= wantAbort
	c.setCause(why)
	c.mu.Unlock()
	c.endCallback(what)
	c.cfg.log.Error("handler panicked", "conn", c.id, "peer", c.peer(), "panic", why.Value, "stack", string(why.Stack))
}

// contained runs a function of the user's that is about no connection: when it does
// not return that is logged and counted, and nothing else.
func (e *Engine) contained(log *slog.Logger, what string, f func()) {
	returned := false
	defer func() {
		if returned {
			return
		}
		why := caught(recover())
		e.panics.Add(1)
		log.Error(what+" panicked", "panic", why.Value, "stack", string(why.Stack))
	}()
	f()
	returned = true
}
