// Package chat is a chat for browsers: one port has the page, by net/http, and the WebSockets, on the
// loops. People have a name, are in a room, and see who is there.
//
//	GET /                              the page
//	GET /ws?room=R&name=N[&since=SEQ]  a WebSocket; SEQ is the last message that the client has
//
// A text message of a client is what it says. What it is sent are the types of events.go, as JSON.
//
// What to look at: net/http has the routes, and could have middleware that knows its users
// ([websocket.Upgrade] is called in a handler like any other). After the upgrade neither a
// goroutine nor a buffer of net/http is left, so a hundred thousand people who are quiet cost what
// a hundred thousand quiet connections do. What is said is encoded once, and shared by all who get it
// ([websocket.Prepared]). And everything has a bound: names, texts, rooms, what a room remembers,
// who is listed, how fast a member may speak, and what waits for one that does not read. That one is
// reset, and the log says so; its page comes back and asks for what it has missed.
package chat

import (
	"cmp"
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/websocket"
)

// Bounds of what clients can do.
const (
	// MaxText is how long a text may be, in bytes of UTF-8. A longer one is refused with the code 1009.
	MaxText = 4 << 10
	// MaxName is how long a name of a person or a room may be, in characters.
	MaxName = 32
	// MaxRooms is how many rooms there may be, those that are remembered included.
	MaxRooms = 4096
	// MaxListed is how many names a list of those who are here has. In a room of more, who comes and
	// goes is told as a number, once a second.
	MaxListed = 100
	// MaxRate is how many messages of a member are read in a second. The rest waits.
	MaxRate = 100
	// maxPast, in bytes, bounds what a room remembers, besides Options.History.
	maxPast = 32 << 10
)

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// History is how many messages a room remembers for those who come back. 0: none.
	History int
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know and, at the level Debug, a line for each member that
	// has left. nil: slog.Default().
	Log *slog.Logger
}

// Server is the chat. Before Listen the address, TLS and limits of its proactor.Server may be changed,
// except Limits.Overflow, which package netconn sets.
type Server struct {
	*proactor.Server
	listener *netconn.Listener
	web      *http.Server
	sockets  websocket.Options
	rooms    rooms
	log      *slog.Logger
}

// New makes the server.
func New(o Options) *Server {
	s := &Server{log: cmp.Or(o.Log, slog.Default())}
	s.Server = &proactor.Server{
		Addr: o.Addr, Engine: o.Engine, Log: o.Log,
		Limits: proactor.Limits{
			HighWater: 64 << 10, MaxPending: 256 << 10,
			MaxMessage:   MaxText + 1<<10, // see package websocket
			WriteTimeout: 30 * time.Second,
		},
	}
	s.rooms = rooms{most: MaxRooms, history: o.History, log: s.log, after: func(d time.Duration, f func()) { s.After(d, f) }}
	s.sockets = websocket.Options{
		Opened: s.opened, Message: said, Closed: s.closed,
		PingInterval: 30 * time.Second, // so that one whose network is gone does not seem to be here
	}
	s.web = &http.Server{
		Handler:     s.routes(),
		ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s
}

// Listen listens, and has net/http serve what comes.
func (s *Server) Listen() (err error) {
	if s.listener, err = netconn.Listen(s.Server); err != nil {
		return err
	}
	go s.web.Serve(s.listener) // until Shutdown, or the end of the Server
	return nil
}

// Shutdown tells the members that they should move, answers the requests that have begun, and closes
// each WebSocket with the code 1001. When ctx is done it resets what is left, and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.rooms.tellAll(move{"move"})
	if s.listener == nil { // it has not listened
		return s.Server.Shutdown(ctx)
	}
	return s.listener.Shutdown(ctx, s.web.Shutdown)
}

//go:embed page
var embedded embed.FS

// routes is what net/http does.
func (s *Server) routes() http.Handler {
	page, err := fs.Sub(embedded, "page")
	if err != nil {
		panic(err) // the directory is in the program
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		if _, err := visitorOf(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := websocket.Upgrade(w, r, &s.sockets); err != nil {
			s.log.Debug("not upgraded", "peer", r.RemoteAddr, "err", err)
		}
	})
	mux.Handle("GET /", http.FileServerFS(page))
	return guarded(mux)
}

// guarded has the browser refuse what is not the page's own: scripts and styles in its text, frames
// around it, anything from elsewhere. So even a fault of the page could not run what somebody said.
func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}
