package faults_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/websocket"
)

// setting is what a node is told to begin with.
type setting struct {
	Name    string
	Cluster string   `json:",omitempty"`
	Join    []string `json:",omitempty"`
	URL     string   `json:",omitempty"`
	Host    string   // where it listens for clients
}

// address is what a node says first.
type address struct{ Cluster, Socket, Plain string }

// spoken is how clients are told of events: a message as it is; "here 5" for presence, "lost 5".
var spoken = &hub.Protocol{Encode: func(e *hub.Event) []byte {
	switch e.Kind {
	case hub.Message:
		return e.Payload
	case hub.Presence:
		return fmt.Appendf(nil, "here %d\n", e.Count)
	default:
		return fmt.Appendf(nil, "lost %d\n", e.Lost)
	}
}}

// text is a message of a publisher, padded to so many bytes with its newline.
func text(publisher, number, size int) []byte {
	p := fmt.Appendf(make([]byte, 0, size+32), "m %d %d ", publisher, number)
	for len(p) < size-1 {
		p = append(p, '.')
	}
	return append(p, '\n')
}

// node is a process with a hub. Its clients are members of a room: a WebSocket of that in the path of its URL, a
// plain connection of that in its first line. What they send they publish. They keep to hub.DropOldest.
type node struct {
	hub    *hub.Hub
	ears   map[string][]*ear // of function members, by room
	seats  map[string][]*hub.Seat
	behind sync.WaitGroup // what is done meanwhile
}

func beNode(told string) error {
	var s setting
	if err := json.Unmarshal([]byte(told), &s); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("PROACTOR_HUB_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", s.Name)
	}
	h, err := hub.Open(hub.Options{Name: s.Name, Cluster: s.Cluster, Join: s.Join, URL: s.URL, Log: log})
	if err != nil {
		return err
	}
	defer h.Close()
	e, err := proactor.NewEngine(proactor.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer e.Close()
	n := &node{hub: h, ears: map[string][]*ear{}, seats: map[string][]*hub.Seat{}}
	sockets := n.server(e, s.Host, n.sockets())
	plain := n.server(e, s.Host, n.plain())
	if err := errors.Join(sockets.Listen(), plain.Listen()); err != nil {
		return err
	}
	a := address{Socket: sockets.ListenAddr().String(), Plain: plain.ListenAddr().String()}
	if c := h.ClusterAddr(); c != nil {
		a.Cluster = c.String()
	}
	say := json.NewEncoder(os.Stdout)
	say.Encode(a)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		answer, err := n.does(strings.Fields(lines.Text()))
		if err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
		say.Encode(answer)
	}
	n.behind.Wait()
	return nil
}

func (n *node) server(e *proactor.Engine, host string, handler proactor.Handler) *proactor.Server {
	return &proactor.Server{
		Engine: e, Network: "tcp4", Addr: host + ":0", Handler: handler, Log: slog.New(slog.DiscardHandler),
		Limits: proactor.Limits{Overflow: proactor.RejectWrites},
	}
}

func (n *node) sockets() proactor.Handler {
	return websocket.Handler(&websocket.Options{
		Opened: func(c *websocket.Conn, r *http.Request) {
			seat, err := n.hub.Join(r.URL.Path[1:], spoken.WebSocket(c), "", hub.DropOldest)
			if err != nil {
				c.Close(websocket.StatusPolicyViolation, err.Error())
			}
			c.SetValue(client{seat, r.URL.Path[1:]})
		},
		Message: func(c *websocket.Conn, _ websocket.Type, p []byte) { n.hub.Publish(c.Value().(client).room, p) },
		Closed:  func(c *websocket.Conn, _ error) { c.Value().(client).seat.Leave() },
	})
}

type client struct {
	seat *hub.Seat
	room string
}

