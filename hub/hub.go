package hub

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

// Errors of Publish, Join and Subscribe.
var (
	// ErrClosed: the hub was closed.
	ErrClosed = errors.New("hub: closed")
	// ErrBusy, by way of errors.Is, because the error names the room: more of it waits for NATS than is free of MaxOutbound,
	// because NATS is away or slower than what is published. Other rooms may have room still.
	ErrBusy = errors.New("hub: too much waits for NATS")
	// ErrTooLarge: the payload has more than MaxPayload bytes.
	ErrTooLarge = errors.New("hub: the message is too large")
)

// Hub is a node's part of all rooms. Any goroutine may call any method, in callbacks of connections and
// elsewhere, except where it says otherwise.
type Hub struct {
	id     string // of this hub, until it is closed
	name   string
	log    *slog.Logger
	nc     *nats.Conn
	server *server.Server // nil: it is elsewhere
	out    outbox
	keep   *keeper // nil: there is no history
	shards [shards]shard
	nodes  nodes
	due    due
	lanes  lanes
	counts counts

	unheard int // of send: bytes that were sent since nats.go had brought all back

	version atomic.Uint64 // of the state of a room: the last that was given

	closing  sync.Once
	closed   chan struct{}
	ctx      context.Context // until then
	cancel   context.CancelFunc
	routines sync.WaitGroup
}

type counts struct {
	published, refused, received, dropped, ended, lost atomic.Int64
}

// Stats are what a hub has counted since Open.
type Stats struct {
	// Rooms and Members are how many there are on this node.
	Rooms, Members int
	// Published is how many messages Publish has taken, and Refused how many it has not.
	Published, Refused int64
	// Received is how many messages have come from NATS for rooms of this node, its own included. Each is
	// counted once, however many members it goes to.
	Received int64
	// Lost is how many messages did not come, or did not go out, because this node was too slow or cut off.
	Lost int64
	// Dropped is how many messages were dropped for members that were behind, and Ended how many members
	// were ended because they were.
	Dropped, Ended int64
	// Waiting is how many bytes wait for NATS.
	Waiting int
}

// Open starts a hub and, without Options.URL, the NATS server in this process. It returns when the hub can be
// used, which may be before it has found others. A server at URL need not be there yet.
func Open(o Options) (*Hub, error) {
	if o.Name == "" {
		o.Name, _ = os.Hostname()
	}
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	log := cmp.Or(o.Log, slog.Default())
	if o.History != nil {
		history, err := o.History.sound()
		if err != nil {
			return nil, err
		}
		o.History = &history
	}
	if o.URL != "" {
		if o.Cluster != "" || len(o.Join) > 0 {
			return nil, errors.New("hub: either URL or Cluster")
		}
		if o.History != nil && o.History.Dir != "" {
			return nil, errors.New("hub: History.Dir is for the server in this process")
		}
		return connect(&o, log, nil, "", o.URL, o.Connect...)
	}
	dir := "" // to be removed
	if o.History != nil && o.History.Dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "hub-"); err != nil {
			return nil, fmt.Errorf("hub: %w", err)
		}
	}
	password := rand.Text()
	s, err := startServer(&o, dir, password, log)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	h, err := connect(&o, log, s, dir, "", nats.InProcessServer(s), nats.UserInfo("hub", password))
	if err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		os.RemoveAll(dir)
	}
	return h, err
}

