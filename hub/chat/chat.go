// Package chat is a chat for browsers over as many processes as it takes: each has the page, by net/http, and the
// WebSockets, on the loops of one port; a [hub.Hub] has the rooms. People have a name, are in a room, and see who is
// there, whichever process they came to.
//
//	GET /                              the page
//	GET /ws?room=R&name=N[&since=SEQ]  a WebSocket; SEQ is the last message that the client has; 0: it has none
//
// A text message of a client is what it says. What it is sent are the types of events.go, as JSON.
//
// In the hub the room R is chat.R, where each space, dot, *, > and % of R is written as % and two digits, as in an
// URL. What is published there is JSON, too: {"from":"Ada","text":"hello","time":1767225600000}, with the time in ms since
// 1970. Whoever can publish in the hub can take part, and whatever else is published there is not shown.
//
// What to look at: net/http has the routes, and could have middleware that knows its users ([websocket.Upgrade] is
// called in a handler like any other). After the upgrade neither a goroutine nor a buffer of net/http is left, so a
// hundred thousand people who are quiet cost what a hundred thousand quiet connections do. What is said is encoded once a
// process, and shared by all who get it. And everything has a bound: names, texts, who is listed, how fast a member may
// speak, what waits for NATS, and what waits for a member that does not read. That one is reset, and the log says so;
// its page comes back and, where the hub keeps what is said, asks for what it has missed.
package chat

import (
	"cmp"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/websocket"
)

// Bounds of what clients can do.
const (
	// MaxText is how long a text may be, in bytes of UTF-8. A longer one is refused with the code 1009.
	MaxText = 4 << 10
	// MaxName is how long a name of a person or a room may be, in characters.
	MaxName = 32
	// MaxListed is how many names a list of those who are here has. In a room of more, who comes and
	// goes is told as a number, once a second.
	MaxListed = hub.MaxNames
	// MaxRate is how many messages of a member are read in a second. The rest waits.
	MaxRate = 100
)

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// Hub has the rooms. It is the caller's, who closes it after the server has ended. It must be set.
	Hub *hub.Hub
	// History says that the hub keeps what is said (hub.Options.History), so that who comes back misses nothing.
	History bool
	// Origins are those of the pages of all servers of the same chat, such as "https://b.example:8443". A page that loses
	// its server tries one of the others, and their pages may come here. None: pages come back to where they are from,
	// as they should where a load balancer stands before all servers.
	Origins []string
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know and, at the level Debug, a line for each member that
	// has left. nil: slog.Default().
	Log *slog.Logger
}

// Server is one server of the chat. Before Listen the address, TLS and limits of its proactor.Server may be changed,
// except Limits.Overflow, which package netconn sets.
type Server struct {
	*proactor.Server
	hub      *hub.Hub
	listener *netconn.Listener
	web      *http.Server
	sockets  websocket.Options
	origins  []string
	hello    *websocket.Prepared
	crowd    crowd
	alive    *websocket.Prepared
	spread   time.Duration // of Shutdown, in tests; 0: what it says
	beat     time.Duration // between two parts of the crowd that are told "alive"
	log      *slog.Logger
}

// New makes the server.
func New(o Options) *Server {
	s := &Server{hub: o.Hub, origins: o.Origins, log: cmp.Or(o.Log, slog.Default()), alive: prepare(alive{"alive"}), beat: time.Second}
	s.Server = &proactor.Server{
		Addr: o.Addr, Engine: o.Engine, Log: o.Log,
		Limits: proactor.Limits{
			HighWater: 64 << 10, MaxPending: 256<<10 + hub.MaxReplay, // what a member is given at once that comes back
			MaxMessage:   MaxText + 1<<10, // see package websocket
			WriteTimeout: 30 * time.Second,
		},
	}
	s.sockets = websocket.Options{
		Opened: s.opened, Message: s.heard, Closed: s.closed,
		PingInterval: 30 * time.Second, // so that one whose network is gone does not seem to be here
	}
	if len(o.Origins) > 0 {
		s.sockets.CheckOrigin = s.mayCome
	}
	s.hello = prepare(hello{"hello", o.History, append([]string{}, o.Origins...)})
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
	over := make(chan struct{})
	go func() {
		s.Wait()
		close(over)
	}()
	go s.beats(over)
	return nil
}

// beats tells everybody that the server is alive, a part of them at a time, so that no loop is busy with it for long.
func (s *Server) beats(over <-chan struct{}) {
	next := time.NewTicker(s.beat)
	defer next.Stop()
	for part := 0; ; part = (part + 1) % parts {
		select {
		case <-next.C:
		case <-over:
			return
		}
		for _, c := range s.crowd.part(part) {
			_ = c.WritePrepared(s.alive) // one that has no room for it hears something else
		}
	}
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
	return s.guarded(mux)
}

// guarded has the browser refuse what is not the page's own: scripts and styles in its text, frames
// around it, anything from elsewhere. So even a fault of the page could not run what somebody said.
func (s *Server) guarded(h http.Handler) http.Handler {
	connect := "'self'"
	for _, origin := range s.origins {
		connect += " " + strings.Replace(origin, "http", "ws", 1)
	}
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src " + connect + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache")
		h.ServeHTTP(w, r)
	})
}

// mayCome reports whether a request is that of a page of this server, or of one of Origins.
func (s *Server) mayCome(r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && len(origins) == 1 && (strings.EqualFold(u.Host, r.Host) || slices.Contains(s.origins, origins[0]))
}
