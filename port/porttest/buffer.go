package porttest

import (
	"bytes"
	"io"
	"time"
	"unsafe"

	"github.com/proactor-go/proactor/port"
)

var bufferTests = []test{
	{name: "BuffersExhausted", run: func(e *env) { buffersExhausted(e, 4096, 4) }},
	{name: "BuffersOneTiny", run: func(e *env) { buffersExhausted(e, 512, 1) }},
	{name: "BuffersStarvedCancel", run: buffersStarvedCancel},
	{name: "BuffersStarvedClose", run: buffersStarvedClose},
	{name: "BuffersStarvedSilent", run: buffersStarvedSilent},
	{name: "BuffersFair", run: buffersFair},
	{name: "BuffersOutliveSocket", run: buffersOutliveSocket},
	{name: "BuffersUntouchedWhileLent", run: buffersUntouched},
	{name: "BuffersAligned", run: buffersAligned},
	{name: "ReleaseTwice", run: releaseTwice},
}

// exhaust lets peers write n bytes each to streams, keeps all that is lent, and
// returns when nothing more comes.
func (r *rig) exhaust(size, count, conns, n int) ([]*conn, []*op, []*task) {
	r.Helper()
	r.hold = true
	var cs []*conn
	var ops []*op
	var writers []*task
	for i := range conns {
		c := r.pair("tcp")
		cs, ops = append(cs, c), append(ops, r.stream(c))
		writers = append(writers, r.do(func() error {
			if err := writePattern(c.peer, stream(i), 0, int64(n), 1000); err != nil {
				return err
			}
			return c.peer.CloseWrite()
		}))
	}
	for quiet := false; !quiet; {
		before := len(r.held)
		tick := r.timeout(20 * time.Millisecond)
		r.ok(tick)
		quiet = before == len(r.held) && before > 0
	}
	total := 0
	for _, c := range r.held {
		total += c.N
		if c.N > size {
			r.Errorf("a completion lends %d bytes, the size of a buffer is %d", c.N, size)
		}
	}
	if total > size*count {
		r.Errorf("%d bytes are lent, of %d buffers of %d", total, count, size)
	}
	if total == conns*n {
		r.Errorf("all %d bytes came: the buffers were not exhausted", total)
	}
	if s := r.p.Stats(); s.Leased != len(r.held) {
		r.Errorf("%+v, but %d completions were not released", s, len(r.held))
	}
	for i, o := range ops {
		if !o.flying {
			r.Fatalf("stream %d ended for want of buffers: %v", i, o.last.Err)
		}
	}
	return cs, ops, writers
}

// release gives back what is held, in any order.
func (r *rig) release() {
	r.rng.Shuffle(len(r.held), func(i, j int) { r.held[i], r.held[j] = r.held[j], r.held[i] })
	for i := range r.held {
		r.p.Release(&r.held[i])
	}
	r.held = r.held[:0]
}

// When all buffers are lent, bytes wait in the system. When some are given
// back, all come, and nothing is lost.
func buffersExhausted(e *env, size, count int) {
	r := e.open(port.Config{BufferSize: size, BufferCount: count})
	const conns = 10
	n := size*count/conns + 64<<10
	_, ops, writers := r.exhaust(size, count, conns, n)
	// Give them back one by one. When the last is, more must come.
	for range r.many(100, 20) {
		r.p.Release(&r.held[0])
		r.held = r.held[1:]
		r.until("bytes for the buffers that were released", func() bool { return len(r.held) > 0 })
	}
	r.hold = false
	r.release()
	for i, o := range ops {
		r.fails(o, io.EOF)
		if len(o.data) != n {
			r.Fatalf("stream %d: %d bytes of %d", i, len(o.data), n)
		}
		r.matches(o, stream(i), 0)
	}
	r.await(writers...)
}

