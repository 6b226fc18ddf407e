package rig

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
)

// Handed is what done of Detach was told.
type Handed struct {
	Conn     net.Conn
	Received []byte
	Err      error
}

// Takes gives a function for Detach, and what that will have been told.
func Takes(t *testing.T) (done func(net.Conn, []byte, error), told chan Handed) {
	told = make(chan Handed, 1)
	return func(c net.Conn, received []byte, err error) {
		if c != nil {
			c.SetDeadline(time.Now().Add(must.Patience))
			t.Cleanup(func() { c.Close() })
		}
		told <- Handed{c, received, err}
	}, told
}

// TakeOver waits for a connection that was detached.
func TakeOver(t *testing.T, told chan Handed) Handed {
	t.Helper()
	got := must.Take(t, "done of Detach", told)
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	return got
}

// Detaches reports whether connections can leave the engine. Where they cannot, Detach says so,
// and has changed nothing.
func (r *Rig) Detaches() bool {
	r.Helper()
	if r.Engine.Backend() != "iocp" {
		return true
	}
	s := r.Serve(proactor.Handler{Data: Echo})
	client := Client(r.T, s)
	c := r.Accepted()
	if err := c.Detach(func(net.Conn, []byte, error) { r.Error("done was called") }); !errors.Is(err, errors.ErrUnsupported) {
		r.Errorf("Detach: %v", err)
	}
	must.Ask(r.T, client, "nothing has changed")
	return false
}
