// Package admin is a page for those who operate a server: what an engine does, live, its memory
// against its bounds, why connections end, and a table of the connections; with a token, it
// closes connections, pauses and drains servers, and sets the level of the log. All of it is there as
// JSON, too.
//
//	page, err := admin.Listen("127.0.0.1:6060", engine, admin.Options{Servers: map[string]*proactor.Server{"echo": srv}})
//
// Whoever reaches the address can read it: it belongs on the loopback interface or a Unix socket, or behind a
// proxy that knows its users.
//
//	GET  /                        the page
//	GET  /status                  Status
//	GET  /events                  Status each second, as server-sent events
//	GET  /conns                   a list of Conn: all or, by limit and from, a part; search (a part of an address or state, or an ID),
//	                              sort (a field of Conn but local; with a minus, the largest first). Total-Count in the header: how many were found
//	POST /conns/{id}/close        ends a connection in good order; abort: by a reset
//	POST /servers/{name}/pause    stops accepting; resume: goes on; drain: Server.Shutdown, or what Options.Drains has
//	POST /level/{level}           sets the level of the log: debug, info, warn, error
//	GET  /ready                   whether the process serves, where Options.Ready is set
//	GET  /debug/pprof/            package net/http/pprof, where Options.Profile is set
package admin

import (
	"context"
	"embed"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
)

// Options add to what the page shows of an engine. The zero value is useful.
type Options struct {
	// Token is what a request that changes something must have in its Authorization header, after "Bearer ". Empty: such
	// requests are refused.
	Token string
	// Hosts are the names by which the page may be called, besides addresses and localhost.
	Hosts []string
	// Servers are shown by their names, and can be paused and drained.
	Servers map[string]*proactor.Server
	// Drains has, by their names, how those of Servers drain that have more to end than their connections, such as a pool
	// of workers. The others: Server.Shutdown.
	Drains map[string]func(context.Context) error
	// Level is what the level of the log can be set by; nil: it cannot.
	Level *slog.LevelVar
	// Ready answers /ready, for load balancers, under any name of the host. nil: nothing does. Process.Ready of package
	// ops is one.
	Ready http.Handler
	// Listen makes the listener. nil: net.Listen. With Process.Listen of package ops the page is handed on in an
	// upgrade in place.
	Listen func(network, address string) (net.Listener, error)
	// Profile adds package net/http/pprof, which needs no token.
	Profile bool
}

// Page is a page that is being served.
type Page struct {
	listener net.Listener
	server   *http.Server
}

// Listen serves the page of an engine until Close, at "host:port" or "unix:path". An address without a host is on the
// loopback interface: to be reached from elsewhere must be asked for, as by "0.0.0.0:6060". The name of the host
// counts among Options.Hosts.
func Listen(addr string, e *proactor.Engine, o Options) (*Page, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	} else if host, port, err := net.SplitHostPort(addr); err == nil {
		if host == "" {
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		o.Hosts = append(o.Hosts[:len(o.Hosts):len(o.Hosts)], host)
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	l, err := o.Listen(network, addr)
	if err != nil {
		return nil, err
	}
	p := &Page{l, &http.Server{
		Handler:           Handler(e, o),
		ReadHeaderTimeout: 10 * time.Second,
		WriteTimeout:      time.Minute, // a list is long where connections are many
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}}
	go p.server.Serve(l)
	return p, nil
}

// URL is where the page is. For a Unix socket it has the path.
func (p *Page) URL() string {
	if p.listener.Addr().Network() == "unix" {
		return "unix:" + p.listener.Addr().String()
	}
	return "http://" + p.listener.Addr().String() + "/"
}

// Close ends the page at once.
func (p *Page) Close() error { return p.server.Close() }

//go:embed page.html page.js page.css
var files embed.FS

// Handler serves the page of an engine, on a server of the caller's own.
func Handler(e *proactor.Engine, o Options) http.Handler {
	a := &admin{Options: o, engine: e, live: make(chan struct{}, maxLive)}
	mux := http.NewServeMux()
	for path, file := range map[string]string{"GET /{$}": "page.html", "GET /page.js": "page.js", "GET /page.css": "page.css"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, fs.FS(files), file) })
	}
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { answer(w, a.status(r.Context(), nil)) })
	mux.HandleFunc("GET /events", a.events)
	mux.HandleFunc("GET /conns", a.conns)
	for path, action := range map[string]func(*http.Request) error{
		"POST /conns/{id}/{how}":    a.endConn,
		"POST /servers/{name}/{do}": a.changeServer,
		"POST /level/{level}":       a.setLevel,
	} {
		mux.HandleFunc(path, a.withToken(action))
	}
	if o.Profile {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	page := guarded(mux, o.Hosts)
	if o.Ready == nil {
		return page
	}
	public := http.NewServeMux()
	public.Handle("GET /ready", o.Ready)
	public.Handle("/", page)
	return public
}

// admin is the page of one engine.
type admin struct {
	Options
	engine *proactor.Engine
	live   chan struct{} // has one for each stream of events
}

func answer(w http.ResponseWriter, v any) {
	header(w)
	json.NewEncoder(w).Encode(v)
}

// header says that JSON follows.
func header(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
}
