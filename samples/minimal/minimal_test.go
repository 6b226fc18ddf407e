package minimal

import (
	"bytes"
	"context"
	"net"
	"os"
	"testing"

	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/samples/echotest"
)

func TestEcho(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		echotest.Check(t, func(t *testing.T) string {
			srv := New("127.0.0.1:0")
			srv.Engine = echotest.Engine(t, backend)
			return echotest.Listen(t, srv)
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
	echotest.Until(t, "it listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
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
