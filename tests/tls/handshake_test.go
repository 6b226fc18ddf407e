package tls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// bytewise is a connection that sends a byte at a time, so that the stream is cut everywhere.
type bytewise struct{ net.Conn }

func (c bytewise) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// Handshake and records come a byte at a time.
func TestBytewise(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		c := tls.Client(bytewise{rig.Heedful{TCPConn: rig.Client(r.T, s)}}, dials)
		msg := must.Pattern(1, 300)
		must.Send(r.T, c, msg)
		must.Read(r.T, c, msg)
		if err := c.CloseWrite(); err != nil {
			r.Error(err)
		}
		must.ReadEnd(r.T, c, nil)
		c.Close()
		r.Ends(proactor.ErrPeerClosed)
	})
}

// What the tls.Config asks for is done: a client certificate, the protocol that both speak,
// the certificate of the name that the client wants, and a session resumed.
func TestConfig(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		cert, pool := rig.TLSCertificate()
		serves.ClientAuth, serves.ClientCAs = tls.RequireAndVerifyClientCert, pool
		serves.NextProtos, dials.NextProtos = []string{"b", "c"}, []string{"a", "b"}
		names := make(chan string, 10)
		serves.Certificates = nil
		serves.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if h.Conn.RemoteAddr().(*net.TCPAddr).Port == 0 {
				r.Error("no address of the client")
			}
			names <- h.ServerName
			return &cert, nil
		}
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		dials.Certificates = []tls.Certificate{cert}
		dials.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		dials.ServerName = "other"
		for i := range 2 {
			c := client(r, s, dials)
			must.Send(r.T, c, []byte("x")) // its answer comes behind the session ticket
			must.Read(r.T, c, []byte("x"))
			state := r.Accepted().TLS()
			if state == nil || state.ServerName != "other" || state.NegotiatedProtocol != "b" || len(state.PeerCertificates) != 1 || state.DidResume != (i == 1) {
				r.Errorf("%s, connection %d: %+v", tls.VersionName(version), i, state)
			}
			c.Close()
			r.Ends(proactor.ErrPeerClosed)
		}
		if name := must.Take(r.T, "GetCertificate", names); name != "other" {
			r.Errorf("asked for the certificate of %q", name)
		}
		dials.Certificates, dials.ClientSessionCache = nil, nil
		plain := rig.Client(r.T, s)
		c := tls.Client(plain, dials)
		err := c.Handshake()
		if err == nil { // 1.3: the client has done its part before the server looks
			_, err = c.Read(make([]byte, 1))
		}
		var alert *net.OpError
		if !errors.As(err, &alert) || !strings.Contains(err.Error(), "certificate required") && version == tls.VersionTLS13 {
			r.Errorf("no client certificate: %v", err)
		}
		plain.Close()
		must.Eventually(r.T, "gone", func() bool { return s.Conns() == 0 })
	})
}

// A handshake that fails is told by an alert, and the handler hears nothing. A dial fails with
// the reason.
func TestHandshakeFails(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		serves.MinVersion, dials.MaxVersion = tls.VersionTLS13, tls.VersionTLS12
		s := r.Serve(proactor.Handler{}, withTLS(serves))
		var alert *net.OpError
		plain := rig.Client(t, s)
		if err := tls.Client(plain, dials).Handshake(); !errors.As(err, &alert) || alert.Op != "remote error" {
			t.Errorf("crypto/tls of another version: %v", err)
		}
		plain.Close()
		d := &proactor.Dialer{Engine: r.Engine, TLS: dials}
		if _, err := d.Dial(must.Context(t), "tcp", s.ListenAddr().String()); !errors.As(err, &alert) {
			t.Errorf("a dialer of another version: %v", err)
		}
		var head tls.RecordHeaderError
		other := r.Serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Write([]byte("220 welcome\r\n")); c.Close() }})
		if _, err := d.Dial(must.Context(t), "tcp", other.ListenAddr().String()); !errors.As(err, &head) {
			t.Errorf("a server that speaks no TLS: %v", err)
		}
		must.Take(t, "Closed", r.Closed)
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 && other.Conns() == 0 })
	})
}

