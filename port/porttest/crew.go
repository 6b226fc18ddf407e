package porttest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// crew lets n workers dequeue and handle completions. The function it returns
// ends them, and leaves the port to the usual workers of a rig.
func (r *rig) crew(n int, handle func(*port.Completion)) (dismiss func()) {
	r.k.several = true
	var workers sync.WaitGroup
	quit := func() {
		r.k.post(quitKey, nil)
		r.p.Post(quitKey, nil)
	}
	for i := range n {
		workers.Go(func() {
			batch := make([]port.Completion, 1+i*5)
			for last := false; !last; {
				since := r.k.begin()
				n, err := r.p.Dequeue(batch, -1)
				if err != nil {
					r.Errorf("dequeue: %v", err)
					return
				}
				r.k.observe(since, batch[:n])
				for i := range batch[:n] {
					c := &batch[i]
					switch {
					case c.Kind == port.KindPost && c.Key == quitKey && last:
						quit() // it was for another
					case c.Kind == port.KindPost && c.Key == quitKey:
						last = true
					default:
						handle(c)
					}
				}
			}
		})
	}
	return func() {
		for range n {
			quit()
		}
		workers.Wait()
		r.k.several = false
		r.startWorkers()
	}
}

// within waits for something that other goroutines do.
func (r *rig) within(what string, done <-chan struct{}) {
	r.Helper()
	t := time.NewTimer(time.Until(r.deadline))
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		r.Fatalf("%s: not in time. %s", what, r.outstanding())
	}
}

// dials runs a peer for each of n connections, and waits for all.
func (r *rig) dials(n int, l *listener, work func(i int, c Peer) error) (done chan struct{}) {
	done = make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			c, err := r.b.Dial("tcp", l.addr.String())
			if err == nil {
				defer c.Close()
				c.SetDeadline(r.deadline)
				err = work(i, c)
			}
			if err != nil {
				r.Errorf("peer %d: %v", i, err)
			}
		})
	}
	go func() { all.Wait(); close(done) }()
	return done
}

// client is a connection that the workers serve.
type client struct {
	h            port.Handle
	key          uint64
	in, out, end *op
	bytes, sum   atomic.Int64
}

// clients are those of one test, by their keys.
type clients struct {
	r    *rig
	all  sync.Map
	keys atomic.Uint64
	open atomic.Int64 // not yet closed, of those to come
	done chan struct{}
}

func newClients(r *rig, n int) *clients {
	c := &clients{r: r, done: make(chan struct{})}
	c.open.Store(int64(n))
	return c
}

func (cs *clients) add(s port.Socket) *client {
	c := &client{key: 1<<40 + cs.keys.Add(1)}
	cs.all.Store(c.key, c)
	h, err := cs.r.p.Associate(s, c.key)
	if err != nil {
		cs.r.Errorf("associate: %v", err)
	}
	c.h = h
	return c
}

func (cs *clients) get(key uint64) *client {
	c, _ := cs.all.Load(key)
	return c.(*client)
}

func (cs *clients) start(o *op, call func(*port.Op) error) {
	if err := cs.r.k.start(o, call); err != nil {
		cs.r.Errorf("%v: %v", o.kind, err)
	}
}

func (cs *clients) recv(c *client, n int) {
	c.in = &op{kind: port.KindRecv, h: c.h, key: c.key, buf: make([]byte, n)}
	cs.start(c.in, func(o *port.Op) error { return cs.r.p.Recv(o, c.h, c.in.buf) })
}

func (cs *clients) send(c *client, b []byte) {
	c.out = &op{kind: port.KindSend, h: c.h, key: c.key, sent: [][]byte{b}}
	cs.start(c.out, func(o *port.Op) error { return cs.r.p.Send(o, c.h, b) })
}

func (cs *clients) close(c *client) {
	c.end = &op{kind: port.KindClose, h: c.h, key: c.key}
	cs.start(c.end, func(o *port.Op) error { return cs.r.p.CloseSocket(o, c.h, false) })
}

func (cs *clients) closed() {
	if cs.open.Add(-1) == 0 {
		close(cs.done)
	}
}
