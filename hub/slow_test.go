package hub

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
)

// sluggish is a member that takes something, or does not.
type sluggish struct {
	mu     sync.Mutex
	takes  bool
	full   bool // Writable does not know it
	got    []string
	greets int
	ended  bool
}

func (m *sluggish) Write(e *Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return proactor.ErrBacklog
	}
	switch e.Kind {
	case Message:
		m.got = append(m.got, string(e.Payload))
	case Dropped:
		m.got = append(m.got, fmt.Sprint("lost ", e.Lost))
	case Presence:
		m.greets++
	}
	return nil
}

func (m *sluggish) Writable() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.takes
}

func (m *sluggish) End() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
}

func (m *sluggish) set(takes, full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takes, m.full = takes, full
}

func (m *sluggish) heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

// A member that is behind misses what its policy says, is told how much, and the others miss nothing.
func TestSlowMembers(t *testing.T) {
	const all = 200
	var want [3][]string
	for n := range all {
		want[DropOldest] = append(want[DropOldest], fmt.Sprint(n))
	}
	want[DropOldest] = append([]string{fmt.Sprint("lost ", all-MaxWaiting)}, want[DropOldest][all-MaxWaiting:]...)
	want[SkipToNewest] = []string{fmt.Sprint("lost ", all-1), fmt.Sprint(all - 1)}
	for _, slow := range []Slow{DropOldest, SkipToNewest} {
		for _, full := range []bool{false, true} { // Writable tells that it is behind, or an error of Write
			t.Run(fmt.Sprint(slow, full), func(t *testing.T) {
				h := open(t, Options{})
				m, quick := &sluggish{takes: true}, &sluggish{takes: true}
				for _, member := range []*sluggish{m, quick} {
					if _, err := h.Join("room", member, "", slow); err != nil {
						t.Fatal(err)
					}
				}
				until(t, "it knows who is here", func() bool {
					m.mu.Lock()
					defer m.mu.Unlock()
					return m.greets > 0
				})
				m.set(full, full)
				for n := range all {
					if err := h.Publish("room", fmt.Append(nil, n)); err != nil {
						t.Fatal(err)
					}
				}
				until(t, "the other has all", func() bool { return len(quick.heard()) == all })
				if got := m.heard(); len(got) > 0 {
					t.Errorf("it took %v", got)
				}
				m.set(true, false)
				until(t, "it has caught up", func() bool { return len(m.heard()) >= len(want[slow]) })
				if err := h.Publish("room", []byte("more")); err != nil {
					t.Fatal(err)
				}
				w := append(slices.Clone(want[slow]), "more")
				until(t, "it goes on", func() bool { return len(m.heard()) >= len(w) })
				if got := m.heard(); !slices.Equal(got, w) {
					t.Errorf("it got %v, want %v", got, w)
				}
				lost := int64(all - len(want[slow]) + 1)
				if s := h.Stats(); s.Dropped != lost || s.Ended != 0 {
					t.Errorf("%+v, want %d dropped", s, lost)
				}
			})
		}
	}
}

func TestSlowMemberIsEnded(t *testing.T) {
	h := open(t, Options{})
	m := &sluggish{full: true}
	if _, err := h.Join("room", m, "", Close); err != nil {
		t.Fatal(err)
	}
	if err := h.Publish("room", nil); err != nil {
		t.Fatal(err)
	}
	until(t, "it is ended", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.ended
	})
	if n := h.Stats().Ended; n == 0 {
		t.Error("it was not counted")
	}
}

// What finds no place in the inbox of a shard is counted, and members are told how much it was.
func TestSlowNode(t *testing.T) {
	hubs := cluster(t, 2)
	block, blocked := make(chan bool), make(chan bool)
	var once sync.Once
	got, lost := 0, 0
	var mu sync.Mutex
	if _, err := hubs[0].Join("room", Func(func(e *Event) {
		if e.Kind == Message {
			once.Do(func() { close(blocked); <-block })
		}
		mu.Lock()
		defer mu.Unlock()
		switch e.Kind {
		case Message:
			got++
		case Dropped:
			lost += e.Lost
		}
	}), "Ada", Close); err != nil {
		t.Fatal(err)
	}
	g := join(t, hubs[1], 1, "room", "Bob")
	until(t, "Bob knows Ada", func() bool { return g.knows([]string{"Ada", "Bob"}) })
	const all = inboxMost + 1000
	n := 0
	send := func() {
		if err := hubs[1].Publish("room", number(1, n)); err != nil {
			t.Fatal(err)
		}
		n++
	}
	send()
	<-blocked
	for n < all {
		send()
		if n%1000 == 0 {
			until(t, "Bob hears himself", func() bool { return g.count() == n })
		}
	}
	until(t, "Bob hears himself", func() bool { return g.count() == n })
	until(t, "messages are lost", func() bool {
		sub := hubs[0].shardOf("room").get("room").messages
		dropped, err := sub.Dropped()
		return err == nil && dropped+inboxMost+1 >= all
	})
	close(block)
	until(t, "every message has come, or is told to be lost", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return got+lost == all
	})
	if s := hubs[0].Stats(); s.Lost != int64(lost) || lost == 0 {
		t.Errorf("%d were lost, counted %d", lost, s.Lost)
	}
	g.check(t)
}
