package minimal

import (
	"bytes"
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/samples/echotest"
)

func TestEcho(t *testing.T) {
	echotest.Backends(t, func(t *testing.T, backend string) {
		echotest.Run(t, func(t *testing.T) string {
			e, err := proactor.NewEngine(proactor.Config{Backend: backend})
			if err != nil {
				t.Fatal(err)
			}
			srv := New("127.0.0.1:0")
			srv.Engine = e
			if err := srv.Listen(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				srv.Close()
				e.Close()
			})
			return srv.ListenAddr().String()
		})
	})
}

func TestRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, addr) }()
	for range 100 {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	echotest.Drains(t, addr, stop, ended)
}

func TestUnder40Lines(t *testing.T) {
	b, err := os.ReadFile("minimal.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("\n")); n >= 40 {
		t.Errorf("%d lines", n)
	}
}
