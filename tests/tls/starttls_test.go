package tls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/proactortest"
	"github.com/proactor-go/proactor/tests/rig"
)

// The protocol of these tests: a line STLS is answered OK, in the clear, and from then on the
// connection speaks TLS. Other bytes are echoed.
const (
	ask = "STLS\r\n"
	ok  = "OK\r\n"
)

// errs is a test, or one seed of it.
type errs interface{ Errorf(string, ...any) }

// starts is a server's Data: it answers STLS, writes what is to be the first of TLS, and echoes
// from then on.
func starts(t errs, config *tls.Config, first string) func(*proactor.Conn, []byte) int {
	return func(c *proactor.Conn, p []byte) int {
		switch {
		case c.TLS() != nil:
			c.Write(p)
			return len(p)
		case len(p) < len(ask):
			return 0
		case string(p[:len(ask)]) != ask:
			t.Errorf("in the clear: %q", p)
		}
		c.Write([]byte(ok))
		if err := c.StartTLS(config); err != nil {
			t.Errorf("StartTLS: %v", err)
		}
		c.Write([]byte(first))
		return len(ask)
	}
}

// began is a client of package net that has been answered OK, and has read no byte behind that.
func began(r *rig.Rig, s *proactor.Server) *net.TCPConn {
	r.Helper()
	c := rig.Client(r.T, s)
	must.Send(r.T, c, []byte(ask))
	must.Read(r.T, c, []byte(ok))
	return c
}

// A client of crypto/tls asks for TLS, by bytes in any pieces, and has 1 MiB echoed. What the
// server wrote behind its answer came through TLS.
func TestStartTLS(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		s := r.Serve(proactor.Handler{Data: starts(r, serves, "welcome ")})
		plain := rig.Client(r.T, s)
		for i := range ask {
			must.Send(r.T, plain, []byte(ask[i:i+1]))
		}
		must.Read(r.T, plain, []byte(ok))
		c := tls.Client(plain, dials)
		must.Read(r.T, c, []byte("welcome "))
		want := must.Pattern(1, testenv.Scaled(1<<20))
		go func() { c.Write(want); c.CloseWrite() }()
		must.ReadEnd(r.T, c, want)
		c.Close()
		r.Ends(proactor.ErrPeerClosed)
		if n := r.Engine.Stats().Handshakes.Done; n != 1 {
			r.Errorf("%d handshakes were counted", n)
		}
	})
}

// asks is a dialed connection that asks for TLS in Opened, begins it when it has read OK, writes
// at once, and closes its sending side; what comes then goes to got.
func asks(t errs, config *tls.Config, said string, got *bytes.Buffer) proactor.Handler {
	return proactor.Handler{
		Opened: func(c *proactor.Conn) { c.Write([]byte(ask)) },
		Data: func(c *proactor.Conn, p []byte) int {
			switch {
			case c.TLS() != nil:
				n, _ := got.Write(p)
				return n
			case len(p) < len(ok):
				return 0
			case string(p[:len(ok)]) != ok:
				t.Errorf("the answer is %q", p)
			}
			if err := c.StartTLS(config); err != nil {
				t.Errorf("StartTLS of a client: %v", err)
			}
			c.Write([]byte(said))
			c.CloseWrite()
			return len(ok)
		},
	}
}

// A dialed connection and an accepted one begin TLS with each other; the name of the server is
// that of the address. What the client wrote, and that it has closed its sending side, waits for
// the handshake.
func TestStartTLSOfADial(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		s := r.Serve(proactor.Handler{Data: starts(r, serves, "welcome ")})
		_, port, _ := net.SplitHostPort(s.ListenAddr().String())
		dials.ServerName = ""
		var got bytes.Buffer // the loop's
		said := strings.Repeat("said", 10_000)
		h := asks(r, dials, said, &got)
		ended := make(chan error, 1)
		h.Ended = func(c *proactor.Conn, why error) {
			if name := c.TLS().ServerName; name != "localhost" {
				r.Errorf("the name of the server is %q", name)
			}
			ended <- why
			c.Close()
		}
		d := &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(h)}
		if _, err := d.Dial(must.Context(r.T), "tcp4", "localhost:"+port); err != nil {
			r.Fatal(err)
		}
		if why := must.Take(r.T, "Ended", ended); why != proactor.ErrPeerClosed || got.String() != "welcome "+said {
			r.Errorf("%d bytes, then %v", got.Len(), why)
		}
		for range 2 {
			if e := must.Take(r.T, "Closed", r.Closed); e.Cause != proactor.ErrPeerClosed && e.Cause != proactor.ErrLocalClosed {
				r.Errorf("closed with %v", e.Cause)
			}
		}
	})
}

