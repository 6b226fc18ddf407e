package hub

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// presence is who is in a room. What other nodes have told are whole states, not changes, so nothing
// depends on each of them arriving. It is guarded by the lock of the room.
type presence struct {
	mine    map[string]int // of how many members here it is the name
	unnamed int            // members here without one
	others  map[string]*state

	subscribed bool   // other nodes are heard
	unsent     bool   // mine is not what was sent last
	asks       bool   // what is sent next asks the others for theirs
	version    uint64 // of what was sent last; 0: nothing was

	untold    bool // members were not told of a change
	told      map[string]bool
	toldCount int
	toldAt    time.Time
}

func (p *presence) init() {
	p.mine, p.others, p.told = map[string]int{}, map[string]*state{}, map[string]bool{}
}

func (p *presence) came(name string) {
	if name == "" {
		p.unnamed++
	} else if p.mine[name]++; p.mine[name] > 1 {
		return
	}
	p.unsent, p.untold = true, true
}

func (p *presence) went(name string) {
	if name == "" {
		p.unnamed--
	} else if p.mine[name]--; p.mine[name] > 0 {
		return
	}
	delete(p.mine, name)
	p.unsent, p.untold = true, true
}

// send is what the other nodes should be told now; nil: nothing.
func (p *presence) send(h *Hub) *state {
	if !p.unsent || !p.subscribed {
		return nil
	}
	p.version = h.version.Add(1)
	s := &state{Node: h.id, Version: p.version, Count: len(p.mine) + p.unnamed, Ask: p.asks}
	for name := range p.mine {
		if s.Names = append(s.Names, name); len(s.Names) == MaxNames {
			break
		}
	}
	p.unsent, p.asks = false, false
	return s
}

// view counts those who are here, and lists some.
func (p *presence) view() (count int, names []string) {
	all := make(map[string]bool, len(p.mine))
	for name := range p.mine {
		all[name] = true
	}
	count = p.unnamed
	for _, s := range p.others {
		for _, name := range s.Names {
			all[name] = true
		}
		count += s.Count - len(s.Names)
	}
	count += len(all)
	names = make([]string, 0, min(len(all), MaxNames))
	for name := range all {
		if names = append(names, name); len(names) == MaxNames {
			break
		}
	}
	slices.Sort(names)
	return count, names
}

// report tells the members who came and left, and those who are new, or were behind, who is here. It reports whether there is
// something to be told that has to wait: in a room of many, a second passes between two of these events. mu is
// held.
func (r *room) report(now time.Time) (waits bool) {
	p := &r.here
	if !p.untold && !r.hasFresh() {
		return false
	}
	count, names := p.view()
	all := &Event{Kind: Presence, Room: r.name, Time: now, Count: count, Names: names, forms: new(forms)}
	many := count > MaxNames || p.toldCount > MaxNames
	if p.untold && many && now.Sub(p.toldAt) < time.Second {
		waits = true
	} else if p.untold {
		e := all
		if !many {
			joined, left := p.changes(names)
			e = &Event{Kind: Presence, Room: r.name, Time: now, Count: count, Names: names, Joined: joined, Left: left}
		}
		if many || len(e.Joined)+len(e.Left) > 0 || count != p.toldCount {
			r.tellLocked(e, knowing)
		}
		p.untold, p.toldCount, p.toldAt = false, count, now
		clear(p.told)
		for _, name := range names {
			p.told[name] = true
		}
	}
	for _, part := range r.parts {
		part.welcome(all)
	}
	return waits
}

// hasFresh reports whether members are to be told who is here, as a whole. mu is held.
func (r *room) hasFresh() bool {
	return slices.ContainsFunc(r.parts, func(p *part) bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.fresh) > 0
	})
}

// welcome tells those members who is here, as a whole, that have to be told so. room.mu is held.
func (p *part) welcome(all *Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.fresh
	p.fresh = nil
	for _, s := range fresh {
		switch {
		case s.place < 0:
		case s.late != nil:
			p.fresh = append(p.fresh, s) // when it has caught up
		default:
			p.bring(s, p.tail) // without changes in who is here, which all has
			if s.late != nil {
				p.fresh = append(p.fresh, s)
				continue
			}
			s.fresh = false
			s.give(all)
		}
	}
}

// changes are the names that were not there when the members were last told, and those that were.
func (p *presence) changes(names []string) (joined, left []string) {
	for _, name := range names {
		if !p.told[name] {
			joined = append(joined, name)
		}
	}
	for name := range p.told {
		if _, ok := slices.BinarySearch(names, name); !ok {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	return joined, left
}

// hear takes what another node tells of the room.
func (r *room) hear(m *nats.Msg) {
	var s state
	if json.Unmarshal(m.Data, &s) != nil || s.Node == "" || s.Node == r.hub.id || !s.sound() {
		return
	}
	r.hub.nodes.heard(s.Node)
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.here
	switch before := p.others[s.Node]; {
	case before != nil && before.Version >= s.Version: // it is older
	case s.Count == 0:
		delete(p.others, s.Node)
	default:
		p.others[s.Node] = &s
	}
	p.untold = true
	p.unsent = p.unsent || s.Ask
	r.wants()
}

// compare looks at the version that a node has of the room, as it lists: if that is not the version we have, we
// ask.
func (r *room) compare(l *listing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.here
	version, listed := l.Rooms[r.name]
	var known uint64
	if s := p.others[l.Node]; s != nil {
		known = s.Version
	}
	switch {
	case known > l.Version: // the listing is older
	case listed && known < version:
		p.asks, p.unsent = true, true
		r.wants()
	case !listed && known > 0:
		delete(p.others, l.Node)
		p.untold = true
		r.wants()
	}
}

// forget removes what a node has told.
func (r *room) forget(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.here.others[node] != nil {
		delete(r.here.others, node)
		r.here.untold = true
		r.wants()
	}
}

// ask has all nodes tell who is in the room with them.
func (r *room) ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.here.asks, r.here.unsent = true, true
	r.wants()
}

// Presence is who is in a room, on all nodes, as far as this one knows. It knows while it has a member there itself, and a
// moment after the first has joined; ok is false where it has none. count and names are those of Event.
func (h *Hub) Presence(room string) (count int, names []string, ok bool) {
	r := h.shardOf(room).get(room)
	if r == nil {
		return 0, nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	count, names = r.here.view()
	return count, names, true
}
