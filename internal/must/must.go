// Package must has what tests require: an event within some time, certain bytes on a
// connection, nothing left at the end. What does not come ends the test.
package must

import (
	"context"
	"testing"
	"time"
)

// Short is a timeout that a test waits for.
const Short = 50 * time.Millisecond

// Context is a context that ends when patience does.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Patience is how long one event may take before it counts as hanging, and lifetime how
// long all that a test does with a connection.
const (
	Patience = 30 * time.Second
	Lifetime = 4 * Patience
)

// Eventually looks until the condition holds.
func Eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Take receives from a channel.
func Take[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(Patience):
		t.Fatalf("waited in vain: %s", what)
		panic("unreachable")
	}
}

// Within runs f on another goroutine and waits for it.
func Within(t *testing.T, what string, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	if err := Take(t, what, done); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