// What the peer has sent in the clear behind the request is never shown, whether Data leaves it or
// it is a message: the connection ends. So is what a server sends behind its answer.
func TestStartTLSPlaintextBehind(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		messages := proactor.Handler{
			Split: frame.Line(100).Split,
			Message: func(c *proactor.Conn, line []byte) {
				if string(line)+"\r\n" != ask {
					t.Errorf("Message was shown %q", line)
					return
				}
				c.Write([]byte(ok))
				c.StartTLS(serves)
			},
		}
		typed := proactor.Messages(func(_ *proactor.Conn, data []byte, _ bool) (int, []byte, error) {
			return bytes.IndexByte(data, '\n') + 1, data, nil
		}, func(c *proactor.Conn, line []byte) { messages.Message(c, line[:len(ask)-2]) })
		for name, h := range map[string]proactor.Handler{"Data": {Data: starts(r, serves, "")}, "Message": messages, "Messages": typed} {
			for _, behind := range []string{"x", "STAT\r\n", string(hello(t, dials))} {
				s := r.Serve(h)
				c := rig.Client(t, s)
				must.Send(t, c, []byte(ask+behind))
				must.ReadEnd(t, c, []byte(ok))
				c.CloseWrite()
				if e := must.Take(t, name, r.Closed); e.Cause != proactor.ErrPlaintext {
					t.Errorf("%s, %q behind: closed with %v", name, behind[:1], e.Cause)
				}
			}
		}
		bad := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { c.Write([]byte(ok + "x")); return len(p) }})
		var got bytes.Buffer
		d := &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(asks(r, dials, "secret", &got))}
		c, err := d.Dial(must.Context(t), "tcp", bad.ListenAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if e := must.Take(t, "Closed", r.Closed); e.Conn == c && e.Cause != proactor.ErrPlaintext {
				t.Errorf("the client closed with %v", e.Cause)
			}
		}
	})
}

// On any network, however the stream is cut, nothing that was sent in the clear behind the request
// is shown, and nothing but the answer is sent in the clear.
func TestStartTLSCutAnywhere(t *testing.T) {
	const sent = ask + "STAT\r\n"
	for cut := range len(sent) {
		proactortest.Config{Seeds: 5, Engine: proactor.Config{Loops: 1}}.Run(t, func(e *proactortest.Env) {
			serves, _ := rig.TLS()
			causes := make(chan error, 1)
			s := e.Serve(&proactor.Server{Handler: proactor.Handler{
				Split: frame.Line(100).Split,
				Message: func(c *proactor.Conn, line []byte) {
					if string(line)+"\r\n" != ask {
						e.Errorf("shown %q", line)
						return
					}
					c.Write([]byte(ok))
					c.StartTLS(serves)
					c.Write([]byte("secret"))
				},
				Closed: func(_ *proactor.Conn, cause error) { causes <- cause },
			}})
			c := e.Dial(s)
			c.Send(sent[:cut])
			if e.Seed%2 == 0 {
				e.Sleep(time.Second)
			}
			c.Send(sent[cut:])
			c.Expect(ok)
			c.ExpectEnd()
			c.CloseWrite()
			var head tls.RecordHeaderError
			if why := <-causes; why != proactor.ErrPlaintext && !errors.As(why, &head) {
				e.Errorf("cut at %d: %v", cut, why)
			}
		})
	}
}

// Over a network that cuts the stream anywhere, in buffers of any size, both sides begin TLS, and
// what was written at once comes back, whole, or the network has ended the connection.
func TestStartTLSSimulated(t *testing.T) {
	for name, network := range map[string]port.SimConfig{"fair": proactortest.Fair(), "rough": proactortest.Rough()} {
		t.Run(name, func(t *testing.T) {
			cfg := proactortest.Config{Seeds: testenv.Scaled(20), Network: network, Engine: proactor.Config{Loops: 2, BufferSize: 500, BufferCount: 4}}
			cfg.Run(t, func(e *proactortest.Env) {
				serves, dials := rig.TLS()
				limits := proactor.Limits{IdleTimeout: time.Hour, HandshakeTimeout: time.Hour} // loops stall for a second at a time
				s := e.Serve(&proactor.Server{Handler: proactor.Handler{Data: starts(e, serves, "welcome ")}, Limits: limits})
				said := string(must.Pattern(e.Seed, 20_000))
				var got bytes.Buffer
				ended := make(chan error, 1)
				h := asks(e, dials, said, &got)
				h.Closed = func(_ *proactor.Conn, cause error) { ended <- cause }
				d := &proactor.Dialer{Engine: e.Engine, Limits: limits, Handler: h}
				if _, err := d.Dial(e.Context(), "tcp", s.ListenAddr().String()); err != nil {
					if name == "fair" {
						e.Errorf("dial: %v", err)
					}
					return
				}
				why, want := <-ended, "welcome "+said
				if whole := got.String() == want; !strings.HasPrefix(want, got.String()) || !whole && (name == "fair" || errors.Is(why, proactor.ErrPeerClosed)) {
					e.Errorf("%d bytes of %d, then %v", got.Len(), len(want), why)
				}
			})
		})
	}
}

