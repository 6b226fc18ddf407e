//go:build unix

package ops_test

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/ops"
)

// run has ops.Run serve lines, and returns when that accepts.
func run(t *testing.T, o ops.Options) (srv *proactor.Server, c net.Conn, ended <-chan error) {
	t.Helper()
	e, err := proactor.NewEngine(proactor.Config{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	srv = &proactor.Server{Network: "tcp4", Addr: must.Free(t), Engine: e, Handler: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
		n := strings.LastIndexByte(string(p), '\n') + 1
		c.Write(p[:n])
		return n
	}}}
	result := make(chan error, 1)
	go func() { result <- ops.Run(srv, o) }()
	must.Eventually(t, "it listens", func() bool {
		c, err = net.Dial("tcp4", srv.Addr)
		return err == nil
	})
	t.Cleanup(func() { c.Close() })
	must.Ask(t, c, "hello\n")
	return srv, c, result
}

// Run ends without an error after a signal to end.
func TestRunEndsAtASignal(t *testing.T) {
	_, c, ended := run(t, ops.Options{})
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	must.ReadEnd(t, c, nil)
	c.Close()
	if err := must.Take(t, "the end of Run", ended); err != nil {
		t.Error(err)
	}
}

// A Shutdown by the program itself ends Run, which does not cut what has begun.
func TestRunEndsAtAShutdown(t *testing.T) {
	srv, c, ended := run(t, ops.Options{Drain: must.Patience})
	must.Send(t, c, []byte("begun"))
	must.Eventually(t, "it has arrived", func() bool { return srv.Engine.Stats().BytesIn == int64(len("hello\nbegun")) })
	shut := make(chan error, 1)
	go func() { shut <- srv.Shutdown(must.Context(t)) }()
	must.Eventually(t, "the server shuts down", func() bool { return errors.Is(srv.Pause(), proactor.ErrServerClosed) })
	must.Send(t, c, []byte(" and done\n"))
	must.ReadEnd(t, c, []byte("begun and done\n"))
	c.Close()
	for what, end := range map[string]<-chan error{"Shutdown": shut, "Run": ended} {
		if err := must.Take(t, "the end of "+what, end); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
