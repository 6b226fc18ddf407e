package porttest

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor/port"
)

// Tests of Shared ports with several workers at once. Each has a crew of its
// own, and starts operations from the workers and from other goroutines.
var sharedTests = []test{
	{name: "SharedEcho", run: sharedEcho, shared: true},
	{name: "SharedStreams", run: sharedStreams, shared: true},
	{name: "SharedStarts", run: sharedStarts, shared: true},
	{name: "SharedLeftover", run: sharedLeftover, shared: true},
	{name: "SharedPosts", run: sharedPosts, shared: true},
	{name: "SharedTimeouts", run: sharedTimeouts, shared: true},
	{name: "SharedTimeoutBesidePosts", run: sharedTimeoutBesidePosts, shared: true},
	{name: "SharedDequeueTimeout", run: sharedDequeueTimeout, shared: true},
}

// Four workers echo on many connections; the worker that dequeues a completion starts
// the next operation.
func sharedEcho(e *env) {
	r := e.open(port.Config{})
	n, rounds := r.many(64, 16), r.many(100, 30)
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	cs := newClients(r, n)
	dismiss := r.crew(4, func(c *port.Completion) {
		switch c.Kind {
		case port.KindAccept:
			if c.Err == nil {
				cs.recv(cs.add(c.Socket), 777)
			}
		case port.KindRecv:
			x := cs.get(c.Key)
			switch {
			case c.Err == nil:
				cs.send(x, x.in.data)
			case c.Err == io.EOF:
				cs.close(x)
			default:
				r.Errorf("recv: %v", c.Err)
				cs.close(x)
			}
		case port.KindSend:
			x := cs.get(c.Key)
			if c.Err != nil {
				r.Errorf("send: %v", c.Err)
			}
			cs.recv(x, 777)
		case port.KindClose:
			cs.closed()
		}
	})
	a := r.arm(l)
	r.within("peers", r.dials(n, l, func(i int, c Peer) error {
		s, off := stream(i), int64(0)
		for k := range rounds {
			size := int64(1 + (i*131+k*977)%3000)
			if err := writePattern(c, s, off, size, 3000); err != nil {
				return err
			}
			if err := readPattern(c, s, off, size); err != nil {
				return err
			}
			off += size
		}
		c.CloseWrite()
		return readEnd(c, 0, 0)
	}))
	r.within("connections", cs.done)
	dismiss()
	if a.count != n {
		r.Errorf("%d sockets of %d connections", a.count, n)
	}
}

// Streams whose completions go to several workers: each byte comes once. The
// end, and so the close, may be dequeued by one worker while another still has
// the last bytes.
func sharedStreams(e *env) {
	r := e.open(port.Config{BufferSize: 4096, BufferCount: 16})
	n, size := r.many(40, 10), int64(r.many(300_000, 50_000))
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	cs := newClients(r, n)
	dismiss := r.crew(3, func(c *port.Completion) {
		switch {
		case c.Kind == port.KindAccept && c.Err == nil:
			x := cs.add(c.Socket)
			x.in = &op{kind: port.KindRecv, h: x.h, key: x.key, many: true}
			cs.start(x.in, func(o *port.Op) error { return r.p.RecvStream(o, x.h) })
		case c.Kind == port.KindRecv && c.More:
			x := cs.get(c.Key)
			x.bytes.Add(int64(c.N))
			x.sum.Add(weigh(c.Buf))
			r.p.Release(c)
		case c.Kind == port.KindRecv:
			if c.Err != io.EOF {
				r.Errorf("recv: %v", c.Err)
			}
			cs.close(cs.get(c.Key))
		case c.Kind == port.KindClose:
			cs.closed()
		}
	})
	r.arm(l)
	// All peers send the same bytes, as it is not known who is who.
	r.within("peers", r.dials(n, l, func(i int, c Peer) error {
		if err := writePattern(c, 1, 0, size, 100+i*50); err != nil {
			return err
		}
		c.CloseWrite()
		return readEnd(c, 0, 0)
	}))
	r.within("connections", cs.done)
	dismiss()
	want := weigh(stream(1).bytes(0, int(size)))
	cs.all.Range(func(_, v any) bool {
		if x := v.(*client); x.bytes.Load() != size || x.sum.Load() != want {
			r.Errorf("a stream brought %d bytes of sum %d, want %d of sum %d", x.bytes.Load(), x.sum.Load(), size, want)
		}
		return true
	})
}

