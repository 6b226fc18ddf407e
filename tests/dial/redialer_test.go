package dial_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// A redialer dials again when the server is away, when it comes back, and when it
// resets the connection; and no more once it is stopped.
func TestRedialer(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		l, err := net.Listen("tcp", must.Alone())
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		accept := func() *net.TCPConn {
			t.Helper()
			l.(*net.TCPListener).SetDeadline(time.Now().Add(must.Patience))
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c.(*net.TCPConn)
		}
		d := &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(proactor.Handler{Data: rig.Echo})}
		k := &proactor.Redialer{Dialer: d, Network: "tcp", Address: addr, MinWait: time.Millisecond, MaxWait: 20 * time.Millisecond}
		if err := k.Start(); err != nil {
			t.Fatal(err)
		}
		if k.Start() == nil {
			t.Error("it starts twice")
		}
		peer := accept()
		if c := r.Accepted(); c != k.Conn() {
			t.Error("Conn is another")
		}
		peer.SetDeadline(time.Now().Add(must.Patience))
		must.Ask(t, peer, "hello")
		peer.SetLinger(0)
		peer.Close()
		r.Ends(port.ErrReset)

		accept().Close() // it came back, and is sent away
		r.Accepted()
		r.Ends(proactor.ErrPeerClosed)
		accept()
		r.Accepted()

		l.Close() // the server is away
		before := k.Redialed()
		k.Conn().Abort()
		r.Ends(proactor.ErrLocalClosed)
		must.Eventually(t, "dials in vain", func() bool { return k.Redialed() > before+3 && k.Conn() == nil })
		if l, err = net.Listen("tcp", addr); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		peer = accept()
		r.Accepted()

		k.Stop()
		k.Stop()
		must.ReadEnd(t, peer, nil)
		peer.Close()
		r.Ends(proactor.ErrLocalClosed)
		must.Eventually(t, "no connection after the end", func() bool { return k.Conn() == nil })
	})
}

// The waits grow to the cap and no further, and never fall under half.
func TestRedialerWaits(t *testing.T) {
	r := rig.New(t, "")
	k := &proactor.Redialer{Dialer: &proactor.Dialer{Engine: r.Engine}, Network: "tcp", Address: must.Refusing(t), MinWait: 8 * time.Millisecond, MaxWait: 32 * time.Millisecond}
	began := time.Now()
	k.Start()
	must.Eventually(t, "six more dials", func() bool { return k.Redialed() >= 6 })
	// 8 + 16 + 4 × 32 ms, less up to a half
	if took := time.Since(began); took < (8+16+4*32)/2*time.Millisecond {
		t.Errorf("six waits took only %v", took)
	}
	k.Stop()
}

// A redialer ends with its engine, and one that is stopped while it dials opens
// nothing.
func TestRedialerEnds(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{})
		start := func() *proactor.Redialer {
			k := &proactor.Redialer{Dialer: &proactor.Dialer{Engine: r.Engine}, Network: "tcp", Address: s.ListenAddr().String()}
			if err := k.Start(); err != nil {
				t.Fatal(err)
			}
			return k
		}
		for range 20 {
			start().Stop()
		}
		k := start()
		must.Eventually(t, "a connection", func() bool { return k.Conn() != nil })
		must.Within(t, "Close", r.Engine.Close)
		if k.Conn() != nil {
			t.Error("a connection on a closed engine")
		}
		bad := &proactor.Redialer{Dialer: &proactor.Dialer{Engine: r.Engine}, Network: "tcp", Address: "nonsense"}
		if err := bad.Start(); err != nil {
			t.Error(err)
		}
		bad.Stop()
		if err := rig.Visit(r.Engine); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("EachConn: %v", err)
		}
	})
}