func (n *node) plain() proactor.Handler {
	return proactor.Handler{
		Split: bufio.ScanLines,
		Message: func(c *proactor.Conn, line []byte) {
			if v, ok := c.Value().(client); ok {
				n.hub.Publish(v.room, append(line[:len(line):len(line)], '\n'))
				return
			}
			room := string(line)
			seat, err := n.hub.Join(room, spoken.Conn(c), "", hub.DropOldest)
			if err != nil {
				c.Abort()
				return
			}
			c.SetValue(client{seat, room})
		},
		Closed: func(c *proactor.Conn, _ error) {
			if v, ok := c.Value().(client); ok {
				v.seat.Leave()
			}
		},
	}
}

// status is what a node knows of itself.
type status struct {
	hub.Stats
	Nodes     int
	Connected bool
}

// does what it is told, and returns the answer.
func (n *node) does(words []string) (any, error) {
	word := func(i int) string { return words[min(i, len(words)-1)] }
	number := func(i int) int { v, _ := strconv.Atoi(word(i)); return v }
	switch words[0] {
	case "status":
		return status{n.hub.Stats(), len(n.hub.Nodes()), n.hub.Connected()}, nil
	case "heap": // in bytes
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, nil
	case "count": // ROOM: who is there
		count, _, _ := n.hub.Presence(word(1))
		return count, nil
	case "counts": // ROOM NUMBER COUNT: in how many of so many rooms that many are
		all := 0
		for i := range number(2) {
			if count, _, _ := n.hub.Presence(fmt.Sprint(word(1), i)); count == number(3) {
				all++
			}
		}
		return all, nil
	case "join": // ROOM NUMBER: function members
		return number(2), n.join(word(1), number(2))
	case "each": // ROOM NUMBER: a function member in each of so many rooms
		for i := range number(2) {
			if err := n.join(fmt.Sprint(word(1), i), 1); err != nil {
				return nil, err
			}
		}
		return number(2), nil
	case "leave": // ROOM
		for _, s := range n.seats[word(1)] {
			s.Leave()
		}
		delete(n.seats, word(1))
		return 0, nil
	case "heard": // ROOM PUBLISHER
		return n.heard(word(1), number(2)), nil
	case "publish": // ROOM PUBLISHER FROM NUMBER SIZE: as fast as may be
		return n.publish(word(1), number(2), number(3), number(4), number(5), patience)
	case "fill": // ROOM PUBLISHER FROM SIZE: until no more is taken; it answers how many were
		return n.publish(word(1), number(2), number(3), 1<<30, number(4), 0)
	case "pace": // ROOM PUBLISHER NUMBER SIZE MICROSECONDS: meanwhile
		n.behind.Go(func() {
			tick := time.NewTicker(time.Duration(number(5)) * time.Microsecond)
			defer tick.Stop()
			for i := range number(3) {
				n.publish(word(1), number(2), i, 1, number(4), patience)
				<-tick.C
			}
		})
		return 0, nil
	case "paced": // what was begun so has ended
		n.behind.Wait()
		return 0, nil
	}
	return nil, errors.New("no such thing")
}

func (n *node) join(room string, number int) error {
	for range number {
		e := newEar()
		seat, err := n.hub.Join(room, hub.Func(e.event), "", hub.Close)
		if err != nil {
			return err
		}
		n.ears[room] = append(n.ears[room], e)
		n.seats[room] = append(n.seats[room], seat)
	}
	return nil
}

// publish publishes these and returns how many were. While the hub is busy it waits, for so long.
func (n *node) publish(room string, publisher, from, number, size int, wait time.Duration) (int, error) {
	for i := range number {
		p := text(publisher, from+i, size)
		err := n.hub.Publish(room, p)
		for end := time.Now().Add(wait); errors.Is(err, hub.ErrBusy); err = n.hub.Publish(room, p) {
			if time.Now().After(end) {
				return i, nil
			}
			time.Sleep(time.Millisecond)
		}
		if err != nil {
			return i, err
		}
	}
	return number, nil
}