// weigh gives a sum that does not depend on the order of the bytes.
func weigh(p []byte) (sum int64) {
	for _, b := range p {
		sum += int64(b)*int64(b) + int64(b)*1009
	}
	return sum
}

// Goroutines that do not dequeue start operations, cancel them, and wait for
// what the workers tell them.
func sharedStarts(e *env) {
	r := e.open(port.Config{})
	n, rounds := 8, r.n(200, 40)
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	sockets := make(chan port.Socket, n)
	var finals sync.Map // Op to channel
	dismiss := r.crew(2, func(c *port.Completion) {
		if c.Kind == port.KindAccept {
			if c.Err == nil {
				sockets <- c.Socket
			}
			return
		}
		if ch, ok := finals.Load(c.Op); ok {
			ch.(chan port.Completion) <- *c
		}
	})
	r.arm(l)
	peers := r.dials(n, l, func(i int, c Peer) error {
		// Hidden, or package net splices, with pipes that it keeps for a while.
		_, err := io.Copy(struct{ io.Writer }{c}, c)
		return err
	})
	cs := newClients(r, 0)
	var all sync.WaitGroup
	for g := range n {
		all.Go(func() {
			wait := func(o *op, call func(*port.Op) error) port.Completion {
				ch := make(chan port.Completion, 1)
				finals.Store(&o.Op, ch)
				cs.start(o, call)
				return <-ch
			}
			x := cs.add(<-sockets)
			s := stream(g)
			for i := range rounds {
				off := int64(i * 50)
				b := s.bytes(off, 50)
				o := &op{kind: port.KindSend, h: x.h, key: x.key, sent: [][]byte{b}}
				if c := wait(o, func(p *port.Op) error { return r.p.Send(p, x.h, b) }); c.Err != nil {
					r.Errorf("send: %v", c.Err)
				}
				for got := 0; got < 50; {
					o := &op{kind: port.KindRecv, h: x.h, key: x.key, buf: make([]byte, 50-got)}
					c := wait(o, func(p *port.Op) error { return r.p.Recv(p, x.h, o.buf) })
					if c.Err != nil {
						r.Errorf("recv: %v", c.Err)
						break
					}
					if err := s.check(o.data, off+int64(got)); err != nil {
						r.Errorf("recv: %v", err)
					}
					got += c.N
				}
				if i%5 == 0 { // nothing can come now
					o := &op{kind: port.KindRecv, h: x.h, key: x.key, buf: make([]byte, 1)}
					go r.p.Cancel(&o.Op) // before, while or after it starts
					c := wait(o, func(p *port.Op) error {
						err := r.p.Recv(p, x.h, o.buf)
						r.p.Cancel(p)
						return err
					})
					if !errors.Is(c.Err, port.ErrCanceled) {
						r.Errorf("canceled recv: %v", c.Err)
					}
				}
				if i%7 == 0 {
					o := &op{kind: port.KindTimeout, key: 7}
					wait(o, func(p *port.Op) error { return r.p.Timeout(p, 7, time.Microsecond) })
				}
			}
			o := &op{kind: port.KindClose, h: x.h, key: x.key}
			wait(o, func(p *port.Op) error { return r.p.CloseSocket(p, x.h, false) })
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	r.within("goroutines", done)
	r.within("peers", peers)
	dismiss()
}

// A worker that takes one completion and does not come back leaves the others of
// that moment to one that blocks.
func sharedLeftover(e *env) {
	if e.b.Around != nil {
		e.Skip("in a bubble nothing happens at the same time")
	}
	r := e.open(port.Config{BufferSize: 4096, BufferCount: 64})
	const size = 16 * 4096
	var mu sync.Mutex
	left := 0 // bytes that did not come yet
	var waits chan struct{}
	took := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		if left -= n; left == 0 && waits != nil {
			close(waits)
			waits = nil
		}
	}
	r.startWorkers()
	c := r.pair("tcp")
	r.stopWorkers()
	o := r.stream(c)
	dismiss := r.crew(1, func(c *port.Completion) {
		n := c.N
		r.p.Release(c)
		took(n)
	})
	for range r.n(100, 20) {
		all := make(chan struct{})
		mu.Lock()
		left, waits = size, all
		mu.Unlock()
		sent := make(chan struct{})
		go func() { // not a task: its post would wake the other
			c.peer.Write(make([]byte, size)) // what does not come is seen
			close(sent)
		}()
		// Before the other, most often, and without a wait.
		var mine [1]port.Completion
		for n, ended := 0, false; n == 0 && !ended; {
			since := r.k.begin()
			var err error
			if n, err = r.p.Dequeue(mine[:], 0); err != nil {
				r.Fatal(err)
			}
			r.k.observe(since, mine[:n])
			select {
			case <-all:
				ended = true
			default:
				if time.Now().After(r.deadline) {
					r.Fatalf("nothing comes. %s", r.outstanding())
				}
			}
		}
		took(mine[0].N)
		r.within("the other completions", all)
		r.p.Release(&mine[0])
		<-sent
	}
	dismiss()
	r.ok(r.close(c, false))
	r.fails(o, port.ErrCanceled)
}

// Each post goes to one of the workers.
func sharedPosts(e *env) {
	r := e.open(port.Config{})
	n := uint64(r.many(4000, 500))
	var left atomic.Int64
	left.Store(int64(n * 4))
	done := make(chan struct{})
	dismiss := r.crew(4, func(*port.Completion) {
		if left.Add(-1) == 0 {
			close(done)
		}
	})
	for g := range uint64(4) {
		go func() {
			for i := range n {
				r.k.post(g<<32|i, nil)
				r.p.Post(g<<32|i, nil)
			}
		}()
	}
	r.within("posts", done)
	dismiss()
}

// Timeouts that several goroutines start, also shorter ones than those that
// the workers wait for.
func sharedTimeouts(e *env) {
	r := e.open(port.Config{})
	const n = 400
	var left atomic.Int64
	left.Store(n)
	done := make(chan struct{})
	var due sync.Map
	dismiss := r.crew(3, func(c *port.Completion) {
		if t, ok := due.Load(c.Op); !ok || time.Now().Before(t.(time.Time)) {
			r.Errorf("a timeout came before its time")
		}
		if left.Add(-1) == 0 {
			close(done)
		}
	})
	for g := range uint64(4) {
		go func() {
			rng := rand.New(rand.NewPCG(g, 1))
			for range n / 4 {
				o := &op{kind: port.KindTimeout, key: g}
				d := time.Duration(rng.IntN(int(50 * time.Millisecond)))
				due.Store(&o.Op, time.Now().Add(d))
				if err := r.k.start(o, func(p *port.Op) error { return r.p.Timeout(p, g, d) }); err != nil {
					r.Errorf("timeout: %v", err)
				}
			}
		}()
	}
	r.within("timeouts", done)
	dismiss()
}

// A timeout that is started while one worker waits and others are busy with
// posts comes in its time, also when nothing else happens afterwards.
func sharedTimeoutBesidePosts(e *env) {
	r := e.open(port.Config{})
	came := make(chan struct{}, 1)
	dismiss := r.crew(3, func(c *port.Completion) {
		if c.Kind == port.KindTimeout {
			came <- struct{}{}
		}
	})
	for range r.many(1000, 200) {
		var posters sync.WaitGroup
		for g := range uint64(2) {
			posters.Go(func() {
				for range 5 {
					r.k.post(g, nil)
					r.p.Post(g, nil)
				}
			})
		}
		o := &op{kind: port.KindTimeout, key: 1}
		if err := r.k.start(o, func(p *port.Op) error { return r.p.Timeout(p, 1, 200*time.Microsecond) }); err != nil {
			r.Fatalf("timeout: %v", err)
		}
		r.within("timeout", came)
		posters.Wait()
	}
	dismiss()
}

// Workers that find nothing give up after their timeout, also those that wait
// behind another.
func sharedDequeueTimeout(e *env) {
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	r.arm(l)
	var all sync.WaitGroup
	for range 4 {
		all.Go(r.dequeuesNothing)
	}
	all.Wait()
	r.startWorkers()
}
