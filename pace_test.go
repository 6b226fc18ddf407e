package proactor

import (
	"math"
	"testing"
	"time"
)

// A window in which MinRate was just reached is followed by the next, one byte
// less and it is the last.
func TestPaceAtTheLimit(t *testing.T) {
	const window = 10 * time.Second
	for _, tt := range []struct {
		bytes int64
		want  error
	}{{0, ErrTooSlow}, {999, ErrTooSlow}, {1000, nil}, {1001, nil}} {
		l := new(loop)
		l.clock.Store(int64(time.Hour))
		l.wheel.Begin(l.now())
		home := &shared{loop: l, cfg: &settings{limits: Limits{MinRate: 100, RateWindow: window}}}
		c := &Conn{shared: home, state: stateReading, flags: flagArmed}
		c.bytesIn.Store(5)
		c.setPace(false, true)
		begun := l.now()
		if at, cause := c.nearest(); at != begun+int64(window) || cause != ErrTooSlow || !c.times.timer.FiresBy(math.MaxInt64) {
			t.Fatalf("due at %v, %v", time.Duration(at-begun), cause)
		}
		l.clock.Add(int64(window) / 2)
		c.bytesIn.Add(tt.bytes)
		when := c.times.timer.At()
		c.setPace(false, true)
		if c.times.pace.since != begun || c.times.timer.At() != when {
			t.Error("bytes that complete nothing have moved the window")
		}
		l.clock.Store(begun + int64(window))
		c.keptPace()
		at, cause := c.nearest()
		if due := at <= l.now(); due != (tt.want != nil) || cause != ErrTooSlow {
			t.Errorf("%d bytes: due %v, %v", tt.bytes, due, cause)
		}
		// A message was complete: a new window. All were: none.
		c.setPace(true, true)
		if c.times.pace.since != l.now() {
			t.Error("progress does not begin a window")
		}
		c.setPace(true, false)
		if at, _ := c.nearest(); at != 0 {
			t.Error("a timeout runs between two messages")
		}
		c.setPace(true, true)
		if c.forget(); c.times.pace.since != 0 {
			t.Error("the rest of a message is awaited after the end of the stream")
		}
	}
}
