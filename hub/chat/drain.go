package chat

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/websocket"
)

// crowd is everybody who is connected.
type crowd struct {
	mu   sync.Mutex
	all  [parts]map[uint64]*websocket.Conn // by Conn.ID
	n    int                               // how many they are
	gone chan struct{}                     // closed when nobody is left; nil: the server is not going
}

// parts is how many parts a crowd has, so that not everybody is told the same at once.
const parts = 25

// add reports whether somebody may come: the server is not going. They are told hello before anything else.
func (a *crowd) add(c *websocket.Conn, hello *websocket.Prepared) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone != nil {
		return false
	}
	_ = c.WritePrepared(hello) // if that fails it is closed
	id := c.Transport().ID()
	part := &a.all[id%parts]
	if *part == nil {
		*part = map[uint64]*websocket.Conn{}
	}
	(*part)[id] = c
	a.n++
	return true
}

// part is one of the parts, from 0.
func (a *crowd) part(i int) []*websocket.Conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Collect(maps.Values(a.all[i]))
}

func (a *crowd) remove(c *websocket.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := c.Transport().ID()
	part := a.all[id%parts]
	if _, ok := part[id]; !ok {
		return
	}
	delete(part, id)
	a.n--
	if a.gone != nil && a.n == 0 {
		close(a.gone)
	}
}

// leave has nobody come any more, and tells who is here. gone is closed when nobody is left. Further calls name nobody.
func (a *crowd) leave() (all []*websocket.Conn, gone <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone != nil {
		return nil, a.gone
	}
	a.gone = make(chan struct{})
	if a.n == 0 {
		close(a.gone)
	}
	for _, part := range a.all {
		all = slices.AppendSeq(all, maps.Values(part))
	}
	return all, a.gone
}

// most is how long members have to move where ctx has no deadline.
const most = 10 * time.Second

// Shutdown listens no more, and tells the members to move within the first half of the time that ctx leaves, each after a random
// part of it: so the other servers are not met by all at once. When nobody is left, or the half is over, it answers the
// requests that have begun, and closes each WebSocket that is left with the code 1001. When ctx is done it resets what is
// left, and returns its error. In a callback the error is [proactor.ErrOnLoop].
func (s *Server) Shutdown(ctx context.Context) error {
	if s.listener == nil { // it has not listened
		return s.Server.Shutdown(ctx)
	}
	if err := s.StopListening(); err == proactor.ErrOnLoop {
		return err
	}
	within := most
	if end, ok := ctx.Deadline(); ok {
		within = max(0, time.Until(end)/2)
	}
	if s.spread > 0 {
		within = s.spread
	}
	all, gone := s.crowd.leave()
	m := prepare(move{"move", within.Milliseconds()})
	for _, c := range all {
		_ = c.WritePrepared(m) // one that has no room for it is closed later, as are those that do not move
	}
	over := time.NewTimer(within)
	defer over.Stop()
	select {
	case <-gone:
	case <-over.C:
	case <-ctx.Done():
	}
	return s.listener.Shutdown(ctx, s.web.Shutdown)
}
