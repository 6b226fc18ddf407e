package port

import "time"

// bell wakes the one goroutine that blocks on it, for backends that have
// nothing of the system's to block in. A ring that comes early is kept.
type bell struct {
	rung  chan struct{}
	timer *time.Timer
}

func newBell() bell {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return bell{rung: make(chan struct{}, 1), timer: t}
}

func (b *bell) wake() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// block returns when the bell was rung, or after d; d < 0 means no limit.
func (b *bell) block(d time.Duration) {
	if d < 0 {
		<-b.rung
		return
	}
	b.timer.Reset(d)
	select {
	case <-b.rung:
	case <-b.timer.C:
	}
	b.timer.Stop()
}
