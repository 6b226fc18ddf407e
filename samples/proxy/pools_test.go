package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pires "github.com/pires/go-proxyproto"
	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/proxyproto"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/tests/rig"
)

// namesake is a server that says a name, and echoes.
func namesake(t *testing.T, name string) Address {
	return Address{"tcp", backend(t, func(c *net.TCPConn) {
		io.WriteString(c, name)
		io.Copy(c, c)
	})}
}

// secured is one that does so over TLS.
func secured(t *testing.T, name string) Address {
	serves, _ := rig.TLS()
	return Address{"tcp", backend(t, func(c *net.TCPConn) {
		s := tls.Server(c, serves)
		io.WriteString(s, name)
		io.Copy(s, s)
		s.CloseWrite()
	})}
}

// with starts a proxy.
func with(t *testing.T, b string, c Config, change ...func(*Server)) *Server {
	t.Helper()
	s := build(t, Options{Addr: "127.0.0.1:0", Config: &c, Engine: echotest.Engine(t, b)})
	for _, f := range change {
		f(s)
	}
	echotest.Listen(t, s)
	return s
}

// says talks to a proxy: the server behind must say this name.
func says(t *testing.T, c net.Conn, want string) {
	t.Helper()
	must.Send(t, c, []byte("abc"))
	must.Read(t, c, []byte(want+"abc"))
}

func dial(t *testing.T, s *Server) net.Conn { return echotest.Dial(t, s.ListenAddr().String()) }

// A server that refuses costs no client anything: another one is tried, and after some failures that first.
func TestRetry(t *testing.T) {
	porttest.Each(t, func(t *testing.T, b string) {
		dead := Address{"tcp", must.Refusing(t)}
		s := with(t, b, Config{Pools: []Pool{{Name: "p", Servers: []Address{dead, namesake(t, "live ")}, Retries: 1}}, Default: "p"})
		for range 10 {
			c := dial(t, s)
			says(t, c, "live ")
			c.Close()
		}
		if of := s.inUse.Load().pools["p"]; of.up(of.servers[0]) || !of.up(of.servers[1]) {
			t.Error("the server that refuses is not down, or the other one is")
		}
		if s.Failed() != 0 {
			t.Errorf("%d clients have failed", s.Failed())
		}
	})
}

// Without a server that takes him a client is reset, after as many tries as there may be.
func TestAllRefuse(t *testing.T) {
	echotest.Plain(t, "its client speaks none")
	porttest.Each(t, func(t *testing.T, b string) {
		servers := []Address{{"tcp", must.Refusing(t)}, {"tcp", must.Refusing(t)}}
		s := with(t, b, Config{Pools: []Pool{{Name: "p", Servers: servers, Retries: 5}}, Default: "p"})
		if c, err := net.DialTimeout("tcp", s.ListenAddr().String(), echotest.Patience); err == nil { // else the reset came while it looked
			defer c.Close()
			c.SetDeadline(time.Now().Add(echotest.Patience))
			porttest.Reset(t, c)
		}
		echotest.Until(t, "the client is counted", func() bool { return s.Failed() == 1 })
		of := s.inUse.Load().pools["p"]
		echotest.Until(t, "no server has a client", func() bool {
			return of.servers[0].conns.Load() == 0 && of.servers[1].conns.Load() == 0
		})
	})
}

// The name in the ClientHello leads to a server, which speaks TLS itself; or the proxy does, and the name is
// that of its handshake.
func TestNamesLead(t *testing.T) {
	echotest.Plain(t, "it begins that itself")
	porttest.Each(t, func(t *testing.T, b string) {
		for _, ends := range []bool{false, true} {
			to := secured
			if ends {
				to = namesake
			}
			s := with(t, b, Config{
				Pools:   []Pool{{Name: "s", Servers: []Address{to(t, "s ")}}, {Name: "o", Servers: []Address{to(t, "o ")}}},
				Routes:  []Route{{"server", "s"}, {"other", "o"}},
				Default: "o",
			}, func(s *Server) {
				if ends {
					s.TLS, _ = rig.TLS()
				}
			})
			for name, want := range map[string]string{"server": "s ", "other": "o ", "localhost": "o "} {
				_, dials := rig.TLS()
				dials.ServerName = name
				c := tls.Client(dial(t, s), dials)
				says(t, c, want)
				c.Close()
			}
		}
	})
}

