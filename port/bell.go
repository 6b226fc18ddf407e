package port

import (
	"sync/atomic"
	"time"
)

// bell wakes the one goroutine that blocks on it, for backends that have
// nothing of the system's to block in. A ring that comes early is kept.
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

// block returns when the bell was rung, after d, or for nothing; d < 0 means no
// limit. The timer is set when it would ring too late, not each time: what
// bounds the wait of a server moves on with each message.
func (b *bell) block(d time.Duration) {
	if d >= 0 {
		if at := now() + int64(d); at < b.due.Load() {
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
