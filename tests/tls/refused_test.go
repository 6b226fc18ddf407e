package tls_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// nobody is a handler that must not hear of anybody.
func nobody(r *rig.Rig) proactor.Handler {
	return proactor.Handler{
		Opened: func(c *proactor.Conn) { r.Error("Opened"); c.Write([]byte("plain")) },
		Data:   func(_ *proactor.Conn, p []byte) int { r.Errorf("Data is shown %q", p); return len(p) },
	}
}

// After a handshake that has failed the server sends its alert and nothing else, and the handler
// hears nothing of what the client sends behind, in the clear or in records.
func TestNothingAfterAFailure(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		serves, dials := rig.TLS()
		serves.MinVersion, dials.MaxVersion = tls.VersionTLS13, tls.VersionTLS12
		full := hello(t, dials)
		behind := []byte("\x17\x03\x03\x00\x05plainGET / HTTP/1.1\r\n\r\n")
		for name, tt := range map[string]struct{ at, then []byte }{
			"with the hello": {append(bytes.Clone(full), behind...), nil},
			"after it":       {full, behind},
		} {
			r := rig.New(t, backend)
			s := r.Serve(nobody(r), withTLS(serves))
			c := rig.Client(t, s)
			must.Send(t, c, tt.at)
			must.Read(t, c, []byte{21, 3, 1, 0, 2, 2, 70}) // protocol_version
			c.Write(tt.then)                               // fails where the server has closed
			if got, _ := io.ReadAll(c); len(got) > 0 {
				t.Errorf("%s: after the alert comes %q", name, got)
			}
			c.Close()
			must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
		}
	})
}

// What a client sends in the clear in the place of the end of its handshake is no handshake.
func TestPlaintextInTheHandshake(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		serves, dials := rig.TLS()
		full := hello(t, dials)
		for name, wire := range map[string]string{
			"data":     "\x17\x03\x03\x00\x05plain",
			"HTTP":     "GET / HTTP/1.1\r\n\r\n",
			"Finished": "\x16\x03\x03\x00\x24\x14\x00\x00\x20" + string(make([]byte, 32)),
			"an end":   "\x15\x03\x03\x00\x02\x01\x00",
		} {
			r := rig.New(t, backend)
			s := r.Serve(nobody(r), withTLS(serves))
			c := rig.Client(t, s)
			must.Send(t, c, append(bytes.Clone(full), wire...))
			got, _ := io.ReadAll(c)
			if bytes.Contains(got, []byte("plain")) {
				t.Errorf("%s: the answer has the handler's bytes", name)
			}
			c.Close()
			must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
			if n := r.Engine.Stats().Handshakes; n.Done != 0 {
				t.Errorf("%s: %+v", name, n)
			}
		}
	})
}

