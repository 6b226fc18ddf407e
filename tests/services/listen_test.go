package services

import (
	"log/slog"
	"net"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/netconn"
)

// engine makes an engine that ends with the test, with nothing left on it.
func engine(t *testing.T, backend string) *proactor.Engine {
	t.Helper()
	e, err := proactor.NewEngine(proactor.Config{Backend: backend, Loops: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if s := e.Stats(); s.Conns() != 0 || s.Pending != 0 || s.Leased != 0 || s.Panics != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
	return e
}

// listen is netconn's, or package net's.
func listen(t *testing.T, e *proactor.Engine, pkg string) net.Listener {
	t.Helper()
	if pkg == "net" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l, err := netconn.Listen(&proactor.Server{Addr: "127.0.0.1:0", Engine: e})
	if err != nil {
		t.Fatal(err)
	}
	return l
}
