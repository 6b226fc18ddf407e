package proactor_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/inspect"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// addrs are addresses of this machine, in order.
func addrs(t *testing.T, texts ...string) (all []port.Addr) {
	t.Helper()
	for _, s := range texts {
		a, err := port.ResolveAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// deadAddress is an address that does not answer, where the system has one that does
// not need another machine.
func deadAddress(t *testing.T) (address string, ok bool) {
	t.Helper()
	if address, ok = must.Hanging(t); ok {
		return address, true
	}
	t.Log("connects do not hang here: a backlog has room for many; simulated networks show the rest")
	return must.Refusing(t), false
}

// raceResult is what done was told.
type raceResult struct {
	c   *proactor.Conn
	err error
}

// A name whose first addresses are dead or refuse is dialed well before its
// timeout. Nothing is left of the others, no callback hears of them, and they
// count as no connections.
func TestDialRace(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		dead, _ := deadAddress(t)
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		live := s.ListenAddr().String()
		for _, list := range [][]string{{live}, {dead, live}, {dead, dead, live}, {must.Refusing(t), live}, {dead, must.Refusing(t), live, dead}, {live, dead}} {
			d := &proactor.Dialer{Engine: r.Engine, Timeout: must.Patience, Handler: r.Watch(proactor.Handler{})}
			before := r.Engine.Stats().Dialed
			done := make(chan raceResult, 2)
			proactor.DialAddrs(d, context.Background(), addrs(t, list...), func(c *proactor.Conn, err error) { done <- raceResult{c, err} })
			got := must.Take(t, "done", done)
			if got.err != nil || got.c.RemoteAddr().String() != live {
				t.Fatalf("%v: %+v", list, got)
			}
			for range 2 { // both ends
				r.Accepted()
			}
			must.Eventually(t, "the others are gone", func() bool {
				n := 0
				for _, p := range inspect.Ports(r.Engine) {
					n += p.Sockets
				}
				return n == 3 && r.Engine.Stats().Dialed == before+1 // and the listener
			})
			got.c.Abort()
			for range 2 {
				must.Take(t, "Closed", r.Closed)
			}
			if len(done) > 0 || len(r.Opened) > 0 {
				t.Errorf("%v: done or Opened was called again", list)
			}
		}
		must.Within(t, "Engine.Close", r.Engine.Close)
	})
}

// A dial of which no attempt succeeds tells the first one's error, when its time is
// over that; and it ends with its context and its engine.
func TestDialRaceFails(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		dead, hangs := deadAddress(t)
		nobody, other := must.Refusing(t), must.Refusing(t)
		r := rig.New(t, backend)
		dial := func(ctx context.Context, limit time.Duration, list ...string) error {
			t.Helper()
			d := &proactor.Dialer{Engine: r.Engine, Timeout: limit, Handler: r.Watch(proactor.Handler{})}
			done := make(chan error, 2)
			proactor.DialAddrs(d, ctx, addrs(t, list...), func(_ *proactor.Conn, err error) { done <- err })
			return must.Take(t, "done", done)
		}
		err := dial(context.Background(), must.Patience, nobody, other)
		if !errors.Is(err, port.ErrRefused) || !strings.HasPrefix(err.Error(), "dial tcp "+nobody+": connect: ") {
			t.Errorf("all refuse: %v", err)
		}
		if !hangs {
			must.Within(t, "Engine.Close", r.Engine.Close)
			return
		}
		timedOut := func(err error) {
			t.Helper()
			var ne net.Error
			if !errors.Is(err, port.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || !os.IsTimeout(err) || !errors.As(err, &ne) || !ne.Timeout() {
				t.Errorf("after the timeout: %v", err)
			}
		}
		if err = dial(context.Background(), 4*must.Short, nobody, dead); !strings.Contains(err.Error(), nobody) {
			t.Errorf("the first error is not told: %v", err)
		}
		timedOut(err)
		timedOut(dial(context.Background(), 4*must.Short, dead, dead, dead))
		timedOut(dial(context.Background(), 1, dead))
		ctx, cancel := context.WithTimeout(context.Background(), must.Short)
		timedOut(dial(ctx, 0, dead, dead))
		cancel()
		ctx, cancel = context.WithCancel(context.Background())
		time.AfterFunc(must.Short, cancel)
		if err := dial(ctx, 0, dead, dead); !errors.Is(err, context.Canceled) || os.IsTimeout(err) {
			t.Errorf("after the cancel: %v", err)
		}
		// More addresses than are tried at once: the oldest give way.
		if err := dial(context.Background(), 12*must.Short, slices.Repeat([]string{dead}, 40)...); err == nil {
			t.Error("connected")
		}
		done := make(chan error, 2)
		d := &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(proactor.Handler{})}
		proactor.DialAddrs(d, context.Background(), addrs(t, dead, dead, dead), func(_ *proactor.Conn, err error) { done <- err })
		must.Within(t, "Engine.Close", r.Engine.Close)
		if err := must.Take(t, "done", done); !errors.Is(err, proactor.ErrEngineClosed) {
			t.Errorf("when the engine has closed: %v", err)
		}
		if len(r.Opened) > 0 || r.Engine.Stats().Dialed != 0 || r.Engine.Stats().Closed != 0 {
			t.Errorf("connections were made: %+v", r.Engine.Stats())
		}
	})
}