// connect starts a hub on a NATS server. If that is the hub's own, Close ends it.
func connect(o *Options, log *slog.Logger, s *server.Server, dir, url string, options ...nats.Option) (*Hub, error) {
	h := &Hub{id: nuid.Next(), name: o.Name, log: log, server: s, closed: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if o.History != nil {
		n := 1
		if s == nil || o.Cluster != "" {
			n = replicas
		}
		h.keep = newKeeper(h, *o.History, n, dir)
	}
	h.out.init()
	h.nodes.all, h.nodes.silence = map[string]*node{}, forgetAfter
	for i := range h.shards {
		h.shards[i] = shard{hub: h, rooms: map[string]*room{}, inbox: make(chan *nats.Msg, inboxMost)}
	}
	nc, err := nats.Connect(url, h.connectOptions(options)...)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	h.nc = nc
	if h.keep != nil {
		if err := h.keep.start(); err != nil {
			nc.Close()
			return nil, fmt.Errorf("hub: %w", err)
		}
	}
	for subject, f := range map[string]nats.MsgHandler{nodeSubject: h.onBeat, listSubject: h.onListing} {
		sub, err := nc.Subscribe(subject, f)
		if err != nil {
			nc.Close()
			return nil, fmt.Errorf("hub: %w", err)
		}
		sub.SetPendingLimits(1<<16, bytesMost)
	}
	for i := range h.shards {
		h.routines.Go(h.shards[i].run)
	}
	h.routines.Go(h.send)
	h.routines.Go(h.tick)
	return h, nil
}

// ClusterAddr is where the server in this process waits for those of other nodes; nil: it does not.
func (h *Hub) ClusterAddr() net.Addr {
	if h.server == nil {
		return nil
	}
	if a := h.server.ClusterAddr(); a != nil {
		return a
	}
	return nil
}

// Connected reports whether the hub has its NATS. Without, messages wait, up to MaxOutbound, and none come.
func (h *Hub) Connected() bool { return h.nc.IsConnected() }

// Publish sends a message to all members of a room, on all nodes, this one and its publisher included. p is copied.
// It never waits: the message goes into a queue of at most MaxOutbound bytes, of which a room may take as much as it
// leaves to the others. An error means that the message was not queued: ErrBusy, ErrClosed, ErrRoom or ErrTooLarge, as
// errors.Is has it; nil does not mean that somebody got it.
//
// The messages that one hub publishes in a room come to every member in the order of the calls, each at most once.
// Those of different hubs may come in different orders on different nodes.
func (h *Hub) Publish(room string, p []byte) error {
	err := checkRoom(room)
	if err == nil && len(p) > MaxPayload {
		err = ErrTooLarge
	}
	if err == nil && h.keep != nil {
		err = h.keep.put(room, p)
	} else if err == nil {
		err = h.out.put(room, p)
	}
	if err != nil {
		h.counts.refused.Add(1)
		return err
	}
	h.counts.published.Add(1)
	return nil
}

// Join puts a member into a room. name is what others are told of it; "": that one more is there. The member is told
// who is in the room soon, and then what happens. What is published on this hub after Join has returned comes to
// it; what another node publishes reaches it once [Hub.Presence] on that node counts it. The errors are
// ErrClosed, ErrRoom and ErrName.
func (h *Hub) Join(room string, m Member, name string, slow Slow) (*Seat, error) {
	if err := checkRoom(room); err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	if h.isClosed() {
		return nil, ErrClosed
	}
	return h.shardOf(room).join(room, &Seat{member: m, name: name, slow: slow}), nil
}

// Resume is Join for a member that was here before. since is the Seq of the last message it has got, on any node: it is written what came
// after that, as far as it is kept, and then what comes live, each message once and in order. 0: it is written all that is kept. If
// messages in between are not kept any more, it is told the Gap. It may take a while until the stream has
// answered, and longer while messages are not kept; Resume does not wait for it. Without Options.History it is Join.
func (h *Hub) Resume(room string, m Member, name string, slow Slow, since uint64) (*Seat, error) {
	if err := cmp.Or(checkRoom(room), checkName(name)); err != nil {
		return nil, err
	}
	if h.isClosed() {
		return nil, ErrClosed
	}
	return h.shardOf(room).join(room, &Seat{member: m, name: name, slow: slow, since: since, resuming: h.resumption()}), nil
}

// resumption is that of a member that comes back.
func (h *Hub) resumption() resumption {
	if h.keep == nil {
		return isHere
	}
	return waits
}

// Leave takes the member out of the room. When it returns, no event is written to the member any more. Further
// calls do nothing, and nor does one of a nil Seat, which is what a Join that failed has returned.
func (s *Seat) Leave() {
	if s != nil {
		s.part.room.of.leave(s)
	}
}

// Subscribe calls f with each message of the rooms that the pattern is for, on a goroutine of the subscription,
// until stop is called or the hub is closed. In a pattern * stands for any word, and > at its end for one or more. It is no
// member, and hears all of those rooms, whether or not this node has members in them. 8,192 messages may wait for f,
// and without Options.History no more than 64 MiB of them. What comes beyond is lost, counted in Stats.Lost, and told: an event Dropped, without a Room,
// before the next message.
func (h *Hub) Subscribe(pattern string, f func(e *Event)) (stop func(), err error) {
	if h.isClosed() {
		return nil, ErrClosed
	}
	if h.keep != nil {
		return h.subscribeKept(pattern, f)
	}
	told := 0
	sub, err := h.nc.Subscribe(roomSubject+pattern, func(m *nats.Msg) {
		if all, err := m.Sub.Dropped(); err == nil && all > told {
			h.counts.lost.Add(int64(all - told))
			f(&Event{Kind: Dropped, Lost: all - told, Time: time.Now()})
			told = all
		}
		f(&Event{Kind: Message, Room: m.Subject[len(roomSubject):], Payload: m.Data, Time: time.Now()})
	})
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	sub.SetPendingLimits(inboxMost, bytesMost)
	return func() { sub.Unsubscribe() }, nil
}

// Stats returns what was counted. It takes time for each room: call it once in a second or so.
func (h *Hub) Stats() Stats {
	c := &h.counts
	s := Stats{
		Published: c.published.Load(), Refused: c.refused.Load(), Received: c.received.Load(),
		Lost: c.lost.Load(), Dropped: c.dropped.Load(), Ended: c.ended.Load(), Waiting: h.out.size(),
	}
	for i := range h.shards {
		for _, r := range h.shards[i].all() {
			s.Rooms++
			s.Members += r.size()
		}
	}
	return s
}

// Close tells the other nodes that this one goes, sends what waits, for up to a second, and ends the server if
// it is in this process. The members stay as they are, and hear nothing more. It waits: do not call it in callbacks.
func (h *Hub) Close() {
	h.closing.Do(func() {
		h.out.close()
		close(h.closed)
		h.cancel()
		if h.keep != nil {
			h.keep.stop()
		}
		h.routines.Wait()
		h.tellRest()
		if h.nc.IsConnected() {
			h.publishJSON(nodeSubject, &beat{Node: h.id, Name: h.name, Bye: true})
			h.nc.FlushTimeout(time.Second)
		}
		h.nc.Close()
		if h.server != nil {
			h.server.Shutdown()
			h.server.WaitForShutdown()
		}
		if h.keep != nil {
			h.keep.removeDir()
		}
	})
}

// tellRest tells the members what waits for them, so that they hear nothing more afterwards. Nothing new comes.
func (h *Hub) tellRest() {
	for i := range h.shards {
		for _, r := range h.shards[i].all() {
			r.tellRest()
		}
	}
}

func (h *Hub) isClosed() bool {
	select {
	case <-h.closed:
		return true
	default:
		return false
	}
}
