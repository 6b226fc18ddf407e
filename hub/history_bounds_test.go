package hub

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// A member that is behind is told of all gaps, or of one that has them all, and the last word on whether messages are kept.
func TestAsideForSlowMember(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	m := &behind{}
	seat, err := h.Join("room", m, "", DropOldest)
	if err != nil {
		t.Fatal(err)
	}
	r := seat.part.room
	for i := range 2 * asideMost {
		r.mu.Lock()
		r.flowsLocked(i%2 == 0)
		r.past.last = uint64(10 * i)
		r.gap(uint64(10*i + 5))
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.flowsLocked(true)
	r.mu.Unlock()
	m.takes.Store(true)
	until(t, "it has caught up", func() bool { e := m.events(); return len(e) > 0 && e[len(e)-1].Kind == Unkept })
	events := m.events()
	if len(events) > asideMost+1 {
		t.Errorf("it was told %d things", len(events))
	}
	from, to := uint64(1), uint64(0)
	for _, e := range events {
		if e.Kind == Gap {
			if e.From != from {
				t.Errorf("a gap from %d, want %d", e.From, from)
			}
			from, to = from+10, e.To
		}
	}
	if want := uint64(10*(2*asideMost-1) + 5); to != want {
		t.Errorf("the last gap is up to %d, want %d", to, want)
	}
}

// behind is a reader that takes nothing for a while.
type behind struct {
	reader
	takes atomic.Bool
}

func (b *behind) Write(e *Event) error { b.told(e); return nil }
func (b *behind) Writable() bool       { return b.takes.Load() }
func (b *behind) End()                 {}

// Who has missed as much as is kept gets all of it; who has missed more is told what is gone, and gets the rest.
func TestGap(t *testing.T) {
	t.Parallel()
	const last = 5
	h := opened(t, History{Last: last})
	a := enter(t, h, "room")
	publish(t, h, "room", 0, 20)
	a.hears(t, "live", numbers(0, 20))
	seqs := a.events()
	holds := another(t, h, "holds")
	resume(t, holds, "room", 0).hears(t, "all", numbers(20-last, 20))
	for n := range 20 {
		since := seqs[n].Seq
		for name, o := range map[string]*Hub{"live": h, "read": holds, "fresh": another(t, h, fmt.Sprint("fresh", n))} {
			want := numbers(n+1, 20)
			if len(want) > last {
				want = append([]string{"gap"}, numbers(20-last, 20)...)
			}
			r := resume(t, o, "room", since)
			r.hears(t, fmt.Sprintf("%s, after %d", name, n), want)
			if e := r.events(); len(want) > last && (e[0].From != since+1 || e[0].To < seqs[20-last-1].Seq || e[0].To >= seqs[20-last].Seq) {
				t.Errorf("%s, after %d: a gap from %d to %d", name, n, e[0].From, e[0].To)
			}
			r.seat.Leave()
		}
	}
	r := resume(t, h, "room", seqs[19].Seq+1_000_000)
	r.hears(t, "a number of another stream", append([]string{"gap"}, numbers(20-last, 20)...))
	if e := r.events()[0]; e.From != 0 {
		t.Errorf("a gap from %d", e.From)
	}
}

// What is too old is not kept, and who comes back later than that is told.
func TestTooOld(t *testing.T) {
	t.Parallel()
	h := opened(t, History{For: time.Second})
	a := enter(t, h, "room")
	publish(t, h, "room", 0, 3)
	a.hears(t, "live", numbers(0, 3))
	first := a.events()[0].Seq
	until(t, "the messages are gone", func() bool {
		s, err := h.stream(&h.keep.o, 1)
		return err == nil && s.State.FirstSeq > a.last()
	})
	other := another(t, h, "other")
	for _, o := range []*Hub{h, other} {
		r := resume(t, o, "room", first)
		r.hears(t, "it is told", []string{"gap"})
		r.seat.Leave()
		r = resume(t, o, "room", 0)
		publish(t, h, "room", 3, 4)
		r.hears(t, "nothing but what comes", numbers(3, 4))
		r.seat.Leave()
		until(t, "this one is gone, too", func() bool {
			s, err := h.stream(&h.keep.o, 1)
			return err == nil && s.State.FirstSeq > r.last()
		})
	}
}

// What a node holds of a room is bounded in bytes, and who needs more is told.
func TestPastIsBounded(t *testing.T) {
	t.Parallel()
	h := opened(t, History{Last: 1000})
	a := enter(t, h, "room")
	const all = 64
	for range all {
		until(t, "it is taken", func() bool { return h.Publish("room", make([]byte, MaxReplay/32)) == nil }) // one room has no more than its share
	}
	until(t, "all have come", func() bool { return len(a.said()) == all })
	first := a.events()[0].Seq
	fresh := another(t, h, "fresh")
	for _, o := range []*Hub{h, fresh} {
		b := resume(t, o, "room", first)
		until(t, "it has come back", func() bool { return len(b.said()) >= 31 })
		if s := b.said(); s[0] != "gap" || len(s) > 33 {
			t.Errorf("it was told %d things", len(s))
		}
		r := o.shardOf("room").get("room")
		r.mu.Lock()
		if p := &r.past; p.bytes > MaxReplay || p.bytes < MaxReplay/2 {
			t.Errorf("%d messages are held, with %d bytes", len(p.events), p.bytes)
		}
		r.mu.Unlock()
	}
	c := streamConfig(&h.keep.o, 1)
	if c.MaxBytes != MaxHistory || c.MaxMsgsPerSubject != 1001 || c.MaxAge != time.Hour {
		t.Errorf("%+v", c)
	}
}

// What is not confirmed is bounded, and goes when it can.
func TestUnconfirmedIsBounded(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	a := enter(t, h, "room")
	publish(t, h, "room", 0, 1)
	a.hears(t, "live", numbers(0, 1))
	h.patient(startAfter)
	loseStream(t, h)
	n := 0
	var err error
	for ; err == nil && n < 1000; n++ {
		err = h.Publish("room", make([]byte, 64<<10))
	}
	if w := h.Stats().Waiting; !errors.Is(err, ErrBusy) || w > MaxOutbound {
		t.Fatalf("%v after %d, and %d bytes wait", err, n, w)
	}
	allowStream(t, h)
	until(t, "all has gone", func() bool { return h.Stats().Waiting == 0 })
	until(t, "all has come", func() bool {
		m := 0
		for _, e := range a.events() {
			if e.Kind == Message {
				m++
			}
		}
		return m == n
	})
}
