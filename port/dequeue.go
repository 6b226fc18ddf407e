package port

import (
	"time"

	"github.com/proactor-go/proactor/internal/clock"
)

// Dequeue waits for completions, stores up to len(dst) of them in dst, and returns their
// number, or 0 if timeout ran out first. With a timeout of 0 it does not wait; with a
// negative one it waits for ever. The error is [ErrPortClosed] or nil.
func (p *Port) Dequeue(dst []Completion, timeout time.Duration) (int, error) {
	if len(dst) == 0 {
		return 0, ErrInvalid
	}
	if p.cfg.Mode == Shared {
		return p.dequeueShared(dst, timeout)
	}
	if p.closed {
		return 0, ErrPortClosed
	}
	p.patient = timeout != 0 && p.cfg.Spin == 0
	if n := p.collect(dst); n > 0 || timeout == 0 {
		return n, nil
	}
	limit := deadline(timeout)
	if p.cfg.Spin > 0 {
		for end := clock.After(now(), p.cfg.Spin); now() < end; p.yielder.yield(0) {
			if n := p.collect(dst); n > 0 {
				return n, nil
			}
		}
	}
	for {
		p.wait(p.yielder.yield(p.timeouts.until(limit)))
		if n := p.collect(dst); n > 0 || now() >= limit {
			return n, nil
		}
	}
}

// fewCompletions: a poll that found fewer than that many means that the port is not busy.
const fewCompletions = 8

// wait blocks in the backend unless there is something to do already.
func (p *Port) wait(d time.Duration) {
	p.sleep.blocked.Add(1)
	p.sleep.waking.Store(false) // poll may have used up an earlier wake
	// The poll before may have ended something that stands in ready now.
	if p.posted.empty() && p.ready.len() == 0 && d != 0 {
		p.b.block(d)
	}
	p.sleep.blocked.Add(-1)
}

// dequeueShared lets one worker at a time, the leader, block in the backend.
// The others wait to take its place; a leader that got something leaves.
func (p *Port) dequeueShared(dst []Completion, timeout time.Duration) (int, error) {
	limit := deadline(timeout)
	if n, err := p.collectShared(dst); n > 0 || err != nil || timeout == 0 {
		return n, err
	}
	if !p.lead(limit) {
		return p.collectShared(dst)
	}
	defer func() { <-p.leader }()
	for {
		p.sleep.blocked.Add(1)
		// A goroutine that makes something ready from here on sees that this one blocks.
		n, err := p.collectShared(dst)
		if n == 0 && err == nil && p.posted.empty() {
			p.mu.Lock()
			d := p.timeouts.until(limit)
			p.mu.Unlock()
			if d != 0 {
				p.b.block(d)
			}
		}
		p.sleep.blocked.Add(-1)
		if n == 0 && err == nil {
			n, err = p.collectShared(dst)
		}
		if n > 0 || err != nil || now() >= limit {
			return n, err
		}
	}
}

// lead waits until this worker is the leader. It reports false when the time ran out.
func (p *Port) lead(limit int64) bool {
	select {
	case p.leader <- struct{}{}:
		return true
	default:
	}
	if limit == never {
		p.leader <- struct{}{}
		return true
	}
	t := time.NewTimer(time.Duration(limit - now()))
	defer t.Stop()
	select {
	case p.leader <- struct{}{}:
		return true
	case <-t.C:
		return false
	}
}

func (p *Port) collectShared(dst []Completion) (int, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return 0, ErrPortClosed
	}
	n := p.collect(dst)
	left := p.ready.len() > 0
	p.mu.Unlock()
	// This poll may have used up a wake that was meant for the leader, which may have to
	// block for a shorter time now.
	if p.sleep.waking.Swap(false) || left || !p.posted.empty() {
		p.stir()
	}
	return n, nil
}

// collect gathers completions without blocking: those that the port made itself and those of the
// backend. A call may return completions of one source alone, but not twice in a row. So neither
// source can keep the other out for ever, and the backend is not polled in vain after each send
// that ended at once.
func (p *Port) collect(dst []Completion) int {
	if !p.posted.empty() {
		p.takePosted()
	}
	if p.timeouts.any() {
		p.expire()
	}
	n := 0
	if !p.alone {
		if n = p.ready.take(dst); n > 0 {
			p.alone = true
			raceCame()
			return n
		}
	}
	p.alone = false
	n = p.b.poll(dst)
	p.few = n > 0 && n < fewCompletions
	if n < len(dst) {
		n += p.ready.take(dst[n:])
	}
	if n > 0 {
		raceCame()
	}
	return n
}
