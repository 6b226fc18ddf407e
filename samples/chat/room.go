package chat

import (
	"container/list"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// room is one room. What happens in it has one order for all.
type room struct {
	name string
	of   *rooms

	conns int           // guarded by rooms.mu, as is the next
	empty *list.Element // its place in rooms.empty; nil: it is not there

	mu      sync.Mutex
	members proactor.Registry[uint64] // by Conn.ID
	names   map[string]int            // of how many members it is the name
	last    int64                     // message.Seq of what was said last
	past    []remembered              // what was said, the oldest first
	size    int                       // of past, in bytes
	counts  bool                      // a report is due within a second
}

type remembered struct {
	seq  int64
	size int
	m    *websocket.Prepared
}

func newRoom(name string, of *rooms) *room {
	return &room{name: name, of: of, names: map[string]int{}, last: time.Now().UnixMicro()}
}

// join has a member be told who is here, what was said after a message, and then what happens.
func (r *room) join(c *websocket.Conn, name string, since int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names[name]++
	list, _ := prepare(r.here())
	r.send(c, list)
	if since >= 0 {
		r.replay(c, since)
	}
	if r.names[name] == 1 {
		r.changed(passage{"join", name}, len(r.names))
	}
	r.members.Add(c.Transport().ID(), c.Transport())
}

func (r *room) leave(c *websocket.Conn, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members.Remove(c.Transport().ID(), c.Transport())
	if r.names[name]--; r.names[name] > 0 {
		return
	}
	delete(r.names, name)
	r.changed(passage{"leave", name}, len(r.names)+1)
}

// here lists who is in the room; in one of many, any of them. mu is held.
func (r *room) here() here {
	names := make([]string, 0, min(len(r.names), MaxListed))
	for name := range maps.Keys(r.names) {
		if len(names) == MaxListed {
			break
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return here{"here", names, len(r.names)}
}

// changed tells that somebody came or left: of that many at once, in a room of many within a second. mu is
// held.
func (r *room) changed(p passage, most int) {
	switch {
	case r.counts:
	case most > MaxListed:
		r.counts = true
		r.of.after(time.Second, r.report)
	default:
		m, _ := prepare(p)
		r.tell(m)
	}
}

// report tells how many are here or, where they are not many any more, who they are.
func (r *room) report() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts = false
	var m *websocket.Prepared
	if len(r.names) > MaxListed {
		m, _ = prepare(presence{"presence", len(r.names)})
	} else {
		m, _ = prepare(r.here())
	}
	r.tell(m)
}

// say tells all what one has said, and remembers it.
func (r *room) say(from, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	m, size := prepare(message{"message", r.name, r.last, from, text, time.Now().UnixMilli()})
	if r.of.history > 0 {
		r.past = append(r.past, remembered{r.last, size, m})
		r.size += size
		for len(r.past) > r.of.history || r.size > maxPast {
			r.size -= r.past[0].size
			r.past = slices.Delete(r.past, 0, 1)
		}
	}
	r.tell(m)
}

// replay sends a member what was said after a message. mu is held.
func (r *room) replay(c *websocket.Conn, since int64) {
	first := r.last + 1 // that is remembered
	if len(r.past) > 0 {
		first = r.past[0].seq
	}
	if since > 0 && since+1 < first {
		m, _ := prepare(gap{"gap", since + 1, first - 1})
		r.send(c, m)
	}
	for _, p := range r.past {
		if p.seq > since {
			r.send(c, p.m)
		}
	}
}

// tell sends m to all members. mu is held.
func (r *room) tell(m *websocket.Prepared) {
	for _, pc := range r.members.All() {
		r.send(websocket.Of(pc), m)
	}
}

// send sends m to a member, and resets one that has no room for it: nobody misses what was
// said, and goes on as if nothing had been. [websocket.Broadcast] would leave them, because package netconn
// has its connections reject what they have no room for. mu is held.
func (r *room) send(c *websocket.Conn, m *websocket.Prepared) {
	if err := c.WritePrepared(m); errors.Is(err, proactor.ErrBacklog) {
		r.of.log.Warn("member has no room, and is reset", "room", r.name, "peer", c.Transport().RemoteAddr(), "pending", c.Transport().Stats().Pending)
		c.Transport().Abort()
	}
}
