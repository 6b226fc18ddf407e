package chat

import (
	"container/list"
	"log/slog"
	"sync"
	"time"
)

// rooms are all that there are. One that is empty is remembered for those who come back, until
// its place is needed.
type rooms struct {
	most    int
	history int // what each remembers, in messages
	log     *slog.Logger
	after   func(time.Duration, func())

	mu    sync.Mutex
	all   map[string]*room
	empty list.List // of *room, the one that has been empty for longest first
}

// enter counts one more connection in a room. nil: there are too many.
func (rs *rooms) enter(name string) *room {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.all[name]
	if r == nil {
		if len(rs.all) >= rs.most && !rs.forget() {
			return nil
		}
		r = newRoom(name, rs)
		if rs.all == nil {
			rs.all = map[string]*room{}
		}
		rs.all[name] = r
	}
	if r.empty != nil {
		rs.empty.Remove(r.empty)
		r.empty = nil
	}
	r.conns++
	return r
}

// exit counts one connection less.
func (rs *rooms) exit(r *room) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.conns--; r.conns > 0 {
		return
	}
	if rs.history == 0 {
		delete(rs.all, r.name)
		return
	}
	r.empty = rs.empty.PushBack(r)
}

// forget makes room for a room, and reports whether it could.
func (rs *rooms) forget() bool {
	oldest := rs.empty.Front()
	if oldest == nil {
		return false
	}
	delete(rs.all, rs.empty.Remove(oldest).(*room).name)
	return true
}

// tellAll tells an event to everybody.
func (rs *rooms) tellAll(event any) {
	rs.mu.Lock()
	all := make([]*room, 0, len(rs.all))
	for _, r := range rs.all {
		all = append(all, r)
	}
	rs.mu.Unlock()
	m, _ := prepare(event)
	for _, r := range all {
		r.mu.Lock()
		r.tell(m)
		r.mu.Unlock()
	}
}
