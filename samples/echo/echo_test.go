package echo

import (
	"io"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, backend string, banner bool) (srv *proactor.Server, addr string) {
	srv = New(Options{Addr: "127.0.0.1:0", Banner: banner, Engine: echotest.Engine(t, backend), Log: echotest.Quiet()})
	return srv, echotest.Listen(t, srv)
}

func TestEcho(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		echotest.Check(t, func(t *testing.T) string {
			_, addr := start(t, backend, false)
			return addr
		})
	})
}

func TestBanner(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend, true)
		c := echotest.Dial(t, addr)
		c.Write([]byte("hello"))
		c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != Banner+"hello" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

// shutdown gives what begins the end of a server, and how that ended.
func shutdown(srv *proactor.Server, drain time.Duration) (begin func(), ended <-chan error) {
	result := make(chan error, 1)
	return func() { go func() { result <- <-echotest.Shutdown(srv, drain) }() }, result
}

func TestDrain(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		srv, addr := start(t, backend, false)
		stop, ended := shutdown(srv, 20*time.Second)
		echotest.Drains(t, addr, stop, ended)
	})
}

func TestDrainDeadline(t *testing.T) {
	porttest.EachTogether(t, func(t *testing.T, backend string) {
		srv, addr := start(t, backend, false)
		stop, ended := shutdown(srv, 100*time.Millisecond)
		echotest.Cuts(t, addr, stop, ended)
	})
}
