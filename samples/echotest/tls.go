package echotest

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/selfsigned"
)

// OverTLS reports whether the servers that [Listen] starts speak TLS, and so those who [Dial] them:
// then the tests of a sample are about that, once more. The environment variable PROACTOR_TLS, set to
// anything, asks for it; CI does, see .ci/run.
func OverTLS() bool { return os.Getenv("PROACTOR_TLS") != "" }

// Plain skips a test that says nothing about servers that speak TLS.
func Plain(t testing.TB, why string) {
	t.Helper()
	if OverTLS() {
		t.Skip("over TLS: ", why)
	}
}

// secret is what clients of a server need, by its address.
var secret sync.Map

// secure has a server speak TLS where that is asked for, before it listens.
func secure(srv Server) (dials *tls.Config) {
	if !OverTLS() || serverOf(srv).TLS != nil {
		return nil
	}
	return speakTLS(srv, Patience)
}

// know has Dial find what clients of a server need, for as long as the test takes.
func know(t *testing.T, addr string, dials *tls.Config) {
	if dials == nil {
		return
	}
	secret.Store(addr, dials)
	t.Cleanup(func() { secret.Delete(addr) })
}

// secured is a client's connection: where the server speaks TLS the handshake is done.
func secured(c *net.TCPConn, addr string) (Conn, error) {
	dials, ok := secret.Load(addr)
	if !ok {
		return c, nil
	}
	over := &overTLS{Conn: tls.Client(c, dials.(*tls.Config)), below: c}
	if err := over.Handshake(); err != nil {
		c.Close()
		return nil, err
	}
	return over, nil
}

// overTLS is a client's connection that speaks TLS.
type overTLS struct {
	*tls.Conn
	below   *net.TCPConn
	abandon bool // Close resets
}

func (c *overTLS) SetReadBuffer(bytes int) error { return c.below.SetReadBuffer(bytes) }

func (c *overTLS) SetLinger(seconds int) error {
	c.abandon = seconds == 0
	return c.below.SetLinger(seconds)
}

// Close says goodbye, unless it resets.
func (c *overTLS) Close() error {
	if c.abandon {
		return c.below.Close()
	}
	return c.Conn.Close()
}

// socket is what is below a client's connection.
func socket(c Conn) *net.TCPConn {
	if over, ok := c.(*overTLS); ok {
		return over.below
	}
	return c.(*net.TCPConn)
}

// speakTLS has a server speak TLS, and gives what its clients need.
func speakTLS(srv Server, handshake time.Duration) (dials *tls.Config) {
	pair, pool := certificate()
	s := serverOf(srv)
	s.TLS, s.Limits.HandshakeTimeout = &tls.Config{Certificates: []tls.Certificate{pair}}, handshake
	return &tls.Config{RootCAs: pool, ServerName: "server"}
}

// serverOf is the server of the framework in a sample's.
func serverOf(srv Server) *proactor.Server {
	switch s := srv.(type) {
	case *proactor.Server:
		return s
	case interface{ Clients() *proactor.Server }:
		return s.Clients()
	}
	return reflect.ValueOf(srv).Elem().FieldByName("Server").Interface().(*proactor.Server)
}

var certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	pair, pool, err := selfsigned.Pair("server")
	if err != nil {
		panic(err)
	}
	return pair, pool
})
