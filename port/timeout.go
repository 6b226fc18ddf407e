package port

import (
	"container/heap"
	"math"
	"time"

	"github.com/proactor-go/proactor/internal/clock"
)

// Timeout completes op, with this key, at the first Dequeue after d has passed, and never
// before. [Port.Cancel] ends it early. The same goroutines may call it as Recv.
func (p *Port) Timeout(op *Op, key uint64, d time.Duration) error {
	p.lock()
	defer p.unlock()
	if p.closed {
		return ErrPortClosed
	}
	if op.kind != kindIdle {
		return ErrBusy
	}
	*op = Op{kind: KindTimeout, h: Handle(key), n: clock.After(now(), max(d, 0))}
	p.inflight++
	heap.Push(&p.timeouts, op)
	if p.cfg.Mode == Shared && op.index == 0 {
		p.stir() // the leader sleeps until a later one
	}
	return nil
}

// expire ends the timeouts whose time has come.
func (p *Port) expire() {
	for t := now(); len(p.timeouts) > 0 && p.timeouts[0].n <= t; {
		p.endTimeout(heap.Pop(&p.timeouts).(*Op), nil)
	}
}

func (p *Port) endTimeout(op *Op, err error) {
	p.complete(Completion{Op: op, Key: uint64(op.h), Kind: KindTimeout, Err: err})
	op.kind, op.n = kindIdle, 0
	p.inflight--
}

// timeouts is a heap, the next one on top. Each Op knows its index.
type timeouts []*Op

func (t timeouts) any() bool { return len(t) > 0 }

// until is how long to block: up to the next timeout or the limit.
func (t timeouts) until(limit int64) time.Duration {
	if len(t) > 0 {
		limit = min(limit, t[0].n)
	}
	if limit == never {
		return -1
	}
	return time.Duration(max(limit-now(), 0))
}

func (t *timeouts) remove(op *Op) bool {
	i := int(op.index)
	if i >= len(*t) || (*t)[i] != op {
		return false
	}
	heap.Remove(t, i)
	return true
}

func (t *timeouts) clear() int {
	n := len(*t)
	for _, e := range *t {
		e.kind = kindIdle
	}
	*t = nil
	return n
}

func (t timeouts) Len() int           { return len(t) }
func (t timeouts) Less(i, j int) bool { return t[i].n < t[j].n }
func (t timeouts) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = int32(i), int32(j)
}
func (t *timeouts) Push(x any) {
	e := x.(*Op)
	e.index = int32(len(*t))
	*t = append(*t, e)
}
func (t *timeouts) Pop() any {
	old := *t
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return e
}

// The port's clock: monotonic nanoseconds since the program began.
const never int64 = math.MaxInt64

var epoch = time.Now()

func now() int64 { return int64(time.Since(epoch)) }

func deadline(timeout time.Duration) int64 {
	if timeout < 0 {
		return never
	}
	return clock.After(now(), timeout)
}
