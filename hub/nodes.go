package hub

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// moment is how long joins and leaves are gathered before they are told.
	moment = 100 * time.Millisecond
	// beatEvery is the time between two heartbeats.
	beatEvery = time.Second
	// forgetAfter is the silence after which a node counts as dead, except in tests.
	forgetAfter = 4 * time.Second
)

// Node is another hub.
type Node struct {
	ID, Name string
}

// nodes are the other hubs that were heard lately.
type nodes struct {
	mu      sync.Mutex
	all     map[string]*node
	silence time.Duration // after which a node counts as dead
}

type node struct {
	name  string
	heard time.Time
	beats bool // a heartbeat has come
}

// Nodes lists the other hubs that this one hears, by name.
func (h *Hub) Nodes() []Node {
	h.nodes.mu.Lock()
	defer h.nodes.mu.Unlock()
	var all []Node
	for id, n := range h.nodes.all {
		if n.beats {
			all = append(all, Node{id, n.name})
		}
	}
	slices.SortFunc(all, func(a, b Node) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return all
}

// heard notes that a node is alive.
func (n *nodes) heard(id string) *node {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.heardLocked(id)
}

func (n *nodes) heardLocked(id string) *node {
	o := n.all[id]
	if o == nil {
		o = new(node)
		n.all[id] = o
	}
	o.heard = time.Now()
	return o
}

// beats notes a heartbeat, and reports whether it is the first, or the first since the node was forgotten.
func (n *nodes) beats(b *beat) (first bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.heardLocked(b.Node)
	first = !o.beats
	o.beats, o.name = true, b.Name
	return first
}

// silent takes those out that were not heard for long, and returns them.
func (n *nodes) silent(now time.Time) (gone []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, o := range n.all {
		if now.Sub(o.heard) > n.silence {
			gone = append(gone, id)
			delete(n.all, id)
		}
	}
	return gone
}

// excuse counts all as heard: it was this node that stood still.
func (n *nodes) excuse(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.all {
		o.heard = now
	}
}

func (n *nodes) remove(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.all, id)
}

// onBeat takes a heartbeat.
func (h *Hub) onBeat(m *nats.Msg) {
	var b beat
	if json.Unmarshal(m.Data, &b) != nil || b.Node == "" || b.Node == h.id {
		return
	}
	if b.Bye {
		h.nodes.remove(b.Node)
		h.forget(b.Node)
		return
	}
	if h.nodes.beats(&b) {
		h.log.Info("a node is there", "node", b.Name)
		if h.keep != nil {
			h.keep.checkAll(true)
		}
		h.askAll() // it may have been cut off, and either side have changed meanwhile
	}
}

func (h *Hub) forget(node string) {
	for i := range h.shards {
		for _, r := range h.shards[i].all() {
			r.forget(node)
		}
	}
}

func (h *Hub) askAll() {
	for i := range h.shards {
		for _, r := range h.shards[i].all() {
			r.ask()
		}
	}
}

// due are the rooms that the next tick looks at.
type due struct {
	mu    sync.Mutex
	rooms []*room
}

func (d *due) add(r *room) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rooms = append(d.rooms, r)
}

func (d *due) take() []*room {
	d.mu.Lock()
	defer d.mu.Unlock()
	rooms := d.rooms
	d.rooms = nil
	return rooms
}

// tick is the goroutine for what is done now and then.
func (h *Hub) tick() {
	ticker := time.NewTicker(moment)
	defer ticker.Stop()
	var told time.Time
	last, shard := time.Now(), 0
	for {
		select {
		case <-h.closed:
			return
		case <-ticker.C:
		}
		now := time.Now()
		if now.Sub(last) > 2*beatEvery {
			h.nodes.excuse(now)
		}
		last = now
		for _, r := range h.due.take() {
			r.tick(now)
		}
		if now.Sub(told) < beatEvery {
			continue
		}
		told = now
		h.publishJSON(nodeSubject, &beat{Node: h.id, Name: h.name})
		h.tellListings(shard)
		shard = (shard + 1) % shards
		for _, id := range h.nodes.silent(now) {
			h.log.Warn("a node is silent, and forgotten", "node", id)
			h.forget(id)
		}
	}
}

// publishJSON sends what hubs tell each other. What is lost comes again. It may wait for NATS: loops must
// not call it.
func (h *Hub) publishJSON(subject string, v any) {
	p, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers can be encoded
	}
	if err := h.toNATS(subject, p); err != nil && h.nc.IsConnected() {
		h.log.Warn("not told to the other nodes", "subject", subject, "err", err)
	}
}
