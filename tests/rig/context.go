package rig

import (
	"context"
	"sync"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
)

// waited is a context that tells that somebody is about to wait for it.
type waited struct {
	context.Context
	tell func()
}

func (w waited) Done() <-chan struct{} {
	w.tell()
	return w.Context.Done()
}

// Waited is a context that ends when patience does, and a channel that is closed when a
// call that was given it begins to wait.
func Waited(t *testing.T) (context.Context, <-chan struct{}) {
	begun := make(chan struct{})
	return waited{must.Context(t), sync.OnceFunc(func() { close(begun) })}, begun
}
