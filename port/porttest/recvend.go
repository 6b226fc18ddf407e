package porttest

import (
	"errors"
	"io"
	"runtime"
	"time"

	"github.com/proactor-go/proactor/port"
)

// keepsBeforeReset reports whether bytes that came before a reset are delivered all
// the same. A system may drop them (RFC 9293, 3.10.7.4).
func (e *env) keepsBeforeReset() bool { return runtime.GOOS == "linux" && !e.b.Memory }

// Bytes and the end right behind them, both before the first look, are both told:
// a streamed recv that was armed before gets the byte, then the end.
func endRightBehindData(e *env) {
	for _, v := range []struct {
		network string
		end     func(Peer) error
		want    error
	}{
		{"tcp", reset, port.ErrReset},
		{"tcp", Peer.Close, io.EOF},
		{"tcp", Peer.CloseWrite, io.EOF},
		{"unix", Peer.Close, io.EOF},
		{"unix", Peer.CloseWrite, io.EOF},
	} {
		if why := exempt(e.b.Name, "EndRightBehindData/Reset"); v.want == port.ErrReset && why != "" {
			e.Logf("exception: %s", why)
			continue
		}
		e.need(v.network)
		r := e.open(port.Config{})
		ops := make([]*op, r.many(60, 20))
		conns := make([]*conn, len(ops))
		for i := range ops {
			conns[i] = r.pair(v.network)
			ops[i] = r.stream(conns[i])
		}
		r.await(r.do(func() error { return nil })) // they are armed
		peers := r.do(func() error {
			for i, c := range conns {
				if err := writePattern(c.peer, stream(i), 0, 1, 1); err != nil {
					return err
				}
				if err := v.end(c.peer); err != nil {
					return err
				}
			}
			return nil
		})
		<-peers.done // an Exclusive port is not looked at meanwhile
		r.await(peers)
		for i, o := range ops {
			r.fails(o, v.want)
			r.matches(o, stream(i), 0)
			if n := len(o.data); n != 1 && (v.want == io.EOF || e.keepsBeforeReset()) {
				r.Errorf("%s: %d bytes before %v, want 1", v.network, n, v.want)
			}
		}
	}
}

// Clients that write and reset at once are all seen to end, whichever step of the
// accept and the recv they meet. The last one ends its stream in good order.
func resetRightBehindAccept(e *env) {
	clients := e.n(6000, 500)
	if family(e.b.Name) != "uring" { // which may tell of the reset together with bytes
		clients = min(clients, e.many(6000, 1500))
	}
	if e.b.Memory {
		clients = 100
	}
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	a := r.arm(l)
	one := stream(1).bytes(0, 1)
	peers := r.do(func() error {
		for i := range clients {
			c, err := r.b.Dial("tcp", l.addr.String())
			if err != nil {
				return err
			}
			if i < clients-1 {
				if err := c.SetLinger(0); err != nil { // Close resets
					return err
				}
			}
			if !e.b.Memory { // up to 10 µs, which decide what of the accept and the recv this meets
				for at := time.Now().Add(time.Duration(i%100) * 100 * time.Nanosecond); time.Now().Before(at); {
				}
			}
			if _, err := c.Write(one); err != nil {
				return err
			}
			if err := c.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	streams := map[*op]*conn{}
	complete := false
	r.until("the end of each connection", func() bool {
		for _, s := range a.sockets {
			c := &conn{}
			c.h, c.key = r.associate(s)
			streams[r.stream(c)] = c
		}
		a.sockets = nil
		for o, c := range streams {
			if o.flying {
				continue
			}
			delete(streams, o)
			whole := o.last.Err == io.EOF && !complete
			if !whole && !errors.Is(o.last.Err, port.ErrReset) {
				r.Errorf("a connection that was reset ended with %v", o.last.Err)
			}
			complete = complete || whole
			r.matches(o, 1, 0)
			if n := len(o.data); n != 1 && (whole || r.keepsBeforeReset()) {
				r.Errorf("%d bytes before %v, want 1", n, o.last.Err)
			}
			r.close(c, false)
		}
		return complete && len(streams) == 0
	})
	r.await(peers)
}