// A function of the tls.Config that panics ends its handshake alone.
func TestConfigPanics(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for name, leave := range map[string]func(){"panic": func() { panic("planted") }, "Goexit": func() { (*testing.T).SkipNow(new(testing.T)) }} {
			r := rig.New(t, backend)
			r.Panics = 1
			serves, dials := rig.TLS()
			serves.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				if h.ServerName == "other" {
					leave()
				}
				return nil, nil
			}
			s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
			bad := dials.Clone()
			bad.ServerName = "other"
			plain := rig.Client(t, s)
			if err := tls.Client(plain, bad).Handshake(); err == nil {
				t.Errorf("%s: the handshake succeeds", name)
			}
			plain.Close()
			c := client(r, s, dials)
			must.Send(t, c, []byte("x"))
			must.Read(t, c, []byte("x"))
			c.Close()
			r.Ends(proactor.ErrPeerClosed)
		}
	})
}

// hello is the ClientHello of crypto/tls.
func hello(t *testing.T, config *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer b.Close()
	go tls.Client(a, config).Handshake()
	defer a.Close()
	head := make([]byte, 5)
	must.Within(t, "a hello", func() error { _, err := io.ReadFull(b, head); return err })
	body := make([]byte, int(head[3])<<8|int(head[4]))
	must.Within(t, "a hello", func() error { _, err := io.ReadFull(b, body); return err })
	return append(head, body...)
}

// A client that ends its side before its ClientHello is whole, as some probes do, sees the end of the stream and no reset.
func TestEndsBeforeTheHello(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		serves, dials := rig.TLS()
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		for _, part := range []int{0, 1, 9} {
			c := rig.Client(t, s)
			c.Write(hello(t, dials)[:part])
			c.CloseWrite()
			if b, err := io.ReadAll(c); err != nil {
				t.Errorf("%d bytes of a ClientHello: %q, %v", part, b, err)
			}
		}
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
	})
}

// Clients that stop anywhere in the handshake hold up nobody, are ended by HandshakeTimeout,
// and leave no goroutine behind. Nor do those that Shutdown or the end of the engine meets.
func TestHandshakeStops(t *testing.T) {
	rig.EachTogether(t, func(t *testing.T, backend string) {
		serves, dials := rig.TLS()
		full := hello(t, dials)
		for _, part := range []int{0, 1, 4, 5, 9, len(full) - 1, len(full)} {
			r := rig.New(t, backend)
			timed := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves), rig.Limits(proactor.Limits{HandshakeTimeout: 50 * time.Millisecond, LingerTimeout: -1}))
			for range 3 {
				c := rig.Client(t, timed)
				c.Write(full[:part])    // fails when the time is over
				got, _ := io.ReadAll(c) // a FIN, or a reset
				if part < len(full) && len(got) > 0 {
					t.Errorf("an answer to %d bytes of %d of a ClientHello", part, len(full))
				}
			}
			must.Eventually(t, "counted", func() bool { return r.Engine.Stats().Limited.Handshake == 3 })
			s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves), rig.Limits(proactor.Limits{LingerTimeout: -1}))
			for range 10 {
				must.Send(t, rig.Client(t, s), full[:part])
			}
			c := client(r, s, dials)
			must.Send(t, c, []byte("x"))
			must.Read(t, c, []byte("x"))
			c.Close()
			r.Ends(proactor.ErrPeerClosed)
			if part%2 == 0 {
				must.Within(t, "Shutdown", func() error { return s.Shutdown(context.Background()) })
			} // else the rig closes the engine
		}
	})
}

