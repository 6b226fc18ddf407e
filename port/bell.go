package port

import (
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/internal/clock"
)

// bell wakes the one goroutine that blocks on it, for backends that have no system call to
// block in. A ring that comes before the block ends that block at once.
type bell struct {
	rung  chan struct{}
	timer *time.Timer
	due   atomic.Int64 // when the timer rings; never: it is not set
}

func newBell() *bell {
	b := &bell{rung: make(chan struct{}, 1)}
	b.due.Store(never)
	return b
}

func (b *bell) wake() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// block returns when the bell was rung, after d, or spuriously; d < 0 means no limit. The
// timer is set only when it would ring too late, not each time, because the time that bounds
// a server's wait moves with each message.
func (b *bell) block(d time.Duration) {
	if d >= 0 {
		if at := clock.After(now(), d); at < b.due.Load() {
			b.due.Store(at)
			if b.timer == nil {
				b.timer = time.AfterFunc(d, b.late)
			} else {
				b.timer.Reset(d)
			}
		}
	}
	<-b.rung
}

func (b *bell) late() {
	b.due.Store(never)
	b.wake()
}

// still takes the timer back.
func (b *bell) still() {
	if b.timer != nil {
		b.timer.Stop()
	}
}
