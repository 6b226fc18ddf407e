package admin

import (
	"log/slog"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
)

// What the page asks for costs, beside as many connections as a process of 20,000 descriptors has with both ends; and
// what one garbage collection costs there.
func BenchmarkPage(b *testing.B) {
	const conns = 8000
	e, err := proactor.NewEngine(proactor.Config{Loops: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: e, Handler: proactor.Handler{Data: echo}}
	if err := s.Listen(); err != nil {
		b.Fatal(err)
	}
	for range conns {
		must.Ask(b, must.Dial(b, s.ListenAddr()), "hello")
	}
	h := Handler(e, Options{Servers: map[string]*proactor.Server{"echo": s}})
	for name, path := range map[string]string{
		"status": "status", "first": "conns?sort=-bytes_in&limit=50", "by address": "conns?sort=remote&limit=50",
		"search": "conns?search=:1&limit=50", "last": "conns?sort=-bytes_in&limit=50&from=7950", "all": "conns",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequest("GET", "http://127.0.0.1/"+path, nil)
			for b.Loop() {
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
	b.Run("collection", func(b *testing.B) {
		for b.Loop() {
			runtime.GC()
		}
	})
}
