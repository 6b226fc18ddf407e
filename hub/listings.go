package hub

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"
)

// listingMost is how many rooms one listing has, so that it is far shorter than MaxPayload with the longest names, each
// byte of which JSON may write as six.
const listingMost = 256

// listingsOf are those of all rooms of one shard. Each room of it, here or elsewhere, is covered by one of them.
func listingsOf(node string, number int, version uint64, rooms map[string]uint64) []*listing {
	l := &listing{Node: node, Shard: number, Version: version, Rooms: map[string]uint64{}}
	all := []*listing{l}
	for _, name := range slices.Sorted(maps.Keys(rooms)) {
		if len(l.Rooms) == listingMost {
			l.To = name
			l = &listing{Node: node, Shard: number, Version: version, From: name, Rooms: map[string]uint64{}}
			all = append(all, l)
		}
		l.Rooms[name] = rooms[name]
	}
	return all
}

// tellListings tells the other nodes the versions of one shard's rooms.
func (h *Hub) tellListings(number int) {
	version, rooms := h.version.Load(), map[string]uint64{}
	for _, r := range h.shards[number].all() {
		if v := r.version(); v > 0 {
			rooms[r.name] = v
		}
	}
	for _, l := range listingsOf(h.id, number, version, rooms) {
		h.publishJSON(listSubject, l)
	}
}

// onListing takes one.
func (h *Hub) onListing(m *nats.Msg) {
	var l listing
	if json.Unmarshal(m.Data, &l) != nil || l.Node == "" || l.Node == h.id || l.Shard < 0 || l.Shard >= shards {
		return
	}
	h.nodes.heard(l.Node)
	for _, r := range h.shards[l.Shard].all() {
		if l.covers(r.name) {
			r.compare(&l)
		}
	}
}

// version is that of what was last told of the room; 0: nothing was.
func (r *room) version() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.here.version
}
