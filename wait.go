package proactor

import "github.com/proactor-go/proactor/internal/goid"

// Calls that wait for a loop ask here first, and only where they are about to wait: whose a
// goroutine is takes some nanoseconds to find out, in which bubble it is some microseconds.

// onLoop reports whether the caller is a loop of any engine. What a loop waits for
// may wait for that loop in turn, also by way of another engine.
func (e *Engine) onLoop() bool { return hereLoop() != nil }

// hereLoop is the loop that the caller is, nil if it is none.
func hereLoop() *loop {
	l, _ := goid.Owner().(*loop)
	return l
}

// MustNotWait marks the owner of a loop's goroutine for goid.OnLoop.
func (*loop) MustNotWait() {}

// mayWait says whether the caller may wait for a loop of e by a channel that it makes
// itself. Nobody outside of a bubble of testing/synctest may use a channel that was
// made in it: the runtime ends the program.
func (e *Engine) mayWait() error {
	if e.onLoop() {
		return ErrOnLoop
	}
	if b := goid.Bubble(); b != 0 && b != e.bubble {
		return ErrBubble
	}
	return nil
}

// call runs f on the loop: at once where that is the caller, else it waits for it.
// ErrClosed says that the loop has ended.
func (l *loop) call(f func() error) error {
	if hereLoop() == l {
		return f()
	}
	if err := l.engine.mayWait(); err != nil {
		return err
	}
	done := make(chan error, 1)
	if !l.do(func() { done <- f() }) {
		return ErrClosed
	}
	err := <-done
	l.engine.settle()
	return err
}
