package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// A server that does not listen may be started in a callback, and ends as others do.
func TestStart(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r, other := rig.New(t, backend), rig.New(t, backend)
		rig.Client(t, r.Serve(proactor.Handler{}))
		rig.Client(t, other.Serve(proactor.Handler{}))
		s := &proactor.Server{Engine: r.Engine, Addr: "no address", ReusePort: true}
		rig.OnLoop(t, other.Accepted(), func() {
			if err := s.Start(); !errors.Is(err, proactor.ErrOnLoop) {
				t.Errorf("Start in a callback of another engine: %v", err)
			}
		})
		bad := &proactor.Server{Engine: r.Engine, MaxConns: -1}
		if err := bad.Start(); err == nil {
			t.Error("MaxConns is negative")
		}
		rig.OnLoop(t, r.Accepted(), func() {
			if err := s.Start(); err != nil {
				t.Errorf("Start in a callback: %v", err)
			}
		})
		if err := s.Start(); err == nil {
			t.Error("Start once more")
		}
		if err := s.Listen(); err == nil {
			t.Error("Listen after Start")
		}
		for _, err := range []error{s.Pause(), s.Resume()} {
			if !errors.Is(err, proactor.ErrServerClosed) {
				t.Errorf("Pause or Resume: %v", err)
			}
		}
		if _, err := s.Files(); !errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("Files: %v", err)
		}
		ran := make(chan struct{})
		s.After(0, func() { close(ran) })
		must.Take(t, "a timer", ran)
		waited := make(chan error, 1)
		go func() { waited <- s.Wait() }()
		must.Within(t, "Shutdown", func() error { return s.Shutdown(must.Context(t)) })
		if err := must.Take(t, "Wait", waited); !errors.Is(err, proactor.ErrServerClosed) {
			t.Errorf("Wait: %v", err)
		}
		// One that makes its own engine ends it.
		own := &proactor.Server{Log: slog.New(slog.DiscardHandler)}
		if err := own.Start(); err != nil {
			t.Fatal(err)
		}
		must.Within(t, "Close", own.Close)
	})
}

// WaitConns of a server that takes connections over, and accepts none, waits while there are any.
func TestAdoptWaitConns(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !canAdopt(r) {
			return
		}
		stopped := r.Serve(proactor.Handler{Data: rig.Echo})
		must.Within(t, "StopListening", stopped.StopListening)
		for _, s := range []*proactor.Server{stopped, r.Start(proactor.Handler{Data: rig.Echo})} {
			must.Within(t, "WaitConns without any", func() error { return s.WaitConns(must.Context(t)) })
			for range 2 {
				ours, theirs := plain(t, "tcp4")
				if err := s.Adopt(ours, nil, nil); err != nil {
					t.Fatal(err)
				}
				ctx, waits := rig.Waited(t)
				left := make(chan error, 1)
				go func() { left <- s.WaitConns(ctx) }()
				must.Take(t, "WaitConns waits", waits)
				must.Ask(t, theirs, "hello")
				select {
				case err := <-left:
					t.Errorf("WaitConns ended: %v", err)
				default:
				}
				theirs.Close()
				if err := must.Take(t, "WaitConns", left); err != nil {
					t.Errorf("WaitConns: %v", err)
				}
			}
			ours, theirs := plain(t, "tcp4")
			if err := s.Adopt(ours, nil, nil); err != nil {
				t.Fatal(err)
			}
			must.Ask(t, theirs, "hello")
			must.Within(t, "Close", s.Close) // which waits for it
			if n := s.Conns(); n != 0 {
				t.Errorf("after Close, %d connections are left", n)
			}
		}
	})
}

// Connections that are handed over while the server shuts down are refused and stay with their
// owners, or are the server's and end with it: none is lost.
func TestAdoptDuringShutdown(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		if !canAdopt(r) {
			return
		}
		for range 10 {
			s := r.Start(proactor.Handler{Data: rig.Echo})
			const n = 16
			ours, theirs := make([]net.Conn, n), make([]net.Conn, n)
			for i := range n {
				ours[i], theirs[i] = plain(t, "tcp4")
			}
			begun := make(chan struct{}, n)
			var group sync.WaitGroup
			for i := range n {
				group.Go(func() {
					err := s.Adopt(ours[i], []byte("early"), nil)
					begun <- struct{}{}
					switch {
					case err == nil:
						got, err := io.ReadAll(theirs[i])
						if !bytes.Equal(got, []byte("early")) || err != nil {
							t.Errorf("the peer of one that was taken got %q, %v", got, err)
						}
						theirs[i].Close()
					case errors.Is(err, proactor.ErrServerClosed):
						ours[i].Write([]byte("mine"))
						ours[i].Close()
						if got, err := io.ReadAll(theirs[i]); string(got) != "mine" || err != nil {
							t.Errorf("the peer of one that was refused got %q, %v", got, err)
						}
					default:
						t.Errorf("Adopt: %v", err)
					}
				})
			}
			<-begun
			must.Within(t, "Shutdown", func() error { return s.Shutdown(context.Background()) })
			group.Wait()
			if s.Conns() != 0 {
				t.Errorf("%d connections are left", s.Conns())
			}
		}
	})
}

// heldFile is a connection whose File waits.
type heldFile struct {
	*net.TCPConn
	asked, goOn chan struct{}
}

func (h heldFile) File() (*os.File, error) {
	close(h.asked)
	<-h.goOn
	return h.TCPConn.File()
}

// A connection whose Adopt began before a shutdown, and that comes to its loop after the others
// were told of it, is told, too, and ends where they do.
func TestAdoptBehindShutdown(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		if !canAdopt(r) {
			return
		}
		stopping := make(chan *proactor.Conn, 2)
		s := r.Start(proactor.Handler{Data: rig.Echo, Stopping: func(c *proactor.Conn) { stopping <- c }})
		first, itsPeer := plain(t, "tcp4")
		if err := s.Adopt(first, nil, nil); err != nil {
			t.Fatal(err)
		}
		r.Accepted()
		ours, theirs := plain(t, "tcp4")
		h := heldFile{ours.(*net.TCPConn), make(chan struct{}), make(chan struct{})}
		adopted, down := make(chan error, 1), make(chan error, 1)
		go func() { adopted <- s.Adopt(h, []byte("early"), nil) }()
		must.Take(t, "File", h.asked)
		go func() { down <- s.Shutdown(must.Context(t)) }()
		must.Take(t, "Stopping", stopping)
		must.ReadEnd(t, itsPeer, nil)
		itsPeer.Close()
		r.Ends(proactor.ErrServerClosed)
		close(h.goOn)
		if err := must.Take(t, "Adopt", adopted); err != nil {
			t.Fatal(err)
		}
		if c := must.Take(t, "Stopping", stopping); c != r.Accepted() {
			t.Error("another connection was told")
		}
		must.ReadEnd(t, theirs, []byte("early"))
		theirs.Close()
		if err := must.Take(t, "Shutdown", down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}
