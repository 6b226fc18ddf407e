package proactor

import (
	"iter"
	"slices"
	"sync"
	"time"
)

// Registry keeps connections by a key of your choice: an account, a device, a member of a
// room. Any goroutine may use it, in callbacks and elsewhere. The zero value is empty and
// ready.
//
// A connection that closes stays in the registry: call Remove in Handler.Closed.
type Registry[K comparable] struct {
	mu      sync.Mutex
	places  map[K]int
	members []member[K]
}

type member[K comparable] struct {
	key  K
	conn *Conn
}

// Add keeps c by the key. It returns the connection that had the key before, or nil. That
// connection is not closed.
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

// Get returns the connection that has the key, or nil.
func (r *Registry[K]) Get(key K) *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := r.places[key]; ok {
		return r.members[i].conn
	}
	return nil
}

// Remove removes the key if c has it, and reports whether it did. If another connection has the
// key by now, it stays.
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

// Len returns the number of connections.
func (r *Registry[K]) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.members)
}

// All iterates over the keys and connections that were there when the iteration began, in no
// particular order. The loop body may use the registry.
func (r *Registry[K]) All() iter.Seq2[K, *Conn] {
	return func(yield func(K, *Conn) bool) {
		r.mu.Lock()
		members := slices.Clone(r.members)
		r.mu.Unlock()
		for _, m := range members {
			if !yield(m.key, m.conn) {
				return
			}
		}
	}
}

// Keys returns the keys, in no particular order.
func (r *Registry[K]) Keys() []K {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := make([]K, len(r.members))
	for i := range r.members {
		keys[i] = r.members[i].key
	}
	return keys
}

// Broadcast writes p to every connection, as [Conn.WriteShared] does: p is not copied for
// each, and must not be changed any more. Calls at the same time are carried out one after
// the other, so that all receivers see the broadcasts in one order.
//
// took is the number of connections that accepted p. The others are closing, or have no
// room. Those without room are reset with [ErrBacklog], unless their Limits.Overflow is
// RejectWrites. A receiver that is behind (see [Conn.Writable]), and for which no send has
// ended for half a minute, is reset in the same way. So no receiver misses a broadcast and
// gets a later one, unless its policy is RejectWrites.
//
// tooFast reports that more than a quarter of the receivers are behind although they read.
// The caller should then wait for some milliseconds before the next broadcast, or these
// receivers reach their limits, too. A receiver that has read nothing for a quarter of a second
// does not count, so that it does not slow down the others.
func (r *Registry[K]) Broadcast(p []byte) (took int, tooFast bool) { return r.broadcast(p, nil) }

// BroadcastFunc is a Broadcast whose payload may differ for each receiver. It calls payload
// once for each connection, on the caller's goroutine, and writes the result as
// [Conn.WriteShared] does. So these bytes must not be changed any more. payload may return
// the same bytes for many connections, for example those that were encoded once for
// each protocol version. If it returns nil, the connection gets nothing and does not count.
//
// All receivers see broadcasts of both kinds in one order. payload is called under the lock that
// ensures it: it must not use the registry, and should be quick, because other broadcasts wait.
func (r *Registry[K]) BroadcastFunc(payload func(key K, c *Conn) []byte) (took int, tooFast bool) {
	return r.broadcast(nil, payload)
}

// broadcast writes what payload gives or, where that is nil, p.
func (r *Registry[K]) broadcast(p []byte, payload func(K, *Conn) []byte) (took int, tooFast bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	late := 0
	r.broadcastFrom(0, p, payload, &took, &late)
	return took, late > took/4
}

// broadcastFrom writes to the members from the ith on. A Layer that calls Goexit ends the
// goroutine; the other members get theirs all the same.
func (r *Registry[K]) broadcastFrom(i int, p []byte, payload func(K, *Conn) []byte, took, late *int) {
	writing := false
	defer func() {
		if writing {
			r.broadcastFrom(i+1, p, payload, took, late)
		}
	}()
	for ; i < len(r.members); i++ {
		if payload != nil {
			if p = payload(r.members[i].key, r.members[i].conn); p == nil {
				continue
			}
		}
		writing = true
		reads, err := r.members[i].conn.broadcast(p)
		writing = false
		if err == nil {
			*took++
		}
		if reads {
			*late++
		}
	}
}

const (
	// moment is how long a receiver that is behind and takes nothing still counts as one that
	// reads.
	moment = 250 * time.Millisecond
	// deafAfter is the time in which a send must end. It may have 256 KiB, and its end is
	// all that is known of it.
	deafAfter = 30 * time.Second
)

// broadcast is WriteShared, for what does not wait for one receiver. It reports whether
// that is behind, and reads.
func (c *Conn) broadcast(p []byte) (reads bool, err error) {
	c.mu.Lock()
	if c.backlogged() {
		o, now := c.out, c.loop.engine.nanotime()
		if c.bytesOut != o.sentBefore {
			o.since, o.sentBefore = now, c.bytesOut
		}
		silent := time.Duration(now - o.since)
		if silent > deafAfter && c.cfg.limits.Overflow != RejectWrites {
			return false, c.refuse(ErrBacklog)
		}
		reads = silent < moment
	}
	_, err = c.writeShared(p)
	return reads, err
}
