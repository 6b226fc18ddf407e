package hub

import (
	"testing"
	"time"
)

// Many members come back at once: the room is free now and then while they are told.
func TestManyComeBack(t *testing.T) {
	t.Parallel()
	const members, messages = 100, 400
	h := opened(t, History{Last: messages})
	a := enter(t, h, "room")
	publish(t, h, "room", 0, messages)
	a.hears(t, "live", numbers(0, messages))
	r := a.seat.part.room
	until(t, "the room is up to date", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.past.last >= a.last() && !r.queued
	})
	r.mu.Lock()
	var all []*reader
	r.past.whole = true // as fill leaves it
	for range members {
		b := new(reader)
		seat := &Seat{member: Func(b.told), resuming: waits, since: a.events()[0].Seq}
		b.seat = seat
		p := a.seat.part
		p.mu.Lock()
		p.add(seat)
		p.mu.Unlock()
		r.resuming = append(r.resuming, seat)
		all = append(all, b)
	}
	r.resume()
	left := len(r.resuming)
	r.needs()
	r.mu.Unlock()
	if want := members - resumeMost/messages - 1; left != want {
		t.Errorf("%d are left for the next turns, want %d", left, want)
	}
	for _, b := range all {
		b.hears(t, "what it has missed", numbers(1, messages))
	}
}

// A room that was wanted while a reader had it, and could do nothing, is queued again.
func TestWantedMeanwhile(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	a := enter(t, h, "room")
	r := a.seat.part.room
	idle := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.ready.Load() && !r.queued
	}
	until(t, "the room is up to date", idle)
	r.mu.Lock()
	r.queued = true // as a reader has it that found messages not kept
	r.check = true
	r.needs()
	h.keep.brought(r, true, nil)
	if !r.queued {
		t.Error("nobody looks at the room")
	}
	r.mu.Unlock()
	until(t, "it is looked at", idle)
}

// Who is late to tell whether messages are kept tells what is so by then.
func TestLastWord(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	a := enter(t, h, "room")
	r := a.seat.part.room
	loseStream(t, h)
	for range 100 {
		r.mu.Lock()
		told := make(chan struct{})
		go func() {
			h.keep.flow("the test says so") // and waits for the room
			close(told)
		}()
		until(t, "messages are not kept", func() bool { return h.keep.modeNow() == flowing })
		h.keep.mu.Lock()
		h.keep.mode = keeping
		h.keep.mu.Unlock()
		r.flowsLocked(false)
		r.mu.Unlock()
		<-told
		r.mu.Lock()
		wrong := r.unkept
		r.mu.Unlock()
		if wrong {
			t.Fatal("the last word is that messages are not kept, and they are")
		}
	}
}

// What is too old goes, though nothing new comes.
func TestOldIsForgotten(t *testing.T) {
	t.Parallel()
	h := opened(t, History{For: time.Second})
	a := enter(t, h, "room")
	publish(t, h, "room", 0, 3)
	a.hears(t, "live", numbers(0, 3))
	r := a.seat.part.room
	until(t, "nothing is held", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.past.events) == 0 && r.past.bytes == 0
	})
}

// What was published before Close in a room that does not hear the stream yet is sent.
func TestCloseBeforeReady(t *testing.T) {
	t.Parallel()
	h := opened(t, History{})
	other := another(t, h, "other")
	a := enter(t, h, "room")
	b := enter(t, other, "room")
	until(t, "the room is ready", func() bool { return a.seat.part.room.ready.Load() && b.seat.part.room.ready.Load() })
	b.seat.part.room.ready.Store(false) // as it is before it is subscribed
	publish(t, other, "room", 0, 1)
	other.Close()
	a.hears(t, "what was published before Close", numbers(0, 1))
}
