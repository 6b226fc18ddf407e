package load

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/proactor-go/proactor"
)

// With Options.Broadcast one client, the speaker, sends the messages of its pattern, and each must arrive at all
// clients, in order. Its latency is the time until the last one has it.

// fan is what the clients share then.
type fan struct {
	loop proactor.Loop // of the speaker; it and all are known before the first message goes
	all  atomic.Int64  // clients that were open then
	sent atomic.Int64  // messages
	done atomic.Int64  // of them, how many have arrived at all
	// Of the messages in flight, in turn.
	begun   []atomic.Int64 // when it was sent, or due
	went    []atomic.Int64 // when it was sent
	arrived []atomic.Int64 // at so many

	broke  chan struct{} // closed when a connection has failed: what is sent will not arrive at all
	breaks func()        // closes it
}

func newFan(pipeline int) *fan {
	times := func() []atomic.Int64 { return make([]atomic.Int64, pipeline) }
	f := &fan{begun: times(), went: times(), arrived: times(), broke: make(chan struct{})}
	f.breaks = sync.OnceFunc(func() { close(f.broke) })
	return f
}

// speaker is the client that sends, of the first lane.
func (r *run) speaker() *client { return &r.lanes[0].clients[0] }

// broken is closed when a broadcast has failed.
func (r *run) broken() <-chan struct{} {
	if r.fan == nil {
		return nil
	}
	return r.fan.broke
}

// speaks notes that c is about to send a message, before anybody can hear it.
func (f *fan) speaks(c *client, now int64) {
	place := c.sent % int64(len(f.begun))
	f.went[place].Store(now)
	f.begun[place].Store(now)
	if c.lane.run.opt.Rate > 0 {
		f.begun[place].Store(c.intended(c.sent))
	}
	f.sent.Add(1)
}

// waitsSince is when the client began to wait for what it waits for.
func (c *client) waitsSince() int64 {
	if f := c.lane.run.fan; f != nil && c.state == clientOpen {
		return f.went[c.got%int64(len(f.went))].Load()
	}
	return c.since
}

// hears checks a message that has arrived. The lock of the client's lane is held.
func (c *client) hears(p []byte, now int64) {
	l, f := c.lane, c.lane.run.fan
	if c.got == f.sent.Load() {
		c.fail(causeExtra, fmt.Errorf("%s: more came than was sent: %s", c, excerpt(p)))
		return
	}
	if right := l.run.pattern.Check(c.read, p); right < len(p) {
		c.fail(causeMismatch, fmt.Errorf("%s: message %d is wrong from byte %d on: %s", c, c.got, right, excerpt(p[right:])))
		return
	}
	c.read = l.run.pattern.After(c.read, len(p))
	place := c.got % int64(len(f.begun))
	c.got++
	l.arrivals++
	if f.arrived[place].Add(1) == f.all.Load() {
		record(l.latency, now-f.begun[place].Load())
		l.messages++
		l.lastEcho = now
		f.arrived[place].Store(0)
		f.done.Add(1)
		l.run.goOn(l, now)
	}
	if c.state == clientOpen {
		c.pump(now)
	}
}

// goOn has the speaker send the next message, where the client of another lane was the last to have one. The lock
// of that lane is held.
func (r *run) goOn(from *lane, now int64) {
	l := r.lanes[0]
	if from == l {
		if c := r.speaker(); c.state == clientOpen {
			c.pump(now)
		}
		return
	}
	_ = r.fan.loop.Post(func() { // it fails when the run has ended
		l.mu.Lock()
		defer l.mu.Unlock()
		if c := r.speaker(); c.state == clientOpen {
			c.pump(nanotime())
		}
	})
}
