//go:build linux

package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"

	nats "github.com/nats-io/nats-server/v2/server"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/websocket"
)

const roomName = "room"

// proactorHub is package hub, as docs/scale.md shows it. It echoes, too, with a hub beside that has nothing to do.
func proactorHub(backend string) server {
	on := func(serve func(*proactor.Engine, *hub.Hub, task) error) func(task) error {
		return func(t task) error {
			return onEngine(proactor.Config{Backend: backend, Loops: t.Loops}, func(e *proactor.Engine, t task) error {
				o := hub.Options{Log: slog.New(slog.DiscardHandler)}
				if own, other, several := strings.Cut(t.To, ","); several {
					o.Name, o.Cluster, o.Join = own, own, []string{other}
				}
				h, err := hub.Open(o)
				if err != nil {
					return err
				}
				return serve(e, h, t)
			}, t)
		}
	}
	hear := on(hubRoom(websocket.Text))
	return server{name: "hub-" + backend, serves: map[protocol]func(task) error{
		echo:  on(func(e *proactor.Engine, _ *hub.Hub, t task) error { return proactorEcho(e, t) }),
		rooms: hear, cluster: hear, socketBroadcast: on(hubRoom(websocket.Binary)),
	}}
}

func hubRoom(as websocket.Type) func(*proactor.Engine, *hub.Hub, task) error {
	return func(e *proactor.Engine, h *hub.Hub, t task) error {
		p := &hub.Protocol{Type: as, Encode: func(e *hub.Event) []byte {
			if e.Kind != hub.Message {
				return nil
			}
			return e.Payload
		}}
		return serveSockets(e, t, &websocket.Options{
			Opened: func(c *websocket.Conn, r *http.Request) {
				if r.URL.Path == plain.publisher {
					return
				}
				if seat, err := h.Join(roomName, p.WebSocket(c), "", hub.Close); err == nil {
					c.SetValue(seat)
				}
			},
			Message: func(_ *websocket.Conn, _ websocket.Type, p []byte) { h.Publish(roomName, p) },
			Closed: func(c *websocket.Conn, _ error) {
				if seat, ok := c.Value().(*hub.Seat); ok {
					seat.Leave()
				}
			},
		})
	}
}

// proactorRoom is a Registry of those that hear.
func proactorRoom(e *proactor.Engine, t task) error {
	var all proactor.Registry[*websocket.Conn]
	return serveSockets(e, t, &websocket.Options{
		Opened: func(c *websocket.Conn, r *http.Request) {
			if r.URL.Path != plain.publisher {
				all.Add(c, c.Transport())
			}
		},
		Closed: func(c *websocket.Conn, _ error) { all.Remove(c, c.Transport()) },
		Message: func(_ *websocket.Conn, t websocket.Type, p []byte) {
			if m, err := websocket.Prepare(t, p); err == nil {
				websocket.Broadcast(&all, m)
			}
		},
	})
}

// Centrifugo takes the place of the process that was to be the server. It is measured where it is installed
// (go install github.com/centrifugal/centrifugo/v6@v6.9.1).
func init() {
	path, err := exec.LookPath("centrifugo")
	if err != nil {
		return
	}
	become := func(t task) error {
		host, port, err := net.SplitHostPort(t.Addr)
		if err != nil {
			return err
		}
		env := append(os.Environ(),
			"CENTRIFUGO_HTTP_SERVER_ADDRESS="+host, "CENTRIFUGO_HTTP_SERVER_PORT="+port, "CENTRIFUGO_LOG_LEVEL=error",
			"CENTRIFUGO_CLIENT_INSECURE=true", "CENTRIFUGO_HTTP_API_INSECURE=true",
			"CENTRIFUGO_CLIENT_PING_INTERVAL=1h", // the others send none at all
		)
		if t.To != "" {
			env = append(env, "CENTRIFUGO_BROKER_ENABLED=true", "CENTRIFUGO_BROKER_TYPE=nats", "CENTRIFUGO_BROKER_NATS_URL=nats://"+t.To)
		}
		return syscall.Exec(path, []string{"centrifugo"}, env)
	}
	servers = append(servers, server{
		name: "centrifugo", dialect: &centrifugal,
		serves: map[protocol]func(task) error{rooms: become, cluster: become},
	})
}

// centrifugal is Centrifugo's: JSON, as centrifugal.dev describes it. A publication has the payload as a string.
var centrifugal = dialect{
	member: "/connection/websocket",
	join:   `{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"` + roomName + `"}}`,
	joined: `{"id":2,"subscribe":{}}`,
	before: `{"push":{"channel":"` + roomName + `","pub":{"data":"`, after: `"}}}`,
	publication: func(payload []byte) []byte {
		body := fmt.Sprintf(`{"channel":%q,"data":%q}`, roomName, payload)
		return fmt.Appendf(nil, "POST /api/publish HTTP/1.1\r\nHost: server.example.com\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			len(body), body)
	},
}

// speaks is how its rooms are spoken to.
func (s server) speaks() dialect {
	if s.dialect != nil {
		return *s.dialect
	}
	return plain
}

// natsAlone is what centrifugo's nodes have between them.
func natsAlone(t task) error {
	a, err := net.ResolveTCPAddr("tcp4", t.Addr)
	if err != nil {
		return err
	}
	s, err := nats.NewServer(&nats.Options{Host: a.IP.String(), Port: a.Port, NoSigs: true, NoLog: true})
	if err != nil {
		return err
	}
	s.Start()
	s.WaitForShutdown()
	return nil
}

// nodes starts so many of a cluster; with centrifugo, what is between them comes first.
func (s server) nodes(n int, w workload) (all []*process, err error) {
	var to func(int) string
	if s.dialect != nil {
		broker, err := start(find(servers, "nats"), between, task{}, w.serverCPUs())
		if err != nil {
			return nil, err
		}
		all = append(all, broker)
		to = func(int) string { return broker.addr }
	} else {
		routes := make([]string, n)
		for i := range routes {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			defer l.Close()
			routes[i] = l.Addr().String()
			l.Close()
		}
		to = func(i int) string { return routes[i] + "," + routes[(i+1)%n] }
	}
	for i := range n {
		node, err := start(s, cluster, task{Loops: w.Loops, To: to(i)}, w.serverCPUs())
		if err != nil {
			return all, err
		}
		all = append(all, node)
	}
	return all, nil
}

// members are those of what nodes has started that members connect to.
func (s server) members(all []*process) []*process {
	if len(all) > 1 && s.dialect != nil {
		return all[1:]
	}
	return all
}
