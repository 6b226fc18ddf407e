// Package admin is a page for operators: what an engine does, and a list of its
// connections, to be read by people or as JSON.
package admin

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/proactor-go/proactor"
)

// Conn is a connection as the page lists it.
type Conn struct {
	ID       uint64        `json:"id"`
	Local    string        `json:"local"`
	Remote   string        `json:"remote"`
	State    string        `json:"state"`
	BytesIn  int64         `json:"bytes_in"`
	BytesOut int64         `json:"bytes_out"`
	Pending  int           `json:"pending"`
	Age      time.Duration `json:"age_ns"`
	Idle     time.Duration `json:"idle_ns"`
}

// Page is a page that is being served.
type Page struct {
	listener net.Listener
	server   *http.Server
}

// Listen serves the page of an engine at an address, "host:port", until Close.
func Listen(addr string, e *proactor.Engine) (*Page, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(addr)
	p := &Page{l, &http.Server{
		Handler:           guarded(pages(e), host),
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      time.Minute, // a list is long where connections are many
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}}
	go p.server.Serve(l)
	return p, nil
}

// URL is where the page is.
func (p *Page) URL() string { return "http://" + p.listener.Addr().String() + "/" }

// Close ends the page at once.
func (p *Page) Close() error { return p.server.Close() }

func pages(e *proactor.Engine) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		conns, err := list(e)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "backend %s, %d loops\n%+v\n\n", e.Backend(), e.Loops(), e.Stats())
		t := NewTable(w)
		for _, c := range conns {
			t.Row(c)
		}
		t.Flush()
	})
	mux.HandleFunc("GET /conns", func(w http.ResponseWriter, _ *http.Request) {
		conns, err := list(e)
		answer(w, conns, err)
	})
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, e.Stats(), nil) })
	return mux
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func list(e *proactor.Engine) ([]Conn, error) {
	infos, err := e.Conns()
	conns := make([]Conn, len(infos))
	for i, v := range infos {
		conns[i] = Conn{v.ID, v.Local.String(), v.Remote.String(), v.State, v.BytesIn, v.BytesOut, v.Pending, v.Age, v.Idle}
	}
	return conns, err
}