// Who sends no ClientHello where that leads is given to the default; a name without a way is reset.
func TestNoName(t *testing.T) {
	echotest.Plain(t, "it is about clients that speak none")
	porttest.Each(t, func(t *testing.T, b string) {
		pools := []Pool{{Name: "p", Servers: []Address{namesake(t, "p ")}}}
		s := with(t, b, Config{Pools: pools, Routes: []Route{{"server", "p"}}, Default: "p"})
		says(t, dial(t, s), "p ")
		s = with(t, b, Config{Pools: pools, Routes: []Route{{"server", "p"}}})
		c := dial(t, s)
		must.Send(t, c, []byte("GET"))
		porttest.Reset(t, c)
	})
}

// On a simulated clock a client that says nothing, where its ClientHello leads, is reset after 10 s.
func TestLateHello(t *testing.T) {
	proactortest.Config{Seeds: 3, Network: port.SimConfig{MinDelay: time.Microsecond, MaxDelay: time.Microsecond}}.Run(t, func(e *proactortest.Env) {
		to := e.Serve(&proactor.Server{})
		s, err := New(Options{Addr: "127.0.0.1:0", Engine: e.Engine, Log: echotest.Quiet(), Config: &Config{
			Pools: []Pool{{Name: "p", Servers: []Address{{"tcp", to.ListenAddr().String()}}}}, Routes: []Route{{"server", "p"}},
		}})
		if err == nil {
			err = s.Listen()
		}
		if err != nil {
			e.Fatal(err)
		}
		c := e.Dial(s.Server)
		began := time.Now()
		c.Send("\x16\x03\x01")
		c.ExpectReset()
		if d := time.Since(began); d < helloTimeout || d > 2*helloTimeout {
			e.Errorf("reset after %v", d)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			e.Error(err)
		}
	})
}

// A PROXY header comes in from a trusted peer, goes out before the bytes of the client, also before TLS, and
// tells of the client and the name that it asked for.
func TestHeaders(t *testing.T) {
	everybody := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	serves, dials := rig.TLS()
	porttest.Each(t, func(t *testing.T, b string) {
		for _, version := range []int{1, 2} {
			for _, secure := range []bool{false, true} {
				e := echotest.Engine(t, b)
				to := &proactor.Server{
					Addr: "127.0.0.1:0", Engine: e, Log: echotest.Quiet(), Layer: proxyproto.Receive(proxyproto.Options{Trusted: everybody}),
					Handler: proactor.Handler{
						Opened: func(c *proactor.Conn) {
							h := proxyproto.Of(c)
							fmt.Fprintf(c, "%v %v %s ", h.Source, h.Destination, h.Authority())
						},
						Data: rig.Echo,
					},
				}
				p := Pool{Name: "p", Header: version, Every: time.Hour} // checks, too, have a header
				if secure {
					to.TLS, p.TLS = serves, dials
				}
				p.Servers = []Address{{"tcp", echotest.ListenPlain(t, to)}}
				s := with(t, b, Config{Pools: []Pool{p}, Routes: []Route{{"server", "p"}}, Trusted: everybody}, func(s *Server) { s.TLS = serves })
				c := dial(t, s)
				h := proxyproto.Header{Version: 2, Source: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5}, Destination: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 6}}
				h.TLVs = []proxyproto.TLV{{Type: pires.PP2_TYPE_ALPN, Value: []byte("h2")}}
				head, err := h.Format()
				if err != nil {
					t.Fatal(err)
				}
				must.Send(t, c, head)
				name := ""
				if version == 2 {
					name = "server"
				}
				says(t, tls.Client(c, dials), "192.0.2.1:5 192.0.2.2:6 "+name+" ")
				c.Close()
			}
		}
	})
}

