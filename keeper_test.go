package proactor_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// A keeper dials again when the server is away, when it comes back, and when it
// resets the connection; and no more once it is stopped.
func TestKeeper(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		accept := func() *net.TCPConn {
			t.Helper()
			l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c.(*net.TCPConn)
		}
		d := &proactor.Dialer{Engine: r.engine, Handler: r.watch(proactor.Handler{Data: echo})}
		k := &proactor.Keeper{Dialer: d, Network: "tcp", Address: addr, MinWait: time.Millisecond, MaxWait: 20 * time.Millisecond}
		if err := k.Start(); err != nil {
			t.Fatal(err)
		}
		if k.Start() == nil {
			t.Error("it starts twice")
		}
		peer := accept()
		if c := r.accepted(); c != k.Conn() {
			t.Error("Conn is another")
		}
		peer.SetDeadline(time.Now().Add(patience))
		ask(t, peer, "hello")
		peer.SetLinger(0)
		peer.Close()
		r.ends(port.ErrReset)

		accept().Close() // it came back, and is sent away
		r.accepted()
		r.ends(proactor.ErrPeerClosed)
		accept()
		r.accepted()

		l.Close() // the server is away
		before := k.Redialed()
		k.Conn().Abort()
		r.ends(proactor.ErrLocalClosed)
		eventually(t, "dials in vain", func() bool { return k.Redialed() > before+3 && k.Conn() == nil })
		if l, err = net.Listen("tcp", addr); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		peer = accept()
		r.accepted()

		k.Stop()
		k.Stop()
		expectEnd(t, peer, nil)
		peer.Close()
		r.ends(proactor.ErrLocalClosed)
		eventually(t, "no connection after the end", func() bool { return k.Conn() == nil })
	})
}

// The waits grow to the cap and no further, and never fall under half.
func TestKeeperWaits(t *testing.T) {
	r := newRig(t, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	k := &proactor.Keeper{Dialer: &proactor.Dialer{Engine: r.engine}, Network: "tcp", Address: addr, MinWait: 8 * time.Millisecond, MaxWait: 32 * time.Millisecond}
	began := time.Now()
	k.Start()
	eventually(t, "six more dials", func() bool { return k.Redialed() >= 6 })
	// 8 + 16 + 4 × 32 ms, less up to a half
	if took := time.Since(began); took < (8+16+4*32)/2*time.Millisecond {
		t.Errorf("six waits took only %v", took)
	}
	k.Stop()
}

// A keeper ends with its engine, and one that is stopped while it dials opens
// nothing.
func TestKeeperEnds(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{})
		start := func() *proactor.Keeper {
			k := &proactor.Keeper{Dialer: &proactor.Dialer{Engine: r.engine}, Network: "tcp", Address: s.ListenAddr().String()}
			if err := k.Start(); err != nil {
				t.Fatal(err)
			}
			return k
		}
		for range 20 {
			start().Stop()
		}
		k := start()
		eventually(t, "a connection", func() bool { return k.Conn() != nil })
		within(t, "Close", r.engine.Close)
		if k.Conn() != nil {
			t.Error("a connection on a closed engine")
		}
		bad := &proactor.Keeper{Dialer: &proactor.Dialer{Engine: r.engine}, Network: "tcp", Address: "nonsense"}
		if err := bad.Start(); err != nil {
			t.Error(err)
		}
		bad.Stop()
		if _, err := r.engine.Conns(); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("Conns: %v", err)
		}
	})
}
