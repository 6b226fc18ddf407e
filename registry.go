package proactor

import "sync"

// Registry keeps connections by a key of the user's: an account, a device, a
// room's member. It may be used by any goroutine, in callbacks and elsewhere. The
// zero value is empty and ready.
//
// A connection is not taken out by itself when it closes: call Remove in
// Handler.Closed.
type Registry[K comparable] struct {
	mu      sync.Mutex
	places  map[K]int
	members []member[K]
}

type member[K comparable] struct {
	key  K
	conn *Conn
}

// Add keeps c by the key. It returns the connection that was kept by it before,
// nil if none was: that one is not closed.
func (r *Registry[K]) Add(key K, c *Conn) (before *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := r.places[key]; ok {
		before = r.members[i].conn
		r.members[i].conn = c
		return before
	}
	if r.places == nil {
		r.places = map[K]int{}
	}
	r.places[key] = len(r.members)
	r.members = append(r.members, member[K]{key, c})
	return nil
}

// Get gives the connection that is kept by the key, nil if there is none.
func (r *Registry[K]) Get(key K) *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := r.places[key]; ok {
		return r.members[i].conn
	}
	return nil
}

// Remove forgets the key if c is kept by it, and reports whether it was: when
// another connection has taken its place, that one stays.
func (r *Registry[K]) Remove(key K, c *Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, ok := r.places[key]
	if !ok || r.members[i].conn != c {
		return false
	}
	last := len(r.members) - 1
	r.members[i] = r.members[last]
	r.places[r.members[i].key] = i
	r.members[last] = member[K]{}
	r.members = r.members[:last]
	delete(r.places, key)
	return true
}

// Len is the number of connections.
func (r *Registry[K]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members)
}

// Keys lists the keys, in no order.
func (r *Registry[K]) Keys() []K {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := make([]K, len(r.members))
	for i := range r.members {
		keys[i] = r.members[i].key
	}
	return keys
}

// Broadcast writes p to every connection, as [Conn.WriteShared] does: p is not
// copied for each and must not be changed any more. Calls at the same time come
// one after the other, so that every receiver sees them in one order.
//
// It returns how many took p and how many of these are behind: their HighWater
// or more waits to be sent, and whoever feeds the broadcast may want to slow
// down. Those that did not take p are closing or had no room: what becomes of
// these is their Limits.Overflow. Where receivers shall miss nothing, that is
// CloseSlow.
func (r *Registry[K]) Broadcast(p []byte) (took, behind int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.members {
		high, err := r.members[i].conn.share(p)
		if err == nil {
			took++
		}
		if high {
			behind++
		}
	}
	return took, behind
}
