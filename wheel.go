package proactor

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Timer is a function that waits to be called by a loop, see [Conn.After].
type Timer struct {
	next, prev *Timer // in the slot of the wheel, or in the list of due ones
	when       int64  // tick
	place      int16  // level<<6 | slot; placeDue; placeNone
	loop       *loop
	f          func()
	stopped    atomic.Bool

	conn         *Conn  // whose timer it is, nil for none
	peer, behind *Timer // the others of conn
}

// Stop keeps the timer from firing. Any goroutine may call it. When a callback
// of the same loop has called it, the function is not called any more; from
// elsewhere it may be running already.
func (t *Timer) Stop() {
	if !t.stopped.Swap(true) {
		t.loop.do(func() { t.loop.forget(t) })
	}
}

const (
	tick = time.Millisecond

	wheelLevels = 6
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits

	placeNone = -1
	placeDue  = -2
)

// wheel is a hierarchical timing wheel: setting and stopping a timer take the
// same short time however many there are. Level 0 has a slot a tick, each
// further level slots 64 times as wide, 2 years in all; a timer moves to a
// lower level when its slot's time has come.
type wheel struct {
	now      int64 // tick up to which all has fired
	slots    [wheelLevels][wheelSlots]*Timer
	occupied [wheelLevels]uint64
	due      *Timer // fires now
	count    int
}

// set puts t where it belongs by t.when.
func (w *wheel) set(t *Timer) {
	w.count++
	w.place(t)
}

func (w *wheel) place(t *Timer) {
	t.when = max(t.when, w.now+1)
	far := uint64(t.when^w.now) | (wheelSlots - 1)
	level := min((bits.Len64(far)-1)/wheelBits, wheelLevels-1)
	slot := int(t.when>>(level*wheelBits)) & (wheelSlots - 1)
	t.place = int16(level<<wheelBits | slot)
	w.occupied[level] |= 1 << slot
	push(&w.slots[level][slot], t)
}

func push(list **Timer, t *Timer) {
	t.prev, t.next = nil, *list
	if t.next != nil {
		t.next.prev = t
	}
	*list = t
}

// drop takes t out, wherever it is.
func (w *wheel) drop(t *Timer) {
	if t.place == placeNone {
		return
	}
	list := &w.due
	if t.place != placeDue {
		level, slot := int(t.place>>wheelBits), int(t.place)&(wheelSlots-1)
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
func (w *wheel) nearest() (level, slot int, at int64, ok bool) {
	for level, occupied := range w.occupied {
		if occupied == 0 {
			continue
		}
		shift := level * wheelBits
		here := int(w.now>>shift) & (wheelSlots - 1)
		slot := (bits.TrailingZeros64(bits.RotateLeft64(occupied, -here)) + here) & (wheelSlots - 1)
		span := int64(1) << (shift + wheelBits)
		at := w.now&^(span-1) + int64(slot)<<shift
		if at <= w.now {
			at += span
		}
		return level, slot, at, true
	}
	return 0, 0, 0, false
}

// isDue reports whether advance to now would do something.
func (w *wheel) isDue(now int64) bool {
	_, _, at, ok := w.nearest()
	return ok && at <= now
}

// advance moves the time to now and fires what is due by then. A function that
// fires may set and stop timers.
func (w *wheel) advance(now int64, fire func(*Timer)) {
	for w.count > 0 {
		level, slot, at, ok := w.nearest()
		if !ok || at > now {
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
				w.place(t)
			}
			t = next
		}
		for w.due != nil {
			t := w.due
			w.drop(t)
			fire(t)
		}
	}
	w.now = max(w.now, now)
}
