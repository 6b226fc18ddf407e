package lifecycle_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// A Conn can be closed by code that knows package io alone, and half-closed like a
// *net.TCPConn.
var _ interface {
	io.WriteCloser
	CloseWrite() error
} = (*proactor.Conn)(nil)

// Close never fails. CloseWrite fails once nothing can be written any more, as Write
// does, with an error that code for package net knows.
func TestCloseErrors(t *testing.T) {
	abort := func(c *proactor.Conn) error { c.Abort(); return nil }
	for _, tt := range []struct {
		name  string
		first func(c *proactor.Conn) error
		cause error
	}{
		{"CloseWrite", (*proactor.Conn).CloseWrite, proactor.ErrLocalClosed},
		{"Close", (*proactor.Conn).Close, proactor.ErrLocalClosed},
		{"Abort", abort, proactor.ErrLocalClosed},
		{"the peer's reset", nil, port.ErrReset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				peer := rig.Client(t, r.Serve(proactor.Handler{}))
				c := r.Accepted()
				if tt.first == nil {
					peer.SetLinger(0)
					peer.Close()
					r.Ends(tt.cause)
				} else if err := tt.first(c); err != nil {
					t.Errorf("the first call: %v", err)
				}
				for range 2 {
					if err := c.CloseWrite(); err != proactor.ErrClosed || !errors.Is(err, net.ErrClosed) {
						t.Errorf("CloseWrite: %v", err)
					}
				}
				for range 2 {
					if err := c.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				}
				if _, err := c.Write(nil); err != proactor.ErrClosed {
					t.Errorf("Write: %v", err)
				}
				if tt.first == nil {
					return
				}
				io.Copy(io.Discard, peer)
				peer.Close()
				r.Ends(tt.cause)
				if err := c.Close(); err != nil {
					t.Errorf("Close after the end: %v", err)
				}
			})
		})
	}
}
