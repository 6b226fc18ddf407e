// Package site is net/http on the loops: files, a clock by server-sent events, and an echo by
// WebSocket. Over TLS it speaks HTTP/2, too, see [Protocols].
//
//	GET /clock   the time, each second, as server-sent events (text/event-stream)
//	GET /ws      a WebSocket that sends back what it is sent
//	GET /...     files of a directory or, without one, a page that shows the two
//
// What to look at: nothing here but Listen and Shutdown knows of this framework. The http.Server is a
// plain one, and so would be a router or middleware; it has a listener of package netconn. It keeps a
// goroutine and its buffers for a connection, as ever. What a connection gains are the limits,
// counters and shutdown of the [proactor.Server], and that it can leave: [websocket.Upgrade] gives it to
// its loop, where it costs a few hundred bytes. A request for the clock holds its goroutine while it
// lasts, so for very many listeners a WebSocket is the better clock.
package site

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/websocket"
)

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// Dir is the directory whose files are served. What is a link to somewhere outside of it is not. Empty: the
	// page of this package.
	Dir string
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know. nil: slog.Default().
	Log *slog.Logger
}

// Server is the site. Before Listen the address, TLS and limits of its proactor.Server may be changed,
// except Limits.Overflow, which package netconn sets.
type Server struct {
	*proactor.Server
	listener *netconn.Listener
	web      *http.Server
	echo     websocket.Options
	root     *os.Root      // of the files; nil: they are in the program
	tick     time.Duration // of the clock
	ending   chan struct{} // closed when the shutdown begins
	log      *slog.Logger
}

// New makes the server. An error is that of opening the directory.
func New(o Options) (*Server, error) {
	s := &Server{tick: time.Second, ending: make(chan struct{}), log: cmp.Or(o.Log, slog.Default())}
	s.Server = &proactor.Server{
		Addr: o.Addr, Engine: o.Engine, Log: o.Log,
		// A message that is echoed finds room if less than HighWater waits before it.
		Limits: proactor.Limits{MaxPending: 2 << 20},
	}
	s.echo = websocket.Options{
		Message: func(c *websocket.Conn, t websocket.Type, p []byte) {
			if err := c.WriteLent(t, p); errors.Is(err, proactor.ErrBacklog) {
				c.Transport().Abort() // rather than a stream with a hole
			}
		},
		PingInterval: 30 * time.Second,
	}
	files, err := s.files(o.Dir)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /clock", s.clock)
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		if err := websocket.Upgrade(w, r, &s.echo); err != nil {
			s.log.Debug("not upgraded", "peer", r.RemoteAddr, "err", err)
		}
	})
	s.web = &http.Server{
		Handler:     guarded(mux),
		ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.web.RegisterOnShutdown(sync.OnceFunc(func() { close(s.ending) }))
	return s, nil
}

//go:embed page
var embedded embed.FS

// files are those of a directory, or of this package.
func (s *Server) files(dir string) (_ fs.FS, err error) {
	if dir == "" {
		return fs.Sub(embedded, "page")
	}
	if s.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	return s.root.FS(), nil
}

// Protocols are what TLS.NextProtos must have for HTTP/2, which clients of TLS choose there.
var Protocols = []string{"h2", "http/1.1"}

// Listen listens, and has net/http serve what comes.
func (s *Server) Listen() (err error) {
	if s.listener, err = netconn.Listen(s.Server); err != nil {
		return err
	}
	go s.web.Serve(s.listener) // until Shutdown, or the end of the Server
	return nil
}

// Shutdown answers the requests that have begun, ends the clocks, and closes each WebSocket with the
// code 1001. When ctx is done it resets what is left, and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	var err error
	if s.listener == nil { // it has not listened
		err = s.Server.Shutdown(ctx)
	} else {
		err = s.listener.Shutdown(ctx, s.web.Shutdown)
	}
	if s.root != nil {
		err = errors.Join(err, s.root.Close())
	}
	return err
}

// clock sends the time until the client leaves or the server ends.
func (s *Server) clock(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{}) // ReadTimeout is for the request, which is here
	tick := time.NewTicker(s.tick)
	defer tick.Stop()
	for now := time.Now(); ; {
		fmt.Fprintf(w, "data: %s\n\n", now.UTC().Format(time.RFC3339Nano))
		control.SetWriteDeadline(time.Now().Add(time.Minute)) // for a client that does not read
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case now = <-tick.C:
		case <-r.Context().Done():
			return
		case <-s.ending:
			return
		}
	}
}

// guarded has browsers take a file for what it is said to be.
func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}
