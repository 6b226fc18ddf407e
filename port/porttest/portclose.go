package porttest

import (
	"errors"
	"io"
	"sync"

	"github.com/proactor-go/proactor/port"
)

var portCloseTests = []test{
	{name: "PortCloseUnused", run: portCloseUnused},
	{name: "PortCloseOutstanding", run: portCloseOutstanding},
}

// A port that was opened and nothing else leaves nothing.
func portCloseUnused(e *env) {
	for range 20 {
		r := e.open(port.Config{})
		r.closePort()
		r.closedPort()
	}
}

// closedPort checks what a closed port answers.
func (r *rig) closedPort() {
	r.Helper()
	var batch [1]port.Completion
	var o port.Op
	if n, err := r.p.Dequeue(batch[:], 0); n != 0 || !errors.Is(err, port.ErrPortClosed) {
		r.Errorf("dequeue: %d, %v", n, err)
	}
	for what, err := range map[string]error{
		"post":    r.p.Post(1, nil),
		"timeout": r.p.Timeout(&o, 1, 0),
		"close":   r.p.Close(),
	} {
		if !errors.Is(err, port.ErrPortClosed) {
			r.Errorf("%s: %v, want %v", what, err, port.ErrPortClosed)
		}
	}
	r.p.Cancel(&o)
	if o.InFlight() {
		r.Error("the Op of a refused timeout is in flight")
	}
}

// The close of a port ends everything: what is in flight, what was not
// dequeued, what is lent. The peers see the end of their connections, and
// nothing is left behind.
func portCloseOutstanding(e *env) {
	r := e.open(port.Config{BufferSize: 4096, BufferCount: 4})
	var peers []Peer
	pair := func() *conn {
		c := r.pairWith("tcp", port.SocketOptions{SendBuffer: 64 << 10})
		peers = append(peers, c.peer)
		return c
	}
	// Streams of which some hold buffers and the others starve.
	cs, _, writers := r.exhaust(4096, 4, 6, 20_000)
	for _, c := range cs {
		peers = append(peers, c.peer)
	}
	var ops []*op
	for i := range 5 {
		ops = append(ops, r.recv(pair(), 100))
		ops = append(ops, r.send(pair(), make([]byte, jam)))
		both := pair()
		ops = append(ops, r.send(both, make([]byte, jam)), r.shutdown(both))
		if i < 2 { // a close that waits for its operations
			ops = append(ops, r.close(pair(), i == 0))
		}
		ops = append(ops, r.timeout(hour), r.timeout(0))
	}
	// Connections that are accepted, or will be, and not dequeued.
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	ops = append(ops, r.arm(l))
	ops = append(ops, r.connect(r.connector(l.addr, port.SocketOptions{}), l.addr))
	r.k.post(1, nil)
	r.p.Post(1, nil)
	for range 5 {
		c, err := r.b.Dial("tcp", l.addr.String())
		if err != nil {
			r.Fatal(err)
		}
		peers = append(peers, r.own(c))
	}
	r.closePort()
	for _, o := range ops {
		if o.InFlight() {
			r.Errorf("a %v is in flight after the close of its port", o.kind)
		}
	}
	r.closedPort()
	for _, w := range writers {
		<-w.done // the peer's deadline bounds it
	}
	var all sync.WaitGroup
	for i, p := range peers {
		all.Go(func() {
			if _, err := io.Copy(io.Discard, p); err != nil && !isReset(err) {
				r.Errorf("peer %d sees %v instead of the end", i, err)
			}
		})
	}
	all.Wait()
}