// Every address that a server says it has can be dialed.
func TestDialListenAddr(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		for _, x := range [][2]string{{"tcp", ":0"}, {"tcp", "0.0.0.0:0"}, {"tcp", "[::]:0"}, {"tcp4", ":0"}, {"tcp6", ":0"}} {
			s := &proactor.Server{Network: x[0], Addr: x[1], Engine: r.Engine, Handler: r.Watch(proactor.Handler{})}
			if err := s.Listen(); err != nil {
				t.Logf("no %v here: %v", x, err)
				continue
			}
			_, number, _ := net.SplitHostPort(s.ListenAddr().String())
			for _, to := range [][2]string{{"tcp", s.ListenAddr().String()}, {x[0], s.ListenAddr().String()}, {x[0], ":" + number}} {
				d := &proactor.Dialer{Engine: r.Engine, Timeout: must.Patience, Handler: r.Watch(proactor.Handler{})}
				c, err := d.Dial(context.Background(), to[0], to[1])
				if err != nil {
					t.Errorf("listens at %v: %v", x, err)
					continue
				}
				if ip := c.RemoteAddr().(*net.TCPAddr).IP; !ip.IsLoopback() {
					t.Errorf("connected to %v", ip)
				}
			}
		}
		must.Within(t, "Engine.Close", r.Engine.Close)
	})
}