// A reload leaves the clients that are there alone; new ones follow it. One that cannot be changes nothing.
func TestReload(t *testing.T) {
	porttest.Each(t, func(t *testing.T, b string) {
		one, two := namesake(t, "1 "), namesake(t, "2 ")
		config := func(servers ...Address) *Config {
			return &Config{Pools: []Pool{{Name: "p", Servers: servers, Every: time.Hour}}, Default: "p"}
		}
		s := with(t, b, *config(one))
		old := dial(t, s)
		says(t, old, "1 ")
		kept := s.inUse.Load().pools["p"].servers[0]
		if err := s.Reload(config(two, one)); err != nil {
			t.Fatal(err)
		}
		if s.inUse.Load().pools["p"].servers[1] != kept || kept.conns.Load() != 1 {
			t.Error("the server that stays is not the same")
		}
		if err := s.Reload(config(two)); err != nil {
			t.Fatal(err)
		}
		says(t, dial(t, s), "2 ")
		if err := s.Reload(config(Address{"tcp", s.ListenAddr().String()})); !errors.Is(err, ErrLoop) {
			t.Errorf("to itself: %v", err)
		}
		trusts := config(one)
		trusts.Trusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		for what, c := range map[string]*Config{"trust": trusts, "an empty pool": config(), "no pool": {Default: "x"}} {
			if err := s.Reload(c); err == nil {
				t.Errorf("%s is taken", what)
			}
		}
		says(t, dial(t, s), "2 ")
		must.Send(t, old, []byte("still"))
		must.Read(t, old, []byte("still"))
		echotest.Until(t, "its end is noted", func() bool { old.Close(); return kept.conns.Load() == 0 })
	})
}

// Checks find a server that refuses, and find it again when it listens.
func TestChecks(t *testing.T) {
	porttest.Each(t, func(t *testing.T, b string) {
		at := must.Free(t)
		s := with(t, b, Config{Pools: []Pool{{Name: "p", Servers: []Address{{"tcp", at}, namesake(t, "x")}, Every: 5 * time.Millisecond}}, Default: "p"})
		of := s.inUse.Load().pools["p"]
		echotest.Until(t, "down", func() bool { return !of.up(of.servers[0]) })
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Skip("the address was taken: ", err)
		}
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				c.Close()
			}
		}()
		echotest.Until(t, "up", func() bool { return of.up(of.servers[0]) })
		l.Close()
	})
}

// A check begins Every after the one before has begun, but not before that has ended: on a simulated clock,
// where a connect takes two seconds.
func TestOneCheckAtATime(t *testing.T) {
	proactortest.Config{Seeds: 3, Network: port.SimConfig{MinDelay: time.Second, MaxDelay: time.Second}}.Run(t, func(e *proactortest.Env) {
		for every, want := range map[time.Duration]int64{100 * time.Millisecond: 50, 10 * time.Second: 10} {
			var checks atomic.Int64
			to := e.Serve(&proactor.Server{Handler: proactor.Handler{Opened: func(*proactor.Conn) { checks.Add(1) }}})
			s, err := New(Options{Addr: "127.0.0.1:0", Engine: e.Engine, Log: echotest.Quiet(), Config: &Config{
				Pools: []Pool{{Name: "p", Servers: []Address{{"tcp", to.ListenAddr().String()}}, Every: every}}, Default: "p",
			}})
			if err == nil {
				err = s.Listen()
			}
			if err != nil {
				e.Fatal(err)
			}
			e.Sleep(100 * time.Second)
			if n := checks.Load(); n < want-1 || n > want+1 {
				e.Errorf("%d checks in 100 s, one each %v, want %d", n, every, want)
			}
			if err := s.Shutdown(context.Background()); err != nil {
				e.Error(err)
			}
		}
	})
}

// A name that HAProxy would not take in a header is not told, and its client is served.
func TestLongNameIsNotTold(t *testing.T) {
	echotest.Plain(t, "its clients send a ClientHello of their own")
	everybody := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	porttest.Each(t, func(t *testing.T, b string) {
		to := &proactor.Server{
			Addr: "127.0.0.1:0", Engine: echotest.Engine(t, b), Log: echotest.Quiet(), Layer: proxyproto.Receive(proxyproto.Options{Trusted: everybody}),
			Handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
				fmt.Fprintf(c, "%d ", len(proxyproto.Of(c).Authority()))
				return len(p)
			}},
		}
		s := with(t, b, Config{
			Pools:  []Pool{{Name: "p", Header: 2, Servers: []Address{{"tcp", echotest.ListenPlain(t, to)}}}},
			Routes: []Route{{"*.example", "p"}},
		})
		for n, want := range map[int]string{255: "255 ", 256: "0 "} {
			c := must.Dial(t, s.ListenAddr())
			must.Send(t, c, clientHello(strings.Repeat("x", n-len(".example"))+".example", &tls.Config{}))
			must.Read(t, c, []byte(want))
			c.Close()
		}
	})
}
