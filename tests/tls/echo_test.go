package tls_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/tests/rig"
)

// A client sends 4 MiB and closes its sending side, and gets all of it back, and a
// close_notify.
func TestEcho(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		r.EchoesTLS(s, dials, func(c *proactor.Conn) {
			if state := c.TLS(); state == nil || state.Version != version {
				r.Errorf("Conn.TLS: %+v", state)
			}
		})
	})
}

// The server speaks first, in Opened, goes on after the client's close_notify, and ends with
// CloseWrite.
func TestHalfClose(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		r.HalfClosesTLS(withTLS(serves), dials)
	})
}

// Close sends a close_notify, also one of the server's own.
func TestClose(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		s := r.Serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Write([]byte("bye")); c.Close() }}, withTLS(serves))
		c := client(r, s, dials)
		if got, err := io.ReadAll(c); err != nil || string(got) != "bye" {
			r.Errorf("got %q, %v", got, err)
		}
		c.Close()
		r.Ends(proactor.ErrLocalClosed)
	})
}

// A FIN without a close_notify is no end of the stream, and what came before it is delivered.
func TestTruncated(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		ended := make(chan error, 1)
		s := r.Serve(proactor.Handler{
			Data:  rig.Echo,
			Ended: func(c *proactor.Conn, why error) { ended <- why; c.Close() },
		}, withTLS(serves))
		c := client(r, s, dials)
		must.Send(r.T, c, []byte("last"))
		c.NetConn().(rig.Heedful).CloseWrite()
		must.Read(r.T, c, []byte("last"))
		if why := must.Take(r.T, "Ended", ended); why != proactor.ErrTruncated {
			r.Errorf("ended with %v", why)
		}
		r.Ends(proactor.ErrTruncated)
	})
}

// A dialed connection and an accepted one speak TLS with each other. Dial returns when the
// handshake is done, and fails with the reason of crypto/tls.
func TestDial(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		want := must.Pattern(1, testenv.Scaled(1<<20))
		var got bytes.Buffer // the loop's
		ended := make(chan error, 1)
		d := &proactor.Dialer{Engine: r.Engine, TLS: dials, Handler: r.Watch(proactor.Handler{
			Data:  func(c *proactor.Conn, p []byte) int { n, _ := got.Write(p); return n },
			Ended: func(c *proactor.Conn, why error) { c.Close(); ended <- why },
		})}
		c, err := d.Dial(must.Context(r.T), "tcp", s.ListenAddr().String())
		if err != nil {
			r.Fatal(err)
		}
		if state := c.TLS(); state == nil || state.Version != version || state.ServerName != "server" {
			r.Errorf("Conn.TLS: %+v", state)
		}
		for p := want; len(p) > 0; p = p[min(len(p), 10000):] {
			if _, err := c.WriteContext(must.Context(r.T), p[:min(len(p), 10000)]); err != nil {
				r.Fatal(err)
			}
		}
		c.CloseWrite()
		if why := must.Take(r.T, "Ended", ended); why != proactor.ErrPeerClosed || !bytes.Equal(got.Bytes(), want) {
			r.Errorf("%d bytes of %d, %v", got.Len(), len(want), why)
		}
		for range 2 {
			must.Take(r.T, "Closed", r.Closed)
		}

		d.TLS = &tls.Config{ServerName: "server"} // trusts nobody
		var untrusted *tls.CertificateVerificationError
		if _, err := d.Dial(must.Context(r.T), "tcp", s.ListenAddr().String()); !errors.As(err, &untrusted) {
			r.Errorf("a server that is not trusted: %v", err)
		}
		d.TLS = dials.Clone()
		d.TLS.ServerName = "" // then it is the address's, for which there is no certificate
		if _, err := d.Dial(must.Context(r.T), "tcp", s.ListenAddr().String()); !errors.As(err, &untrusted) {
			r.Errorf("a certificate of another name: %v", err)
		}
		d.TLS.Renegotiation = tls.RenegotiateOnceAsClient
		if _, err := d.Dial(must.Context(r.T), "tcp", s.ListenAddr().String()); !errors.Is(err, port.ErrInvalid) {
			r.Errorf("renegotiation: %v", err)
		}
		must.Eventually(r.T, "gone", func() bool { return s.Conns() == 0 })
	})
}
