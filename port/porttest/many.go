package porttest

import (
	"encoding/binary"
	"io"
	"sync"

	"github.com/proactor-go/proactor/port"
)

var manyTests = []test{
	{name: "ManySockets", run: manySockets},
	{name: "ManyUndequeued", run: manyUndequeued},
}

// 10,000 sockets at once, each with a message that is its own.
func manySockets(e *env) {
	pairs := e.many(5000, 1000)
	if wine {
		pairs = 200
	}
	if most := (descriptorLimit() - len(descriptors()) - 50) / 2; !e.b.Memory && pairs > most {
		e.Logf("%d pairs instead of %d: the limit of descriptors is %d", most, pairs, descriptorLimit())
		pairs = most
	}
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	a := r.arm(l)
	var in, out []*conn
	for len(out) < pairs {
		var connects []*op
		for range min(200, pairs-len(out)) {
			c := r.connector(l.addr, port.SocketOptions{})
			out = append(out, c)
			connects = append(connects, r.connect(c, l.addr))
		}
		for _, o := range connects {
			r.ok(o)
			c := &conn{}
			c.h, c.key = r.associate(r.next(a))
			in = append(in, c)
		}
	}
	const size = 100
	streams, sends := make([]*op, pairs), make([]*op, pairs)
	for i := range pairs {
		streams[i] = r.stream(in[i])
		b := stream(i).bytes(0, size)
		binary.BigEndian.PutUint32(b, uint32(i))
		sends[i] = r.send(out[i], b)
	}
	back := make([]*op, pairs) // by the number that the message says
	for i := range pairs {
		r.ok(sends[i])
	}
	for i, o := range streams {
		r.gather(o, size)
		id := binary.BigEndian.Uint32(o.data)
		if int(id) >= pairs || back[id] != nil {
			r.Fatalf("connection %d got the message of %d, which was to come once", i, id)
		}
		if err := stream(id).check(o.data[4:], 4); err != nil {
			r.Fatal(err)
		}
		back[id] = r.send(in[i], o.data)
	}
	for i := range pairs {
		r.ok(back[i])
		for off := 0; off < size; {
			o := r.recv(out[i], size)
			r.ok(o)
			k := min(len(o.data), max(0, 4-off)) // of the number
			if err := stream(i).check(o.data[k:], int64(off+k)); err != nil {
				r.Fatal(err)
			}
			off += len(o.data)
		}
	}
	if s := r.p.Stats(); s.Sockets != 2*pairs+1 {
		r.Errorf("%+v with %d sockets", s, 2*pairs+1)
	}
	var closes []*op
	for i := range pairs {
		closes = append(closes, r.close(out[i], true), r.close(in[i], true))
	}
	for _, o := range closes {
		r.ok(o)
	}
}

// Completions that arrive while no goroutine dequeues are not lost, even if they are more than the
// system has room to tell of at once.
func manyUndequeued(e *env) {
	r := e.open(port.Config{})
	conns, writes := r.many(200, 30), r.many(150, 50)
	var cs []*conn
	var ops []*op
	for range conns {
		c := r.pair("tcp")
		cs, ops = append(cs, c), append(ops, r.stream(c))
	}
	r.until("post", func() bool { return r.k.posted == 0 })
	if late := r.stopWorkers(); len(late) > 0 {
		r.Fatalf("completions on idle connections: %+v", late)
	}
	var all sync.WaitGroup
	for i, c := range cs {
		all.Go(func() {
			if err := writePattern(c.peer, stream(i), 0, int64(writes), 1); err != nil {
				r.Error(err)
			}
			if i%2 == 0 {
				c.peer.CloseWrite()
			}
		})
	}
	all.Wait()
	for i := range 5000 { // and as many posts
		r.k.post(uint64(i), nil)
		r.p.Post(uint64(i), nil)
	}
	if r.mode == port.Shared {
		r.startWorkers()
	}
	for i, o := range ops {
		r.gather(o, writes)
		r.matches(o, stream(i), 0)
		if i%2 == 0 {
			r.fails(o, io.EOF)
		}
	}
}
