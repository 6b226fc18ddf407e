package tls_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// Handshakes are counted by how they have ended.
func TestHandshakeCounts(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		serves, dials := rig.TLS()
		serves.MinVersion = tls.VersionTLS13
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves), rig.Limits(proactor.Limits{HandshakeTimeout: -1}))
		var want proactor.HandshakeCounts
		counted := func(n *int64, by int64, what string) {
			t.Helper()
			*n += by
			var got proactor.HandshakeCounts
			t.Cleanup(func() {
				if got != want && t.Failed() {
					t.Logf("%s: counted %+v", what, got)
				}
			})
			must.Eventually(t, fmt.Sprintf("%s: %+v", what, want), func() bool { got = r.Engine.Stats().Handshakes; return got == want })
		}
		// sends has a client of net send that, and waits for the end of the connection.
		sends := func(p []byte) {
			c := rig.Client(t, s)
			must.Send(t, c, p)
			c.CloseWrite()
			io.Copy(io.Discard, c)
			c.Close()
		}
		// fails has a client of crypto/tls fail, which waits for the end of the connection.
		fails := func(config *tls.Config) {
			c := rig.Client(t, s)
			if err := tls.Client(c, config).Handshake(); err == nil {
				t.Error("the handshake succeeds")
			}
			c.CloseWrite()
			io.Copy(io.Discard, c)
			c.Close()
		}

		c := client(r, s, dials)
		must.Send(t, c, []byte("x"))
		must.Read(t, c, []byte("x"))
		c.Close()
		counted(&want.Done, 1, "done")
		full := hello(t, dials)
		sends([]byte("SSH-2.0-x\r\n"))
		counted(&want.NoTLS, 1, "no TLS")
		sends(full[:20])
		counted(&want.Cut, 1, "a FIN in the ClientHello")
		sends(full)
		counted(&want.Cut, 1, "a FIN after the ClientHello")
		fails(&tls.Config{ServerName: "server"})
		counted(&want.Alert, 1, "a client that does not trust the server")
		old := dials.Clone()
		old.MaxVersion = tls.VersionTLS12
		fails(old)
		counted(&want.Other, 1, "no version in common")

		d := &proactor.Dialer{Engine: r.Engine, TLS: &tls.Config{ServerName: "server"}}
		if _, err := d.Dial(must.Context(t), "tcp", s.ListenAddr().String()); err == nil {
			t.Error("the dial succeeds")
		}
		want.Alert++ // at the server
		counted(&want.Certificate, 1, "a dial that does not trust the server")
		d.TLS = dials
		dialed, err := d.Dial(must.Context(t), "tcp", s.ListenAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		counted(&want.Done, 2, "both sides of a dial")
		dialed.Close()

		slow := r.Serve(proactor.Handler{}, withTLS(serves), rig.Limits(proactor.Limits{HandshakeTimeout: must.Short, LingerTimeout: -1}))
		io.Copy(io.Discard, rig.Client(t, slow))
		counted(&want.TimedOut, 1, "a client that says nothing")
	})
}
