package hub

import (
	"hash/fnv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

const (
	// shards is how many parts the rooms have. Those of one part are served by one goroutine. The number is
	// the same on all nodes: heartbeats tell of one part each.
	shards = 8
	// inboxMost is how many messages may wait for a shard. What comes beyond is lost, and told.
	inboxMost = 8192
	// bytesMost is how much may wait for a function of a subscription, in bytes.
	bytesMost = 64 << 20
)

// shard is a part of the rooms.
type shard struct {
	hub   *Hub
	inbox chan *nats.Msg // from NATS, for all its rooms

	mu    sync.Mutex
	rooms map[string]*room
}

func shardNumber(room string) int {
	sum := fnv.New32a()
	sum.Write([]byte(room))
	return int(sum.Sum32() % shards)
}

func (h *Hub) shardOf(room string) *shard { return &h.shards[shardNumber(room)] }

func (s *shard) get(name string) *room {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms[name]
}

func (s *shard) all() []*room {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*room, 0, len(s.rooms))
	for _, r := range s.rooms {
		all = append(all, r)
	}
	return all
}

func (s *shard) join(name string, seat *Seat) *Seat {
	s.mu.Lock()
	r := s.rooms[name]
	if r == nil {
		r = newRoom(s, name)
		s.rooms[name] = r
	}
	if r.users++; r.users == 1 {
		s.hub.out.look(r)
	}
	s.mu.Unlock()
	seat.fresh = true
	r.add(seat)
	return seat
}

func (s *shard) leave(seat *Seat) {
	r := seat.part.room
	if !r.remove(seat) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.users--; r.users == 0 {
		delete(s.rooms, r.name)
		s.hub.out.look(r) // under the lock, so before that of a room that comes to have this name
	}
}

// used reports whether the room has members, or is about to. One that has none never has again: the next
// member makes a new one.
func (s *shard) used(r *room) bool { return s.get(r.name) == r }

// run gives rooms what comes from NATS.
func (s *shard) run() {
	for {
		select {
		case m := <-s.inbox:
			if name, ok := strings.CutPrefix(m.Subject, roomSubject); ok {
				if r := s.get(name); r != nil {
					s.hub.counts.received.Add(1)
					r.deliver(m)
				}
			} else if name, ok := strings.CutPrefix(m.Subject, liveSubject); ok {
				if r := s.get(name); r != nil {
					s.hub.counts.received.Add(1)
					r.live(m)
				}
			} else if name, ok := strings.CutPrefix(m.Subject, flowSubject); ok {
				if r := s.get(name); r != nil {
					s.hub.counts.received.Add(1)
					r.flowed(m)
				}
			} else if r := s.get(strings.TrimPrefix(m.Subject, hereSubject)); r != nil {
				r.hear(m)
			}
		case <-s.hub.closed:
			return
		}
	}
}