// What is written until the handshake is done waits: it counts against HighWater and MaxPending,
// its memory is that of what waits to be sent, and it goes out in the order of the Writes, those
// of other goroutines too.
func TestStartTLSWritesWait(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		drained := make(chan bool, 1)
		h := proactor.Handler{Data: starts(r, serves, ""), Drained: func(*proactor.Conn) { drained <- true }}
		s := r.Serve(h, rig.Limits(proactor.Limits{HighWater: 50_000, MaxPending: 200_000, Overflow: proactor.RejectWrites}))
		plain := began(r, s)
		conn := r.Accepted()
		large := must.Pattern(2, 30_000)
		var all sync.WaitGroup
		all.Go(func() { conn.Write(large) })
		all.Go(func() { conn.WriteShared(large) })
		all.Go(func() { conn.Writev(large[:1], large[1:]) })
		all.Wait()
		must.Eventually(r.T, "that waits, and the answer does not", func() bool {
			return conn.Stats().Pending == 3*len(large) && r.Engine.Stats().Pending == int64(3*len(large))
		})
		if conn.Writable() {
			r.Error("writable above the high mark")
		}
		if _, err := conn.Write(make([]byte, 150_000)); err != proactor.ErrBacklog {
			r.Errorf("a Write above MaxPending: %v", err)
		}
		conn.PauseRead() // holds up what comes after the handshake, not that
		rig.Returned(r.T, conn)
		c := tls.Client(plain, dials)
		must.Read(r.T, c, bytes.Repeat(large, 3))
		must.Take(r.T, "Drained", drained)
		must.Send(r.T, c, []byte("x"))
		rig.OnEveryLoop(r.T, r.Engine)
		conn.Write([]byte("before "))
		must.Read(r.T, c, []byte("before "))
		conn.ResumeRead()
		must.Read(r.T, c, []byte("x"))
		c.Close()
		r.Ends(proactor.ErrPeerClosed)
	})
}

// However a connection ends whose handshake is under way, nothing of what was written since
// StartTLS is sent, and all memory is given back, which the rig looks at.
func TestStartTLSEnds(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, tt := range []struct {
			what  string
			end   func(r *rig.Rig, s *proactor.Server, c *proactor.Conn, plain *net.TCPConn)
			cause error
		}{
			{"Close", func(_ *rig.Rig, _ *proactor.Server, c *proactor.Conn, _ *net.TCPConn) { c.Close() }, proactor.ErrLocalClosed},
			{"CloseWrite, then Close", func(_ *rig.Rig, _ *proactor.Server, c *proactor.Conn, _ *net.TCPConn) { c.CloseWrite(); c.Close() }, proactor.ErrLocalClosed},
			{"Abort", func(_ *rig.Rig, _ *proactor.Server, c *proactor.Conn, _ *net.TCPConn) { c.Abort() }, proactor.ErrLocalClosed},
			{"FIN", func(_ *rig.Rig, _ *proactor.Server, _ *proactor.Conn, plain *net.TCPConn) { plain.CloseWrite() }, io.ErrUnexpectedEOF},
			{"Shutdown", func(r *rig.Rig, s *proactor.Server, _ *proactor.Conn, _ *net.TCPConn) {
				go s.Shutdown(must.Context(r.T))
			}, proactor.ErrServerClosed},
			{"no TLS", func(r *rig.Rig, _ *proactor.Server, _ *proactor.Conn, plain *net.TCPConn) {
				must.Send(r.T, plain, []byte("STAT\r\n"))
			}, nil},
			{"the engine's Close", func(r *rig.Rig, _ *proactor.Server, _ *proactor.Conn, _ *net.TCPConn) { r.Engine.Close() }, proactor.ErrEngineClosed},
		} {
			r := rig.New(t, backend)
			serves, _ := rig.TLS()
			s := r.Serve(proactor.Handler{Data: starts(r, serves, strings.Repeat("secret", 10_000))}, rig.Limits(proactor.Limits{HandshakeTimeout: -1}))
			plain := began(r, s)
			conn := r.Accepted()
			rig.Returned(t, conn)
			tt.end(r, s, conn, plain)
			if got, _ := io.ReadAll(plain); len(got) > 0 {
				t.Errorf("%s: %q is sent in the clear", tt.what, got[:min(10, len(got))])
			}
			plain.Close()
			e := must.Take(t, tt.what, r.Closed)
			var head tls.RecordHeaderError
			if tt.cause != nil && !errors.Is(e.Cause, tt.cause) || tt.cause == nil && !errors.As(e.Cause, &head) {
				t.Errorf("%s: closed with %v", tt.what, e.Cause)
			}
		}
	})
}