// A recv that waits for a buffer can be canceled, and armed anew.
func buffersStarvedCancel(e *env) {
	r := e.open(port.Config{BufferSize: 4096, BufferCount: 2})
	const n = 20_000
	cs, ops, writers := r.exhaust(4096, 2, 6, n)
	for _, o := range ops {
		r.p.Cancel(&o.Op)
		r.fails(o, port.ErrCanceled)
	}
	// A plain recv needs none of the port's buffers.
	for i, c := range cs {
		o := r.recv(c, 1000)
		r.ok(o)
		r.matches(o, stream(i), int64(len(ops[i].data)))
		ops[i].data = append(ops[i].data, o.data...)
	}
	r.hold = false
	r.release()
	for i, c := range cs {
		o := r.stream(c)
		r.fails(o, io.EOF)
		r.matches(o, stream(i), int64(len(ops[i].data)))
		if got := len(o.data) + len(ops[i].data); got != n {
			r.Fatalf("stream %d: %d bytes of %d", i, got, n)
		}
	}
	r.await(writers...)
}

// A socket whose recv waits for a buffer can be closed, and the others go on.
func buffersStarvedClose(e *env) {
	r := e.open(port.Config{BufferSize: 4096, BufferCount: 2})
	const n = 20_000
	cs, ops, writers := r.exhaust(4096, 2, 6, n)
	for i := range 3 {
		r.ok(r.close(cs[i], true))
		r.fails(ops[i], port.ErrCanceled)
		r.until("peer", writers[i].ended) // with or without an error
	}
	r.hold = false
	r.release()
	for i := 3; i < 6; i++ {
		r.fails(ops[i], io.EOF)
		r.matches(ops[i], stream(i), 0)
		if len(ops[i].data) != n {
			r.Fatalf("stream %d: %d bytes of %d", i, len(ops[i].data), n)
		}
		r.await(writers[i])
	}
}

// Streams that began while all buffers were lent, and on which nothing comes, do
// not stand before one on which something does.
func buffersStarvedSilent(e *env) {
	r := e.open(port.Config{BufferSize: 4096, BufferCount: 2})
	const n = 20_000
	_, full, writers := r.exhaust(4096, 2, 1, n)
	var c *conn
	var o *op
	for range 40 {
		c = r.pair("tcp")
		o = r.stream(c)
	}
	r.await(r.do(func() error { return writePattern(c.peer, stream(1), 0, 3000, 3000) }))
	r.ok(r.timeout(20 * time.Millisecond)) // the backend has looked at them in vain
	r.hold = false
	r.release()
	r.gather(o, 3000)
	r.matches(o, stream(1), 0)
	r.fails(full[0], io.EOF)
	r.matches(full[0], stream(0), 0)
	r.await(writers...)
}

// Streams on which more comes than is taken have turns: none is left out.
func buffersFair(e *env) {
	r := e.open(port.Config{})
	var cs []*conn
	var writers []*task
	begun := make(chan struct{}, 12)
	for range cap(begun) {
		c := r.pair("tcp")
		cs = append(cs, c)
		writers = append(writers, r.do(func() error {
			block := make([]byte, 64<<10)
			if _, err := c.peer.Write(block[:1]); err != nil {
				return err
			}
			for begun <- struct{}{}; ; {
				if _, err := c.peer.Write(block); err != nil {
					return nil // enough was seen
				}
			}
		}))
	}
	r.await(r.do(func() error { // something has come on each, however late its writer runs
		for range cap(begun) {
			<-begun
		}
		return nil
	}))
	r.ok(r.timeout(20 * time.Millisecond)) // they have filled what the system has for them
	var ops []*op
	for _, c := range cs {
		ops = append(ops, r.stream(c))
	}
	// While the last of them are started, the first may fill all buffers, which are 16 MiB: the rest
	// comes when all have been.
	const many = 24 << 20
	least, most := 0, 0
	r.until("bytes", func() bool {
		least, most = many, 0
		for _, o := range ops {
			least, most = min(least, len(o.data)), max(most, len(o.data))
		}
		return least > 0 || most > many
	})
	if least == 0 {
		r.Errorf("a stream got nothing, another %d bytes", most)
	}
	for i, c := range cs {
		r.ok(r.close(c, true))
		r.fails(ops[i], port.ErrCanceled)
	}
	r.await(writers...)
}

