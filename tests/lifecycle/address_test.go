package lifecycle_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// Clients that have reset before they are accepted are known by their address, and
// count as connections of their peer.
func TestPeersThatReset(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("whether such clients are handed over at all is the system's; port's AcceptReset looks at their addresses")
	}
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := &proactor.Server{Addr: "127.0.0.1:0", Engine: r.Engine, MaxConnsPerPeer: 1, Handler: r.Watch(proactor.Handler{})}
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		rig.Client(t, s) // holds the only place
		first := r.Accepted()
		if err := s.Pause(); err != nil {
			t.Fatal(err)
		}
		const n = 5
		for range n {
			c, err := net.Dial("tcp", s.ListenAddr().String())
			if err != nil {
				continue // refused already: the last accept was not over yet
			}
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
		if err := s.Resume(); err != nil {
			t.Fatal(err)
		}
		must.Eventually(t, "all are refused", func() bool {
			l := r.Engine.Stats().Limited
			return l.PerPeer == n || len(r.Opened) > 0
		})
		if len(r.Opened) > 0 {
			t.Errorf("one that has reset is let in, from %v", (<-r.Opened).RemoteAddr())
		}
		first.Close()
		must.Within(t, "Engine.Close", r.Engine.Close)
	})
}

// A server's Unix socket goes with it, however it ends, so that it can start again
// at once; it has the permissions that were asked for.
func TestUnixFile(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		path := must.SocketPath(t)
		if l, err := net.Listen("unix", path); err != nil {
			t.Skipf("no Unix sockets here: %v", err)
		} else {
			l.Close()
		}
		for _, end := range []struct {
			name string
			call func(*proactor.Server) error
		}{
			{"Shutdown", func(s *proactor.Server) error { return s.Shutdown(context.Background()) }},
			{"Close", (*proactor.Server).Close},
			{"Engine.Close", func(s *proactor.Server) error { return s.Engine.Close() }},
		} {
			r := rig.New(t, backend)
			s := &proactor.Server{Network: "unix", Addr: path, Engine: r.Engine, Handler: proactor.Handler{Data: rig.Echo}}
			if runtime.GOOS == "linux" {
				s.UnixMode = 0o660
			}
			if err := s.Listen(); err != nil {
				t.Fatalf("before %s: %v", end.name, err)
			}
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if s.UnixMode != 0 && info.Mode().Perm() != s.UnixMode {
				t.Errorf("the file has %v, want %v", info.Mode().Perm(), s.UnixMode)
			}
			second := &proactor.Server{Network: "unix", Addr: path, Engine: r.Engine}
			if err := second.Listen(); !errors.Is(err, port.ErrAddrInUse) {
				t.Errorf("a second server: %v", err)
			}
			must.Within(t, end.name, func() error { return end.call(s) })
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after %s the file is there: %v", end.name, err)
			}
			if end.name != "Engine.Close" {
				must.Within(t, "Engine.Close", r.Engine.Close)
			}
		}
	})
}

// An error of Listen says what failed, once.
func TestListenError(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{})
		err := (&proactor.Server{Addr: s.ListenAddr().String(), Engine: r.Engine}).Listen()
		if !errors.Is(err, port.ErrAddrInUse) || !strings.HasPrefix(err.Error(), "listen tcp "+s.ListenAddr().String()+": ") || strings.Contains(err.Error(), "accept") {
			t.Errorf("Listen: %v", err)
		}
		must.Within(t, "Engine.Close", r.Engine.Close)
	})
}

// The longest KeepAlive is what the system can do.
func TestKeepAliveExtreme(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, d := range []time.Duration{1, 12 * time.Hour, math.MaxInt64, -1, math.MinInt64} {
			r := rig.New(t, backend)
			s := &proactor.Server{Addr: "127.0.0.1:0", Engine: r.Engine, Handler: r.Watch(proactor.Handler{Data: rig.Echo}), Limits: proactor.Limits{KeepAlive: d}}
			if err := s.Listen(); err != nil {
				t.Fatalf("KeepAlive %v: %v", d, err)
			}
			dialer := &proactor.Dialer{Engine: r.Engine, Limits: s.Limits, Handler: r.Watch(proactor.Handler{})}
			if _, err := dialer.Dial(must.Context(t), "tcp", s.ListenAddr().String()); err != nil {
				t.Fatalf("KeepAlive %v: %v", d, err)
			}
			must.Within(t, "Engine.Close", r.Engine.Close)
		}
	})
}

// No cause and no error of a call says which package it is of: where one is shown,
// that is known.
func TestErrorsHaveNoPrefix(t *testing.T) {
	for _, err := range []error{
		proactor.ErrPeerClosed, proactor.ErrLocalClosed, proactor.ErrServerClosed, proactor.ErrIdle, proactor.ErrReadTimeout,
		proactor.ErrWriteTimeout, proactor.ErrFirstByte, proactor.ErrTooSlow, proactor.ErrInbound, proactor.ErrTooLong, proactor.ErrBacklog,
		proactor.ErrRelayEnd, proactor.ErrConsumed, proactor.ErrClosed, proactor.ErrEngineClosed, proactor.ErrOtherLoop, proactor.ErrRelaying,
		proactor.ErrOnLoop, &proactor.PanicError{Value: 1},
		port.ErrReset, port.ErrRefused, port.ErrTimeout, port.ErrClosed, port.ErrShutdown, port.ErrBusy, port.ErrInvalid, port.ErrPortClosed,
	} {
		if strings.Contains(err.Error(), ":") && !strings.HasPrefix(err.Error(), "handler panicked: ") || err.Error() == "" {
			t.Errorf("%q", err)
		}
	}
}
