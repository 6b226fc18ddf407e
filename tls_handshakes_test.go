package proactor_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

// waiting waits until so many handshakes wait for their clients.
func waiting(t *testing.T, e *proactor.Engine, n int) {
	t.Helper()
	must.Eventually(t, "the handshakes wait", func() bool { clients, _ := proactor.HandshakesWait(e); return clients == n })
}

// Where clients that stall in the middle of the handshake have all places, the one that has
// stalled longest ends so that another client gets in.
func TestCrowdedHandshakes(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		const places = 3
		proactor.HandshakesMost(r.Engine, places)
		serves, dials := rig.TLS()
		hello := proactor.HelloOf(dials)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{HandshakeTimeout: -1, LingerTimeout: -1}), withTLS(serves))
		var stalled []net.Conn
		for i := range places {
			stalled = append(stalled, stall(t, s, hello))
			waiting(t, r.Engine, i+1)
		}
		for i := range 3 {
			asks(r, s, dials)
			io.Copy(io.Discard, stalled[i]) // a FIN, or a reset
			rig.Limited(t, r, proactor.LimitCounts{Crowded: int64(i + 1)})
			must.Eventually(t, "counted", func() bool { return r.Engine.Stats().Handshakes.Crowded == int64(i+1) })
			rig.Counted(t, s, places-1)
			stalled = append(stalled, stall(t, s, hello))
			waiting(t, r.Engine, places)
		}
	})
}

// Thousands of clients that stop in the middle of the handshake have no more than all places, and
// keep nobody out.
func TestHandshakesThatStop(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		n, places := testenv.Scaled(5000), 1024
		if !testenv.Long() {
			n, places = 40, 10
		}
		places = min(places, n)
		proactor.HandshakesMost(r.Engine, places)
		serves, dials := rig.TLS()
		hello := proactor.HelloOf(dials)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{HandshakeTimeout: -1, LingerTimeout: -1}), withTLS(serves))
		for i := range n {
			stall(t, s, hello)
			if i%100 == 99 { // few enough for a backlog
				must.Eventually(t, "accepted", func() bool { return r.Engine.Stats().Accepted == int64(i+1) })
			}
		}
		waiting(t, r.Engine, places)
		rig.Limited(t, r, proactor.LimitCounts{Crowded: int64(n - places)})
		rig.Counted(t, s, places)
		for range 10 {
			asks(r, s, dials)
		}
		must.Within(t, "Shutdown", func() error { return s.Shutdown(context.Background()) })
	})
}

// stall connects a client that goes no further than its ClientHello.
func stall(t *testing.T, s *proactor.Server, hello []byte) net.Conn {
	t.Helper()
	c := rig.Client(t, s)
	must.Send(t, c, hello)
	return c
}

// asks has a client come, be answered, and go.
func asks(r *rig.Rig, s *proactor.Server, dials *tls.Config) {
	r.Helper()
	c := tls.Client(rig.Client(r.T, s), dials)
	must.Ask(r.T, c, "x")
	c.Close()
	r.Ends(proactor.ErrPeerClosed)
}

func withTLS(config *tls.Config) func(*proactor.Server) {
	return func(s *proactor.Server) { s.TLS = config }
}

// Dials whose servers stall have places of their own, and so have clients.
func TestDialsAndClientsApart(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		proactor.HandshakesMost(r.Engine, 1)
		serves, dials := rig.TLS()
		hello := proactor.HelloOf(dials)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{HandshakeTimeout: -1, LingerTimeout: -1}), withTLS(serves))
		stop := make(chan bool)
		defer close(stop)
		silent := must.Serve(t, must.Lifetime, func(*net.TCPConn) { <-stop })
		d := &proactor.Dialer{Engine: r.Engine, TLS: dials, Handler: proactor.Handler{}}
		ctx, cancel := context.WithCancel(must.Context(t))
		failed := make(chan error, 1)
		go func() {
			_, err := d.Dial(ctx, "tcp", silent)
			failed <- err
		}()
		dialing := func(n int) {
			t.Helper()
			must.Eventually(t, "dials wait", func() bool { _, servers := proactor.HandshakesWait(r.Engine); return servers == n })
		}
		dialing(1)
		asks(r, s, dials)
		cancel()
		if err := must.Take(t, "Dial", failed); err == nil {
			t.Error("the dial succeeds")
		}
		dialing(0)
		stall(t, s, hello)
		waiting(t, r.Engine, 1)
		other := must.Serve(t, must.Lifetime, func(c *net.TCPConn) { io.Copy(io.Discard, tls.Server(c, serves)) })
		c, err := d.Dial(must.Context(t), "tcp", other)
		if err != nil {
			t.Fatal(err)
		}
		c.Abort()
	})
}

// slowKey is a key that signs when it is told to.
type slowKey struct {
	crypto.Signer
	begun chan bool
	goOn  chan bool
	now   atomic.Int32
	most  atomic.Int32
}

func (k *slowKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	for n := k.now.Add(1); ; {
		if most := k.most.Load(); n <= most || k.most.CompareAndSwap(most, n) {
			break
		}
	}
	k.begun <- true
	<-k.goOn
	k.now.Add(-1)
	return k.Signer.Sign(rand, digest, opts)
}

// Of many handshakes no more than a half of the processors compute, also where they
// compute for long, and connections whose handshake is done are served meanwhile.
func TestComputeMost(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		s := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{HandshakeTimeout: -1}), withTLS(serves))
		c := tls.Client(rig.Client(t, s), dials)
		must.Ask(t, c, "x")
		most := proactor.ComputeMost()
		n := 3*most + 1
		key := &slowKey{begun: make(chan bool, n), goOn: make(chan bool, n)}
		release := sync.OnceFunc(func() { close(key.goOn) })
		t.Cleanup(release) // before the engine ends
		pair := serves.Certificates[0]
		key.Signer = pair.PrivateKey.(crypto.Signer)
		pair.PrivateKey = key
		slow := r.Serve(proactor.Handler{Data: rig.Echo}, rig.Limits(proactor.Limits{HandshakeTimeout: -1}), withTLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
		var all sync.WaitGroup
		for range n {
			c := tls.Client(rig.Client(t, slow), dials)
			all.Go(func() {
				if err := c.Handshake(); err != nil {
					t.Error(err)
				}
				c.Close()
			})
		}
		for i := range n {
			must.Take(t, "a signature", key.begun)
			must.Ask(t, c, "x")
			if i >= most-1 {
				key.goOn <- true
			}
		}
		release()
		all.Wait()
		if got := int(key.most.Load()); got != most {
			t.Errorf("%d computed at the same time, want %d", got, most)
		}
		c.Close()
		for range n + 1 {
			must.Take(t, "Closed", r.Closed)
		}
	})
}
