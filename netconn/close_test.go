package netconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// Close has a Read and a Write that wait fail, and all calls after it.
func TestCloseWakes(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		c, _ := pair(t, rig.New(t, backend).Engine, proactor.Limits{})
		read, written := make(chan error, 1), make(chan error, 1)
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
		go func() {
			var err error
			for err == nil { // however much the system takes
				_, err = c.Write(make([]byte, 1<<20))
			}
			written <- err
		}()
		must.Eventually(t, "the system takes no more", func() bool { return c.Stats().Pending > 0 })
		c.SetLinger(0) // or what waits keeps the connection until LingerTimeout
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		wants(t, "Read", must.Take(t, "Read", read), net.ErrClosed)
		wants(t, "Write", must.Take(t, "Write", written), net.ErrClosed)
		for what, call := range map[string]func() error{
			"Close": c.Close, "CloseRead": c.CloseRead, "CloseWrite": c.CloseWrite,
			"SetDeadline": func() error { return c.SetDeadline(time.Time{}) },
			"SetLinger":   func() error { return c.SetLinger(0) },
			"Read":        func() error { _, err := c.Read(make([]byte, 1)); return err },
			"Write":       func() error { _, err := c.Write(nil); return err },
			"WriteTo":     func() error { _, err := c.WriteTo(io.Discard); return err },
			"Attach":      func() error { _, err := c.Attach(&proactor.Handler{}, nil); return err },
		} {
			wants(t, what+" after Close", call(), net.ErrClosed)
		}
	})
}

// Half-closes: what was sent before the FIN arrives on both sides, also to WriteTo.
func TestHalfClose(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		c, peer := pair(t, rig.New(t, backend).Engine, proactor.Limits{})
		sent := must.Pattern(1, 1<<20)
		go func() { peer.Write(sent); peer.CloseWrite() }()
		var got bytes.Buffer
		if n, err := io.Copy(&got, c); err != nil || n != int64(len(sent)) || !bytes.Equal(got.Bytes(), sent) {
			t.Fatalf("%d bytes, %v", n, err)
		}
		back := make(chan error, 1)
		go func() {
			_, err := c.Write(sent)
			back <- errors.Join(err, c.CloseWrite(), c.CloseWrite())
		}()
		must.ReadEnd(t, peer, sent)
		if err := must.Take(t, "Write", back); err != nil {
			t.Error(err)
		}
		_, err := c.Write([]byte("x"))
		wants(t, "Write after CloseWrite", err, syscall.EPIPE)
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	})
}

// CloseRead ends Reads, and the peer can go on to send.
func TestCloseRead(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		c, peer := pair(t, rig.New(t, backend).Engine, proactor.Limits{})
		if err := c.CloseRead(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		must.Send(t, peer, make([]byte, 8<<20))
		must.Eventually(t, "all is dropped", func() bool { return c.Stats().BytesIn == 8<<20 })
	})
}

// A peer that resets is told by a Read and then by a Write.
func TestReset(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		c, peer := pair(t, rig.New(t, backend).Engine, proactor.Limits{})
		peer.SetLinger(0)
		peer.Close()
		_, err := c.Read(make([]byte, 1))
		if porttest.OnWine && err == io.EOF {
			t.Skip("Wine tells a reset as a FIN")
		}
		wants(t, "Read", err, syscall.ECONNRESET)
		must.Eventually(t, "Write fails", func() bool { _, err = c.Write([]byte("x")); return err != nil })
		wants(t, "Write", err, syscall.ECONNRESET)
	})
}

// SetLinger bounds the time that Close gives to bytes that wait, below the framework's.
func TestLinger(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		e := rig.New(t, backend).Engine
		c, _ := pair(t, e, proactor.Limits{LingerTimeout: 10 * must.Patience})
		c.SetWriteDeadline(time.Now().Add(must.Short))
		for err := error(nil); err == nil; {
			_, err = c.Write(make([]byte, 1<<20))
		}
		if err := c.SetLinger(1); err != nil {
			t.Error(err)
		}
		c.Close()
		must.Eventually(t, "the connection ends", func() bool { return e.Stats().Conns() == 0 })
	})
}

// Reads, Writes and deadlines on many goroutines, and a Close among them: every call ends, and
// what was written arrived in whole pieces, up to the end.
func TestConcurrentUse(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		c, peer := pair(t, rig.New(t, backend).Engine, proactor.Limits{HighWater: 32 << 10})
		c.SetLinger(0)
		const piece = 10_000
		var all sync.WaitGroup
		for i := range 4 {
			p := bytes.Repeat([]byte{byte(i)}, piece)
			all.Go(func() {
				for err := error(nil); err == nil; {
					_, err = c.Write(p)
				}
			})
			all.Go(func() {
				q := make([]byte, 1+1000*i)
				for err := error(nil); err == nil; {
					_, err = c.Read(q)
				}
			})
			all.Go(func() {
				for range 1000 {
					c.SetDeadline(time.Now().Add(must.Patience))
				}
			})
		}
		all.Go(func() {
			for err := error(nil); err == nil; {
				_, err = peer.Write(make([]byte, piece))
			}
		})
		got := make([]byte, 400*piece)
		if n, err := io.ReadFull(peer, got); err != nil {
			t.Errorf("after %d bytes: %v", n, err)
		}
		for i := 0; i < len(got); i += piece {
			if n := bytes.Count(got[i:i+piece], got[i:i+1]); n != piece {
				t.Fatalf("at %d, a Write of %d bytes is %d in one piece", i, piece, n)
			}
		}
		c.Close()
		peer.Close()
		must.Within(t, "all calls", func() error { all.Wait(); return nil })
	})
}
