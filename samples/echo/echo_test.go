package echo

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/samples/echotest"
)

func start(t *testing.T, backend string, banner bool) (srv *proactor.Server, addr string) {
	e, err := proactor.NewEngine(proactor.Config{Backend: backend, Loops: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	srv = New(Options{Addr: "127.0.0.1:0", Banner: banner, Engine: e, Log: slog.New(slog.DiscardHandler)})
	if err := srv.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		srv.Close()
		e.Close()
	})
	return srv, srv.ListenAddr().String()
}

func TestEcho(t *testing.T) {
	echotest.Backends(t, func(t *testing.T, backend string) {
		echotest.Run(t, func(t *testing.T) string {
			_, addr := start(t, backend, false)
			return addr
		})
	})
}

func TestBanner(t *testing.T) {
	echotest.Backends(t, func(t *testing.T, backend string) {
		_, addr := start(t, backend, true)
		c := echotest.Dial(t, addr)
		c.Write([]byte("hello"))
		c.CloseWrite()
		if got, err := io.ReadAll(c); err != nil || string(got) != Banner+"hello" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func shutdown(srv *proactor.Server, drain time.Duration) (stop func(), ended chan error) {
	ended = make(chan error, 1)
	return func() {
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), drain)
			defer cancel()
			ended <- srv.Shutdown(ctx)
		}()
	}, ended
}

func TestDrain(t *testing.T) {
	echotest.Backends(t, func(t *testing.T, backend string) {
		srv, addr := start(t, backend, false)
		stop, ended := shutdown(srv, 20*time.Second)
		echotest.Drains(t, addr, stop, ended)
	})
}

func TestDrainDeadline(t *testing.T) {
	echotest.Backends(t, func(t *testing.T, backend string) {
		srv, addr := start(t, backend, false)
		stop, ended := shutdown(srv, 100*time.Millisecond)
		echotest.Cuts(t, addr, stop, ended)
	})
}
