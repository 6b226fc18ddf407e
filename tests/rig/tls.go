package rig

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/internal/testenv"
)

// TLSVersions are those of the protocol that are tested.
var TLSVersions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

// TLSCertificate is that of the servers, and what trusts it.
var TLSCertificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	pair, pool, err := selfsigned.Pair("server", "other", "localhost")
	if err != nil {
		panic(err)
	}
	return pair, pool
})

// TLS are the two sides' settings: the client trusts the server.
func TLS() (serves, dials *tls.Config) {
	c, pool := TLSCertificate()
	return &tls.Config{Certificates: []tls.Certificate{c}}, &tls.Config{RootCAs: pool, ServerName: "server"}
}

// TLSClient is a client of crypto/tls that wants a close_notify: see [Heedful].
func TLSClient(t testing.TB, s *proactor.Server, dials *tls.Config) *tls.Conn {
	t.Helper()
	return tls.Client(Heedful{Client(t, s)}, dials)
}

// Heedful is a connection on which a FIN is an error. crypto/tls takes one between two records for
// the end of the stream; with this below it, the end is that of a close_notify.
type Heedful struct{ *net.TCPConn }

func (c Heedful) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if err == io.EOF {
		err = errNoNotify
	}
	return n, err
}

var errNoNotify = errors.New("a FIN without a close_notify")

// EchoesTLS has a client of crypto/tls send 4 MiB to a server that echoes, and close its sending
// side. It must get all of it back, and a close_notify. look is given the server's connection
// while that is open; nil: nothing is.
func (r *Rig) EchoesTLS(s *proactor.Server, dials *tls.Config, look func(*proactor.Conn)) {
	r.Helper()
	c := TLSClient(r.T, s, dials)
	want := must.Pattern(1, testenv.Scaled(4<<20))
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(want)
		if err == nil {
			err = c.CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(c) // without a close_notify it fails
	if err != nil || !bytes.Equal(got, want) {
		r.Errorf("%s: %d bytes of %d, %v", tls.VersionName(dials.MaxVersion), len(got), len(want), err)
	}
	if err := must.Take(r.T, "all sent", sent); err != nil {
		r.Error(err)
	}
	if look != nil {
		look(r.Accepted())
	}
	c.Close()
	r.Ends(proactor.ErrPeerClosed)
}

// HalfClosesTLS has a server speak first, in Opened, go on after the client's close_notify, and
// end with CloseWrite. secure gives it TLS.
func (r *Rig) HalfClosesTLS(secure func(*proactor.Server), dials *tls.Config) {
	r.Helper()
	s := r.Serve(proactor.Handler{
		Opened: func(c *proactor.Conn) { c.Write([]byte("welcome ")) },
		Data:   Echo,
		Ended: func(c *proactor.Conn, why error) {
			c.Write([]byte(" bye: " + why.Error()))
			c.CloseWrite()
		},
	}, secure)
	c := TLSClient(r.T, s, dials)
	if _, err := c.Write([]byte("hello")); err != nil {
		r.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		r.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if want := "welcome hello bye: " + proactor.ErrPeerClosed.Error(); err != nil || string(got) != want {
		r.Errorf("got %q, %v", got, err)
	}
	r.Ends(proactor.ErrPeerClosed)
}