// A client that does not trust the server sends nothing of what it has written, and closes with
// the reason. A handshake that takes too long is ended.
func TestStartTLSFails(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, _ := rig.TLS()
		s := r.Serve(proactor.Handler{Data: starts(r, serves, "")})
		var got bytes.Buffer
		d := &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(asks(r, &tls.Config{ServerName: "server"}, "secret", &got))}
		c, err := d.Dial(must.Context(t), "tcp", s.ListenAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			var untrusted *tls.CertificateVerificationError
			if e := must.Take(t, "Closed", r.Closed); e.Conn == c && !errors.As(e.Cause, &untrusted) {
				t.Errorf("the client closed with %v", e.Cause)
			}
		}
		must.Eventually(t, "counted", func() bool {
			n := r.Engine.Stats().Handshakes
			return n.Certificate == 1 && n.Alert == 1
		})
		slow := r.Serve(proactor.Handler{Data: starts(r, serves, "secret")}, rig.Limits(proactor.Limits{HandshakeTimeout: must.Short, FirstByteTimeout: must.Short, LingerTimeout: -1}))
		must.ReadEnd(t, began(r, slow), nil)
		r.Ends(proactor.ErrHandshake)
	})
}

// Misuse is refused, and changes nothing.
func TestStartTLSRefused(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, rig.OneLoop)
		serves, dials := rig.TLS()
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		refused := func(what string, c *proactor.Conn, config *tls.Config, want error) {
			t.Helper()
			rig.OnLoop(t, c, func() {
				if err := c.StartTLS(config); !errors.Is(err, want) {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		a, b, ca, cb := r.Couple(s)
		if err := a.StartTLS(serves); err != proactor.ErrNoCallback {
			t.Errorf("outside of a callback: %v", err)
		}
		rig.OnLoop(t, b, func() {
			if err := a.StartTLS(serves); err != proactor.ErrNoCallback {
				t.Errorf("in a callback of another connection: %v", err)
			}
		})
		refused("no config", a, nil, port.ErrInvalid)
		refused("no certificate", a, &tls.Config{}, port.ErrInvalid)
		must.Send(t, ca, []byte("x"))
		must.Read(t, ca, []byte("x"))
		rig.Relayed(t, a, b)
		refused("a relay's source", a, serves, proactor.ErrRelaying)
		refused("a relay's destination", b, serves, proactor.ErrRelaying)
		ca.Close()
		cb.Close()
		for range 2 {
			must.Take(t, "Closed", r.Closed)
		}

		over := r.Serve(proactor.Handler{Ended: func(*proactor.Conn, error) {}})
		c := rig.Client(t, over)
		conn := r.Accepted()
		rig.OnLoop(t, conn, func() {
			if err := conn.StartTLS(serves); err != nil {
				t.Error(err)
			}
			if err := conn.StartTLS(serves); !errors.Is(err, port.ErrInvalid) {
				t.Errorf("twice: %v", err)
			}
			if err := conn.Unread([]byte("x")); err != proactor.ErrPlaintext {
				t.Errorf("Unread in a handshake: %v", err)
			}
		})
		secret := tls.Client(c, dials)
		if err := secret.HandshakeContext(must.Context(t)); err != nil {
			t.Error(err)
		}
		refused("TLS already", conn, serves, port.ErrInvalid)
		conn.Close()
		io.Copy(io.Discard, c)
		c.Close()
		r.Ends(proactor.ErrLocalClosed)

		c = rig.Client(t, over)
		conn = r.Accepted()
		rig.OnLoop(t, conn, func() {
			conn.CloseWrite()
			if err := conn.StartTLS(serves); err != proactor.ErrClosed {
				t.Errorf("after CloseWrite: %v", err)
			}
		})
		conn.Close()
		io.Copy(io.Discard, c)
		c.Close()
		r.Ends(proactor.ErrLocalClosed)

		kept := r.Serve(proactor.Handler{Data: func(*proactor.Conn, []byte) int { return 0 }})
		c = rig.Client(t, kept)
		conn = r.Accepted()
		must.Send(t, c, []byte("x"))
		must.Eventually(t, "a byte is kept", func() bool { return r.Engine.Stats().Kept > 0 })
		refused("bytes are kept", conn, serves, proactor.ErrPlaintext)
		must.ReadEnd(t, c, nil)
		c.CloseWrite()
		r.Ends(proactor.ErrPlaintext)
	})
}
