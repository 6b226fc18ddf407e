package hub

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/proactor-go/proactor"
)

// sluggish is a member that takes something, or does not.
type sluggish struct {
	mu    sync.Mutex
	takes bool
	full  bool // Writable does not know it
	got   []string
	here  Event // the last Presence
	stale int   // encodings of what was lost
	ended bool
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
		if e.forms != nil && e.forms.first.Load() != nil {
			m.stale++
		}
	case Presence:
		m.here = *e
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

func (m *sluggish) knows() Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.here
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
	_, conns := looped(t, 1, proactor.Limits{})
	for i := range 8 {
		slow, full, loop := []Slow{DropOldest, SkipToNewest}[i%2], i&2 != 0, i&4 != 0 // full: an error of Write tells that it is behind, not Writable
		t.Run(fmt.Sprint(slow, full, loop), func(t *testing.T) {
			h := open(t, Options{})
			m, quick := &sluggish{takes: true}, &sluggish{takes: true}
			for _, member := range []Member{quick, m} { // a loop tells the last one first
				if loop {
					member = on(conns[0], member)
				}
				if _, err := h.Join("room", member, "", slow); err != nil {
					t.Fatal(err)
				}
			}
			until(t, "it knows who is here", func() bool { return m.knows().Count == 2 })
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
	unblock := sync.OnceFunc(func() { close(block) })
	t.Cleanup(unblock) // before Close, which waits for the member
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
	unblock()
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

// What NATS did not bring waits in its place for a member that is behind, and is told once.
func TestLossForSlowMember(t *testing.T) {
	h := open(t, Options{})
	m := &sluggish{}
	seat, err := h.Join("room", m, "", DropOldest)
	if err != nil {
		t.Fatal(err)
	}
	r := seat.part.room
	message := func(n int) { r.tell(&Event{Kind: Message, Room: "room", Payload: fmt.Append(nil, n)}, everyone) }
	lose := func(n int) {
		e := &Event{Kind: Dropped, Room: "room", Lost: n}
		e.shared()
		e.forms.first.Store(new(encoding))
		r.tell(e, everyone)
	}
	lose(1)
	message(0)
	lose(10)
	lose(100)
	for n := 1; n <= MaxWaiting; n++ {
		message(n) // the first one drops 0, and what was lost before and behind it
	}
	lose(1000)
	lose(10_000)
	m.set(true, false)
	want := []string{"lost 112"}
	for n := 1; n <= MaxWaiting; n++ {
		want = append(want, fmt.Sprint(n))
	}
	want = append(want, "lost 11000", "more")
	until(t, "it has caught up", func() bool { return len(m.heard()) >= len(want)-1 })
	message(-1)
	want[len(want)-1] = "-1"
	until(t, "it goes on", func() bool { return len(m.heard()) >= len(want) })
	if got := m.heard(); !slices.Equal(got, want) {
		t.Errorf("it got %v, want %v", got, want)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stale > 0 {
		t.Error("a sum of losses is told in the words of one of them")
	}
	if n := h.Stats().Dropped; n != 1 {
		t.Errorf("%d were dropped", n)
	}
}

// Who comes and leaves does not push out messages, and a member that was behind is told who is here as a whole.
func TestPresenceForSlowMember(t *testing.T) {
	for _, full := range []bool{false, true} { // Writable tells that it is behind, or an error of Write
		h := open(t, Options{})
		m := &sluggish{takes: true}
		if _, err := h.Join("room", m, "Ada", SkipToNewest); err != nil {
			t.Fatal(err)
		}
		until(t, "it knows who is here", func() bool { return m.knows().Count == 1 })
		m.set(full, full)
		quick := join(t, h, 0, "room", "Bob")
		if err := h.Publish("room", number(0, 0)); err != nil {
			t.Fatal(err)
		}
		until(t, "the other has it", func() bool { return quick.count() == 1 })
		until(t, "the other knows", func() bool { return quick.knows([]string{"Ada", "Bob"}) })
		var guests []*guest
		for _, name := range []string{"Cy", "Di"} {
			guests = append(guests, join(t, h, 0, "room", name))
			until(t, "the other knows "+name, func() bool {
				quick.mu.Lock()
				defer quick.mu.Unlock()
				return quick.names[name]
			})
		}
		guests[0].leave()
		left := []string{"Ada", "Bob", "Di"}
		until(t, "Cy has left", func() bool { return quick.knows(left) })
		m.set(true, false)
		until(t, "it knows who is here", func() bool { return m.knows().Count == 3 })
		if e := m.knows(); !slices.Equal(e.Names, left) || len(e.Joined)+len(e.Left) > 0 {
			t.Errorf("it was told %+v", e)
		}
		if got := m.heard(); !slices.Equal(got, []string{string(number(0, 0))}) {
			t.Errorf("it got %q", got)
		}
		join(t, h, 0, "room", "Eve")
		until(t, "it is told of Eve", func() bool { return slices.Equal(m.knows().Joined, []string{"Eve"}) })
	}
}

// What a function of Subscribe is too slow for is counted, and told to it alone.
func TestSlowSubscriber(t *testing.T) {
	h := open(t, Options{})
	block := make(chan bool)
	unblock := sync.OnceFunc(func() { close(block) })
	t.Cleanup(unblock)
	var once sync.Once
	var mu sync.Mutex
	got, lost := 0, 0
	if _, err := h.Subscribe("room", func(e *Event) {
		once.Do(func() { <-block })
		mu.Lock()
		defer mu.Unlock()
		switch e.Kind {
		case Message:
			got++
		case Dropped:
			lost += e.Lost
		}
	}); err != nil {
		t.Fatal(err)
	}
	g := join(t, h, 0, "room", "Ada")
	const all = inboxMost + 1000
	for n := range all {
		if err := h.Publish("room", number(0, n)); err != nil {
			t.Fatal(err)
		}
		if n%1000 == 999 {
			until(t, "Ada has it", func() bool { return g.count() == n+1 })
		}
	}
	until(t, "Ada has all", func() bool { return g.count() == all })
	unblock()
	until(t, "every message has come, or is told to be lost", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return got+lost == all
	})
	if s := h.Stats(); s.Lost != int64(lost) || lost == 0 {
		t.Errorf("%d were lost, counted %d", lost, s.Lost)
	}
	if g.lost != 0 {
		t.Errorf("Ada was told that she lost %d", g.lost)
	}
	g.check(t)
}

// A member that keeps up costs its room 64 bytes, and what the Member is.
func TestSeatIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Seat{}); unsafe.Sizeof(uintptr(0)) == 8 && n > 64 {
		t.Errorf("a Seat has %d bytes", n)
	}
}
