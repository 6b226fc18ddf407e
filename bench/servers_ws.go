//go:build linux

package main

import (
	"net/http"
	"sync"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	nblog "github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	nbsocket "github.com/lesismal/nbio/nbhttp/websocket"
	"github.com/lxzan/gws"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// WebSockets, each as its documentation shows it. None compresses, or checks that text is UTF-8:
// the messages are binary.

func proactorSockets(e *proactor.Engine, t task) error {
	return serveSockets(e, t, &websocket.Options{Message: echoes})
}

func echoes(c *websocket.Conn, t websocket.Type, p []byte) { c.WriteLent(t, p) }

func proactorSocketBroadcast(e *proactor.Engine, t task) error {
	var all proactor.Registry[*websocket.Conn]
	return serveSockets(e, t, &websocket.Options{
		Opened: func(c *websocket.Conn, _ *http.Request) { all.Add(c, c.Transport()) },
		Closed: func(c *websocket.Conn, _ error) { all.Remove(c, c.Transport()) },
		Message: func(_ *websocket.Conn, t websocket.Type, p []byte) {
			if m, err := websocket.Prepare(t, p); err == nil {
				websocket.Broadcast(&all, m)
			}
		},
	})
}

func serveSockets(e *proactor.Engine, t task, o *websocket.Options) error {
	return (&proactor.Server{Addr: t.Addr, Engine: e, Handler: websocket.Handler(o)}).ListenAndServe()
}

// proactorAdopt has net/http take the request, and Upgrade the connection from it.
func proactorAdopt(backend string) func(task) error {
	return func(t task) error {
		return onEngine(proactor.Config{Backend: backend, Loops: t.Loops}, func(e *proactor.Engine, t task) error {
			o := &websocket.Options{Message: echoes, Server: &proactor.Server{Engine: e}}
			o.Server.Handler = websocket.Handler(o)
			if err := o.Server.Start(); err != nil {
				return err
			}
			return http.ListenAndServe(t.Addr, upgrading(o))
		}, t)
	}
}

func upgrading(o *websocket.Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { websocket.Upgrade(w, r, o) })
}

// gwsHandler echoes, or sends to all.
type gwsHandler struct {
	gws.BuiltinEventHandler
	toAll bool
	all   members[*gws.Conn]
}

func (h *gwsHandler) OnOpen(c *gws.Conn)           { h.all.add(c) }
func (h *gwsHandler) OnClose(c *gws.Conn, _ error) { h.all.remove(c) }

func (h *gwsHandler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	if !h.toAll {
		c.WriteMessage(m.Opcode, m.Bytes())
		return
	}
	b := gws.NewBroadcaster(m.Opcode, m.Bytes())
	defer b.Close()
	h.all.each(func(c *gws.Conn) { b.Broadcast(c) })
}

// gws has a server of its own, which costs less than its Upgrader behind net/http.
func gwsEcho(t task) error { return gws.NewServer(&gwsHandler{}, nil).Run(t.Addr) }

func gwsBroadcast(t task) error { return gws.NewServer(&gwsHandler{toAll: true}, nil).Run(t.Addr) }

func nbioSockets(t task) error {
	u := nbsocket.NewUpgrader()
	u.OnMessage(func(c *nbsocket.Conn, t nbsocket.MessageType, p []byte) { c.WriteMessage(t, p) })
	return serveNbio(t, u)
}

func nbioSocketBroadcast(t task) error {
	var all members[*nbsocket.Conn]
	u := nbsocket.NewUpgrader()
	u.OnOpen(all.add)
	u.OnClose(func(c *nbsocket.Conn, _ error) { all.remove(c) })
	u.OnMessage(func(_ *nbsocket.Conn, t nbsocket.MessageType, p []byte) {
		all.each(func(c *nbsocket.Conn) { c.WriteMessage(t, p) })
	})
	return serveNbio(t, u)
}

func serveNbio(t task, u *nbsocket.Upgrader) error {
	nblog.SetLevel(nblog.LevelNone)
	e := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp", Addrs: []string{t.Addr}, NPoller: t.Loops, ReleaseWebsocketPayload: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { u.Upgrade(w, r, nil) }),
	})
	if err := e.Start(); err != nil {
		return err
	}
	select {} // until the process is killed
}

func gorillaEcho(t task) error {
	return serveGorilla(t, func(c *gorilla.Conn) {
		for {
			t, p, err := c.ReadMessage()
			if err != nil || c.WriteMessage(t, p) != nil {
				return
			}
		}
	})
}

// gorillaBroadcast has a goroutine that writes for each connection, as its example of a chat.
func gorillaBroadcast(t task) error {
	var all members[chan *gorilla.PreparedMessage]
	return serveGorilla(t, func(c *gorilla.Conn) {
		messages := make(chan *gorilla.PreparedMessage, 256)
		defer close(messages)
		all.add(messages)
		defer all.remove(messages)
		go func() {
			for m := range messages {
				if c.WritePreparedMessage(m) != nil {
					c.Close()
				}
			}
		}()
		for {
			t, p, err := c.ReadMessage()
			if err != nil {
				return
			}
			if m, err := gorilla.NewPreparedMessage(t, p); err == nil {
				all.each(func(to chan *gorilla.PreparedMessage) { to <- m })
			}
		}
	})
}

func serveGorilla(t task, serve func(*gorilla.Conn)) error {
	var u gorilla.Upgrader
	return http.ListenAndServe(t.Addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := u.Upgrade(w, r, nil); err == nil {
			defer c.Close()
			serve(c)
		}
	}))
}

func coderEcho(t task) error {
	return serveCoder(t, func(r *http.Request, c *coder.Conn) {
		for {
			t, p, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), t, p) != nil {
				return
			}
		}
	})
}

// coderBroadcast, too, is as its example of a chat.
func coderBroadcast(t task) error {
	var all members[chan []byte]
	return serveCoder(t, func(r *http.Request, c *coder.Conn) {
		messages := make(chan []byte, 256)
		defer close(messages)
		all.add(messages)
		defer all.remove(messages)
		go func() {
			for p := range messages {
				if c.Write(r.Context(), coder.MessageBinary, p) != nil {
					c.CloseNow()
				}
			}
		}()
		for {
			_, p, err := c.Read(r.Context())
			if err != nil {
				return
			}
			all.each(func(to chan []byte) { to <- p })
		}
	})
}

func serveCoder(t task, serve func(*http.Request, *coder.Conn)) error {
	return http.ListenAndServe(t.Addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := coder.Accept(w, r, nil); err == nil {
			defer c.CloseNow()
			serve(r, c)
		}
	}))
}

// members are those that get what is sent to all.
type members[T comparable] struct {
	mu  sync.Mutex
	all map[T]struct{}
}

func (m *members[T]) add(one T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[T]struct{}{}
	}
	m.all[one] = struct{}{}
}

func (m *members[T]) remove(one T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all, one)
}

func (m *members[T]) each(f func(T)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for one := range m.all {
		f(one)
	}
}