// A ClientHello that is not whole costs no goroutine.
func TestNoGoroutineBeforeTheHello(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		if backend == "std" {
			t.Skip("a goroutine a connection is what this backend is made of")
		}
		serves, dials := rig.TLS()
		full := hello(t, dials)
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		const clients = 50
		before := runtime.NumGoroutine()
		for range clients {
			must.Send(t, rig.Client(t, s), full[:len(full)-1])
		}
		must.Eventually(t, "all have arrived", func() bool { return r.Engine.Stats().BytesIn == int64(clients*(len(full)-1)) })
		must.Eventually(t, "no goroutine is there that was not", func() bool { return runtime.NumGoroutine() <= before })
	})
}

// A client that ends the connection within the handshake, in order or not, is soon gone.
func TestHandshakeCut(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		serves, dials := rig.TLS()
		full := hello(t, dials)
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		for _, part := range []int{0, 3, 20, len(full)} {
			for _, reset := range []bool{false, true} {
				c := rig.Client(t, s)
				must.Send(t, c, full[:part])
				if reset {
					c.SetLinger(0)
					c.Close()
					continue
				}
				c.CloseWrite()
				io.Copy(io.Discard, c)
			}
		}
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
	})
}

// What is no TLS at all is refused at its first five bytes; plain HTTP gets one line of the log.
func TestNoTLS(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, _ := rig.TLS()
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n", "\x16\x04\x00\x00\x05", "\x80\x2e\x01\x03\x01", "\x17\x03\x03\x00\x01x"} {
			c := rig.Client(t, s)
			must.Send(t, c, []byte(text))
			if got, _ := io.ReadAll(c); len(got) > 0 { // a FIN, or a reset
				t.Errorf("%q is answered %q", text, got)
			}
			c.Close()
		}
		must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
		must.Eventually(t, "logged", func() bool { return strings.Contains(r.Logged.String(), "plain HTTP") })
		if n := strings.Count(r.Logged.String(), "plain HTTP"); n != 1 {
			t.Errorf("%d lines about plain HTTP", n)
		}
	})
}

// Settings that mean nothing are refused.
func TestSettings(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		layer := func() proactor.Layer { return nil }
		for what, s := range map[string]*proactor.Server{
			"no certificate":                {TLS: &tls.Config{}},
			"no certificate behind a Layer": {TLS: &tls.Config{}, Layer: layer},
		} {
			s.Engine, s.Addr = r.Engine, "127.0.0.1:0"
			if err := s.Listen(); err == nil {
				t.Errorf("%s: Listen succeeds", what)
				s.Close()
			}
		}
		d := &proactor.Dialer{Engine: r.Engine, TLS: &tls.Config{Renegotiation: tls.RenegotiateOnceAsClient}, Layer: layer}
		if _, err := d.Dial(must.Context(t), "tcp", "127.0.0.1:1"); !errors.Is(err, port.ErrInvalid) {
			t.Errorf("a dial with a renegotiation behind a Layer: %v", err)
		}
	})
}

// The certificate and its pool fit: else no test here says anything.
func TestCertificate(t *testing.T) {
	c, pool := rig.TLSCertificate()
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server", "other"} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: pool}); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(leaf.Raw, c.Certificate[0]) {
		t.Error("another certificate")
	}
}

// A dialer's config gets the name of the address also where it verifies nothing but by functions of
// its own.
func TestServerNameOfTheAddress(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		serves, _ := rig.TLS()
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{}, withTLS(serves))
		_, port, _ := net.SplitHostPort(s.ListenAddr().String())
		got := make(chan string, 1)
		d := &proactor.Dialer{Engine: r.Engine, TLS: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
			got <- state.ServerName
			return nil
		}}}
		c, err := d.Dial(must.Context(t), "tcp4", "localhost:"+port)
		if err != nil {
			t.Fatal(err)
		}
		if name := must.Take(t, "VerifyConnection", got); name != "localhost" {
			t.Errorf("the name of the server is %q", name)
		}
		c.Close()
	})
}