// What cannot be dialed is an error, and nothing else.
func TestDialBadInput(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		d := &proactor.Dialer{Engine: r.Engine}
		for _, x := range []struct {
			d                *proactor.Dialer
			network, address string
			want             error
		}{
			{&proactor.Dialer{}, "tcp", "127.0.0.1:1", nil},
			{&proactor.Dialer{Engine: r.Engine, Timeout: -1}, "tcp", "127.0.0.1:1", port.ErrInvalid},
			{d, "udp", "127.0.0.1:1", port.ErrInvalid},
			{d, "tcp", "127.0.0.1", nil},
			{d, "tcp", "127.0.0.1:65536", nil},
			{d, "tcp", "127.0.0.1:no-such-service", nil},
			{d, "tcp4", "[::1]:1", nil},
			{d, "tcp", "[fe80::1%nowhere]:1", port.ErrAddrNotAvail},
			{d, "tcp", "", nil},
			{d, "unix", "", port.ErrInvalid},
			{d, "unix", "/a\x00b", port.ErrInvalid},
			{d, "unix", "/" + strings.Repeat("x", 1<<16), port.ErrInvalid},
			{&proactor.Dialer{Engine: r.Engine, LocalAddr: "127.0.0.1"}, "tcp", "[::1]:1", port.ErrAddrNotAvail},
			{&proactor.Dialer{Engine: r.Engine, LocalAddr: "no port:x"}, "tcp", "127.0.0.1:1", nil},
		} {
			c, err := x.d.Dial(must.Context(t), x.network, x.address)
			if err == nil || x.want != nil && !errors.Is(err, x.want) || c != nil {
				t.Errorf("dial %s %.40q: %v, want %v", x.network, x.address, err, x.want)
			}
			if err != nil && (!strings.HasPrefix(err.Error(), "dial "+x.network) || strings.Count(err.Error(), "dial") != 1) {
				t.Errorf("it says %q", err)
			}
		}
		if _, err := d.Dial(must.Context(t), "tcp", "[fe80::1]:1"); err == nil || !strings.Contains(err.Error(), "zone") {
			t.Errorf("a link-local address without a zone: %v", err)
		}
		must.Within(t, "Engine.Close", r.Engine.Close)
	})
}

// On simulated networks a name whose first address is dead is reached all the
// same; of attempts that answer at once one is opened; a run is the same again.
func TestDialRaceProperties(t *testing.T) {
	dead4, dead6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	live4, live6 := netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()
	porttest.SameAgain(t, func() string {
		var trace strings.Builder
		network := proactortest.Fair()
		network.MaxDelay, network.Trace = 500*time.Millisecond, &trace // answers cross the next attempts
		cfg := proactortest.Config{Seeds: testenv.Scaled(40), Network: network}
		cfg.Run(t, func(e *proactortest.Env) {
			s := e.Serve(&proactor.Server{Network: "tcp", Addr: "[::]:0", Handler: proactor.Handler{Data: rig.Echo}})
			_, number, _ := net.SplitHostPort(s.ListenAddr().String())
			for i, ips := range [][]netip.Addr{
				{dead6, live4}, {dead6, dead6, dead4, live6}, {live6, live4}, {live4, live4, live4, live6, live6}, {dead4, live4, dead6, live6},
			} {
				e.Net.SetHost("name", ips...)
				var opened, closed atomic.Int64
				d := &proactor.Dialer{Engine: e.Engine, Timeout: 20 * time.Second, Handler: proactor.Handler{
					Opened: func(*proactor.Conn) { opened.Add(1) },
					Closed: func(*proactor.Conn, error) { closed.Add(1) },
				}}
				c, err := d.Dial(e.Context(), "tcp", "name:"+number)
				if err != nil {
					e.Fatalf("list %d: %v", i, err)
				}
				e.Sleep(time.Minute)
				if n := e.Engine.Stats(); opened.Load() != 1 || closed.Load() != 0 || n.Dialed != int64(i+1) || s.Conns() != 1 {
					e.Errorf("list %d: %d opened, %d closed, the server has %d: %+v", i, opened.Load(), closed.Load(), s.Conns(), n)
				}
				c.Abort()
				if e.Sleep(time.Minute); closed.Load() != 1 || s.Conns() != 0 {
					e.Errorf("list %d: after Abort %d closed, the server has %d", i, closed.Load(), s.Conns())
				}
			}
			d := &proactor.Dialer{Engine: e.Engine, Timeout: 3 * time.Second}
			e.Net.SetHost("name", dead6, dead4)
			if _, err := d.Dial(e.Context(), "tcp", "name:1"); !errors.Is(err, port.ErrTimeout) || !os.IsTimeout(err) {
				e.Errorf("all are dead: %v", err)
			}
			if _, err := d.Dial(e.Context(), "tcp", "nobody:1"); err == nil {
				e.Error("a name that nobody has was dialed")
			}
		})
		return trace.String()
	})
}
