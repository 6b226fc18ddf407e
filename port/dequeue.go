package port

import "time"

// Dequeue waits for completions and puts up to len(dst) of them into dst. It
// returns how many; 0 when timeout ran out first. A timeout of 0 only looks,
// one below 0 waits for ever. The error is [ErrPortClosed] or nil.
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
		for end := now() + int64(p.cfg.Spin); now() < end; p.courtesy.yield(0) {
			if n := p.collect(dst); n > 0 {
				return n, nil
			}
		}
	}
	for {
		p.wait(p.courtesy.yield(p.timeouts.until(limit)))
		if n := p.collect(dst); n > 0 || now() >= limit {
			return n, nil
		}
	}
}

// fewCompletions at a time, less than so many, mean that there is time.
const fewCompletions = 8

// skipLook says, once after each poll that found few, that a backend need not
// look without blocking: most likely there is nothing, and the caller blocks
// next, which looks as well.
func (p *Port) skipLook() bool {
	skip := p.patient && p.few
	p.few = false
	return skip
}

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
		// Whoever makes something ready from here on sees that one blocks.
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

// lead waits until this worker is the leader; false when time ran out.
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
	// This poll may have used up a wake that was meant for the leader, who may
	// have to block for a shorter time now.
	if p.sleep.waking.Swap(false) || left || !p.posted.empty() {
		p.stir()
	}
	return n, nil
}

// collect gathers what is there without blocking: what the port made itself
// and what the backend has. Either may go alone, but not twice in a row: so
// neither can keep the other out for ever, and the backend is not asked in vain
// after each send that ended at once.
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
			return n
		}
	}
	p.alone = false
	n = p.b.poll(dst)
	p.few = n > 0 && n < fewCompletions
	if n < len(dst) {
		n += p.ready.take(dst[n:])
	}
	return n
}
