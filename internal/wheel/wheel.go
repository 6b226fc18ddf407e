// Package wheel has a hierarchical timing wheel: to set or stop a timer takes the same short
// time however many there are.
//
// All times are in ns, since any moment that the caller chooses. The wheel rounds them up to
// ticks, so no timer fires early. A wheel, its timers and its groups belong to one goroutine.
package wheel

import (
	"math/bits"
	"time"
)

// Tick is the resolution.
const Tick = time.Millisecond

const (
	levels    = 6
	levelBits = 6
	slots     = 1 << levelBits
)

// Where a timer is: in no list, in that of due ones, or else in a slot.
const (
	placeNone = iota
	placeDue
	placeSlots
)

// Timer is something that a Wheel will fire. Its zero value is not set.
type Timer[V any] struct {
	next, prev *Timer[V] // in the slot of the wheel, or in the list of due ones
	when       int64     // tick
	place      int16     // placeSlots + level<<levelBits | slot; placeDue; placeNone

	behind *Timer[V]  // the next one of its group
	link   **Timer[V] // what points here in that group; nil: it is in none

	Of V // what it is for; the wheel does not look at it
}

// At is the time for which t was set, as the wheel has rounded it.
func (t *Timer[V]) At() int64 { return t.when * int64(Tick) }

// FiresBy reports whether t is set, and not later than if it had been set for at.
func (t *Timer[V]) FiresBy(at int64) bool { return t.place != placeNone && t.when <= ticks(at) }

// Wheel has the timers that are set. A slot of level 0 is one tick; the slots of each
// further level are 64 times as wide; all levels span 2 years. A timer moves to a lower level
// when the time of its slot has come. The zero value begins at the time 0.
type Wheel[V any] struct {
	now      int64 // tick up to which all has fired
	slots    [levels][slots]*Timer[V]
	occupied [levels]uint64
	due      *Timer[V] // fires now
	count    int
}

// Begin has an empty wheel begin at a time.
func (w *Wheel[V]) Begin(now int64) { w.now = now / int64(Tick) }

// ticks is the tick at which that time has come for sure.
func ticks(at int64) int64 {
	n := at / int64(Tick)
	if at%int64(Tick) > 0 {
		n++
	}
	return n
}

// Set has a timer that is not set fire at a time: the next tick, if that has passed.
func (w *Wheel[V]) Set(t *Timer[V], at int64) {
	t.when = ticks(at)
	w.count++
	w.hang(t)
}

// hang puts t where it belongs by t.when.
func (w *Wheel[V]) hang(t *Timer[V]) {
	t.when = max(t.when, w.now+1)
	far := uint64(t.when^w.now) | (slots - 1)
	level := min((bits.Len64(far)-1)/levelBits, levels-1)
	slot := int(t.when>>(level*levelBits)) & (slots - 1)
	t.place = placeSlots + int16(level<<levelBits|slot)
	w.occupied[level] |= 1 << slot
	push(&w.slots[level][slot], t)
}

func push[V any](list **Timer[V], t *Timer[V]) {
	t.prev, t.next = nil, *list
	if t.next != nil {
		t.next.prev = t
	}
	*list = t
}

// Drop takes t out, wherever it is.
func (w *Wheel[V]) Drop(t *Timer[V]) {
	if t.place == placeNone {
		return
	}
	list := &w.due
	if t.place != placeDue {
		at := int(t.place - placeSlots)
		level, slot := at>>levelBits, at&(slots-1)
		if list = &w.slots[level][slot]; t.prev == nil && t.next == nil {
			w.occupied[level] &^= 1 << slot
		}
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		*list = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.place = nil, nil, placeNone
	w.count--
}

// nearest finds the slot whose time comes first. Any slot of a level comes
// before all of the levels above it.
func (w *Wheel[V]) nearest() (level, slot int, at int64, ok bool) {
	for level, occupied := range w.occupied {
		if occupied == 0 {
			continue
		}
		shift := level * levelBits
		here := int(w.now>>shift) & (slots - 1)
		slot := (bits.TrailingZeros64(bits.RotateLeft64(occupied, -here)) + here) & (slots - 1)
		span := int64(1) << (shift + levelBits)
		at := w.now&^(span-1) + int64(slot)<<shift
		if at <= w.now {
			at += span
		}
		return level, slot, at, true
	}
	return 0, 0, 0, false
}

// Next is the time at which Advance has something to do, at the latest; false: no timer
// is set.
func (w *Wheel[V]) Next() (at int64, ok bool) {
	_, _, tick, ok := w.nearest()
	return tick * int64(Tick), ok
}

// Interrupted reports whether the last Advance has left timers that were due.
func (w *Wheel[V]) Interrupted() bool { return w.due != nil }

// Advance moves the time to now and fires the timers that are due by then. Their functions may
// set and stop timers. If one did not return, the next call goes on with the timers that
// were due with it.
func (w *Wheel[V]) Advance(now int64, fire func(*Timer[V])) {
	tick := now / int64(Tick)
	for {
		for w.due != nil {
			t := w.due
			w.Drop(t)
			fire(t)
		}
		level, slot, at, ok := w.nearest()
		if !ok || at > tick {
			break
		}
		w.now = at
		list := w.slots[level][slot]
		w.slots[level][slot] = nil
		w.occupied[level] &^= 1 << slot
		for t := list; t != nil; {
			next := t.next
			if t.when <= at {
				t.place = placeDue
				push(&w.due, t)
			} else {
				w.hang(t)
			}
			t = next
		}
	}
	w.now = max(w.now, tick)
}
