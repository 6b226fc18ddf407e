package line

import (
	"crypto/tls"
	"io"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

// secure starts a server that knows STLS.
func secure(t *testing.T, backend string) (srv *proactor.Server, addr string, dials *tls.Config) {
	pair, pool, err := selfsigned.Pair("localhost")
	if err != nil {
		t.Fatal(err)
	}
	serves := &tls.Config{Certificates: []tls.Certificate{pair}}
	srv = New(Options{Addr: "127.0.0.1:0", Engine: echotest.Engine(t, backend), Log: echotest.Quiet(), TLS: serves})
	return srv, echotest.Listen(t, srv), &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// STLS begins TLS, behind lines that were answered in the clear; a second one is refused, and all
// else is as without.
func TestSTLS(t *testing.T) {
	echotest.Plain(t, "it begins that itself")
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr, dials := secure(t, backend)
		plain := echotest.Dial(t, addr)
		hears := func(c io.Reader, want string) {
			t.Helper()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
				t.Fatalf("%q, %v; want %q", got, err, want)
			}
		}
		io.WriteString(plain, "NOOP\r\nstls\r\n")
		hears(plain, Banner+KnownBegin+"NOOP"+KnownEnd+BeginTLS)
		c := tls.Client(plain, dials)
		io.WriteString(c, "STAT\r\nSTLS\r\nNOOP\r\nHELO\r\n")
		hears(c, KnownBegin+"STAT"+KnownEnd+HasTLS+KnownBegin+"NOOP"+KnownEnd+Unknown)
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("at the end: %q, %v", rest, err)
		}
	})
}

// What a client sends in the clear behind its STLS is answered by nobody.
func TestBehindSTLS(t *testing.T) {
	echotest.Plain(t, "it begins that itself")
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr, _ := secure(t, backend)
		c := echotest.Dial(t, addr)
		io.WriteString(c, "STLS\r\nNOOP\r\nHELO\r\n")
		got, err := io.ReadAll(c)
		if err != nil || strings.TrimPrefix(string(got), Banner) != BeginTLS {
			t.Errorf("%q, %v", got, err)
		}
	})
}