// What is lent stays lent when its socket is closed, and what was kept of it when its
// completion is released.
func buffersOutliveSocket(e *env) {
	r := e.open(port.Config{BufferSize: 4096, BufferCount: 8})
	r.hold = true
	for i := range 3 {
		c := r.pair("tcp")
		o := r.stream(c)
		w := r.do(func() error { return writePattern(c.peer, stream(i), 0, 1000, 1000) })
		r.gather(o, 1000)
		r.ok(r.close(c, true))
		r.await(w)
	}
	if s := r.p.Stats(); s.Leased == 0 || s.Leased != len(r.held) {
		r.Errorf("%+v, but %d completions were not released", s, len(r.held))
	}
	total := 0
	for i := range r.held {
		total += len(r.held[i].Buf)
	}
	if total != 3000 {
		r.Errorf("%d bytes are lent, want 3000", total)
	}
	kept := r.held[0].Keep()
	r.release()
	if s := r.p.Stats(); s.Leased != 1 {
		r.Errorf("%+v after all but one was released", s)
	}
	r.p.GiveBack(kept)
	r.p.GiveBack(0)
	if s := r.p.Stats(); s.Leased != 0 {
		r.Errorf("%+v after all was released", s)
	}
}

// Bytes that are lent do not change, whatever arrives meanwhile.
func buffersUntouched(e *env) {
	r := e.open(port.Config{BufferSize: 2048, BufferCount: 64})
	c, other := r.pair("tcp"), r.pair("tcp")
	r.hold = true
	r.await(r.do(func() error { return writePattern(c.peer, 1, 0, 20_000, 1000) }))
	o := r.stream(c)
	r.gather(o, 20_000)
	r.hold = false
	r.chat(other, 2, r.many(1<<20, 200<<10))
	var lent []byte
	for i := range r.held {
		lent = append(lent, r.held[i].Buf...)
	}
	if !bytes.Equal(lent, o.data) {
		r.Error("what was lent has changed before it was released")
	}
	r.release()
}

// The first piece of a port begins a line of the processor's cache: what a
// backend receives before, for itself, leaves no odd bytes that all pieces after it
// would be off by.
func buffersAligned(e *env) {
	r := e.open(port.Config{})
	r.hold = true
	c := r.pair("tcp")
	o := r.stream(c)
	w := r.do(func() error { return writePattern(c.peer, 1, 0, 100, 100) })
	r.gather(o, 100)
	r.await(w)
	if at := uintptr(unsafe.Pointer(&r.held[0].Buf[0])); at%64 != 0 {
		r.Errorf("the first piece lies %d bytes behind a multiple of 64", at%64)
	}
	r.release()
}

// The second Release of a completion does nothing, nor does that of one that
// lends nothing.
func releaseTwice(e *env) {
	r := e.open(port.Config{BufferSize: 4096, BufferCount: 4})
	c := r.pair("tcp")
	r.hold = true
	o := r.stream(c)
	for i := range 50 {
		w := r.do(func() error { return writePattern(c.peer, 1, int64(i*100), 100, 100) })
		r.gather(o, (i+1)*100)
		r.await(w)
		for j := range r.held {
			one := &r.held[j]
			r.p.Release(one)
			if one.Buf != nil {
				r.Fatal("Buf is still set after Release")
			}
			r.p.Release(one)
		}
		r.held = r.held[:0]
	}
	r.matches(o, 1, 0)
	r.p.Release(&port.Completion{})
	sent := r.ok(r.send(c, []byte{1}))
	r.p.Release(&sent)
	if s := r.p.Stats(); s.Leased != 0 {
		r.Errorf("%+v after all was released", s)
	}
}
