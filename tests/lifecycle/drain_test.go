package lifecycle_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// shouts are servers of lines that answer each in capitals, by Split and by Data.
func shouts() map[string]proactor.Handler {
	return map[string]proactor.Handler{
		"Split": {Split: bufio.ScanLines, Message: func(c *proactor.Conn, msg []byte) {
			c.Write(append(bytes.ToUpper(msg), '\n'))
		}},
		"Data": {Data: func(c *proactor.Conn, p []byte) int {
			n := bytes.LastIndexByte(p, '\n') + 1
			c.Write(bytes.ToUpper(p[:n]))
			return n
		}},
	}
}

// A client that is in the middle of a request when the server shuts down has it read on
// and answered, and then reads the end; one that is between two reads the end at once.
func TestShutdownReadsOn(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for name, h := range shouts() {
			t.Run(name, func(t *testing.T) {
				r := rig.New(t, backend)
				var stopping atomic.Int32
				h.Stopping = func(c *proactor.Conn) {
					stopping.Add(1)
					c.Write([]byte("BYE\n"))
				}
				s := r.Serve(h)
				fresh, idle, busy := rig.Client(t, s), rig.Client(t, s), rig.Client(t, s)
				must.Send(t, idle, []byte("a\n"))
				must.Read(t, idle, []byte("A\n"))
				must.Send(t, busy, []byte("one\ntw"))
				must.Read(t, busy, []byte("ONE\n"))
				for range 3 {
					r.Accepted()
				}
				down := make(chan error, 1)
				go func() { down <- s.Shutdown(must.Context(t)) }()
				for _, c := range []net.Conn{fresh, idle} {
					must.ReadEnd(t, c, []byte("BYE\n"))
					c.Close()
				}
				must.Read(t, busy, []byte("BYE\n"))
				must.Send(t, busy, []byte("o\n"))
				must.ReadEnd(t, busy, []byte("TWO\n"))
				busy.Close()
				if err := must.Take(t, "Shutdown", down); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				for range 3 {
					r.Ends(proactor.ErrServerClosed)
				}
				if n := stopping.Load(); n != 3 {
					t.Errorf("Stopping was called %d times for 3 connections", n)
				}
			})
		}
	})
}

// A client that sends without a pause has the message answered in which the server shuts
// down, and not the next.
func TestShutdownAfterTheMessage(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		h, began := shouts()["Split"], make(chan struct{})
		h.Stopping = func(*proactor.Conn) { close(began) }
		s := r.Serve(h)
		c := rig.Client(t, s)
		must.Send(t, c, []byte("one\ntw"))
		must.Read(t, c, []byte("ONE\n"))
		r.Accepted()
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(must.Context(t)) }()
		must.Take(t, "Stopping", began)
		must.Send(t, c, []byte("o\nthr"))
		must.ReadEnd(t, c, []byte("TWO\n"))
		c.Close()
		if err := must.Take(t, "Shutdown", down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		r.Ends(proactor.ErrServerClosed)
	})
}

// Who never sends the rest is reset when the time is over.
func TestShutdownDoesNotWaitForEver(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(shouts()["Split"])
		c := rig.Client(t, s)
		must.Send(t, c, []byte("one\ntw"))
		must.Read(t, c, []byte("ONE\n"))
		r.Accepted()
		ctx, cancel := context.WithCancel(context.Background())
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(ctx) }()
		must.Within(t, "Wait", func() error {
			if err := s.Wait(); !errors.Is(err, proactor.ErrServerClosed) {
				return err
			}
			return nil
		})
		cancel()
		if err := must.Take(t, "Shutdown", down); !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v", err)
		}
		r.Ends(proactor.ErrServerClosed)
	})
}