// The error of a dial has the reason, for errors.As, and so have the count and the log of the server.
func TestReasons(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		cert, pool := rig.TLSCertificate()
		strangers, err := otherPair()
		if err != nil {
			t.Fatal(err)
		}
		var (
			alert   tls.AlertError
			trust   *tls.CertificateVerificationError
			name    x509.HostnameError
			unknown x509.UnknownAuthorityError
			head    tls.RecordHeaderError
		)
		for what, tt := range map[string]struct {
			change func(serves, dials *tls.Config)
			want   func(err error) bool
			counts proactor.HandshakeCounts // of both sides
		}{
			"no version in common": {
				func(serves, dials *tls.Config) {
					serves.MinVersion, dials.MaxVersion = tls.VersionTLS13, tls.VersionTLS12
				},
				func(err error) bool { return errors.As(err, &alert) && alert == 70 },
				proactor.HandshakeCounts{Alert: 1, Other: 1},
			},
			"no protocol in common": {
				func(serves, dials *tls.Config) { serves.NextProtos, dials.NextProtos = []string{"a"}, []string{"b"} },
				func(err error) bool { return errors.As(err, &alert) && alert == 120 },
				proactor.HandshakeCounts{Alert: 1, Other: 1},
			},
			"a server of another name": {
				func(_, dials *tls.Config) { dials.ServerName = "third" },
				func(err error) bool { return errors.As(err, &trust) && errors.As(err, &name) && name.Host == "third" },
				proactor.HandshakeCounts{Certificate: 1, Alert: 1},
			},
			"a server that nobody knows": {
				func(serves, _ *tls.Config) { serves.Certificates = []tls.Certificate{strangers} },
				func(err error) bool { return errors.As(err, &trust) && errors.As(err, &unknown) },
				proactor.HandshakeCounts{Certificate: 1, Alert: 1},
			},
			"a client that nobody knows": { // 1.2: the client waits for the server's part
				func(serves, dials *tls.Config) {
					serves.ClientAuth, serves.ClientCAs, serves.MaxVersion = tls.RequireAndVerifyClientCert, pool, tls.VersionTLS12
					dials.Certificates = []tls.Certificate{strangers}
					dials.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &strangers, nil }
				},
				func(err error) bool { return errors.As(err, &alert) && (alert == 42 || alert == 48) },
				proactor.HandshakeCounts{Alert: 1, Certificate: 1},
			},
			"a client without a certificate": {
				func(serves, _ *tls.Config) {
					serves.ClientAuth, serves.ClientCAs, serves.MaxVersion = tls.RequireAndVerifyClientCert, pool, tls.VersionTLS12
				},
				func(err error) bool { return errors.As(err, &alert) && (alert == 42 || alert == 40) },
				proactor.HandshakeCounts{Alert: 1, Other: 1},
			},
		} {
			r := rig.New(t, backend)
			serves, dials := rig.TLS()
			serves.Certificates = []tls.Certificate{cert}
			tt.change(serves, dials)
			s := r.Serve(nobody(r), withTLS(serves))
			d := &proactor.Dialer{Engine: r.Engine, TLS: dials, Handler: nobody(r)}
			_, err := d.Dial(must.Context(t), "tcp", s.ListenAddr().String())
			if err == nil || !tt.want(err) {
				t.Errorf("%s: %v", what, err)
			}
			var got proactor.HandshakeCounts
			must.Eventually(t, "gone", func() bool { return s.Conns() == 0 })
			must.Eventually(t, what+": both sides are counted", func() bool { got = r.Engine.Stats().Handshakes; return total(got) == 2 })
			if got != tt.counts {
				t.Errorf("%s: counted %+v", what, got)
			}
			must.Eventually(t, what+": both sides are logged", func() bool {
				return strings.Count(r.Logged.String(), `level=DEBUG msg="TLS handshake failed"`) == 2 && strings.Count(r.Logged.String(), "tls: ") >= 2
			})
		}
		other := rig.New(t, backend)
		s := other.Serve(proactor.Handler{Opened: func(c *proactor.Conn) { c.Write([]byte("220 welcome\r\n")) }})
		_, dials := rig.TLS()
		d := &proactor.Dialer{Engine: other.Engine, TLS: dials, Handler: nobody(other), Limits: proactor.Limits{HandshakeTimeout: -1}}
		if _, err := d.Dial(must.Context(t), "tcp", s.ListenAddr().String()); !errors.As(err, &head) || string(head.RecordHeader[:]) != "220 w" {
			t.Errorf("a server that speaks no TLS, and does not close: %v", err)
		}
	})
}

func total(n proactor.HandshakeCounts) int64 {
	return n.Done + n.NoTLS + n.Cut + n.Alert + n.Certificate + n.TimedOut + n.Crowded + n.Other
}

// A client counts for MaxConnsPerPeer from its accept, before it has said anything.
func TestPeersOfHandshakes(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		full := hello(t, dials)
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves), func(s *proactor.Server) { s.MaxConnsPerPeer = 3 },
			rig.Limits(proactor.Limits{HandshakeTimeout: -1, LingerTimeout: -1}))
		var stalled []*net.TCPConn
		for _, part := range [][]byte{nil, full[:20], full} {
			c := rig.Client(t, s)
			must.Send(t, c, part)
			stalled = append(stalled, c)
		}
		rig.Counted(t, s, 3)
		if c, err := net.Dial("tcp", s.ListenAddr().String()); err == nil { // else it was reset before
			c.SetDeadline(time.Now().Add(must.Patience))
			porttest.Reset(t, c)
			c.Close()
		}
		rig.Limited(t, r, proactor.LimitCounts{PerPeer: 1})
		stalled[1].Close()
		rig.Counted(t, s, 2)
		c := client(r, s, dials)
		must.Ask(t, c, "x")
		c.Close()
		r.Ends(proactor.ErrPeerClosed)
	})
}
