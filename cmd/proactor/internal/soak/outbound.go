package soak

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// peer is the far side of what the engine dials: a plain server on package net,
// which echoes, closes and resets as the frames ask it to.
type peer struct {
	run      *run
	listener net.Listener
	conns    sync.WaitGroup
}

func (r *run) newPeer() (*peer, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &peer{run: r, listener: l}
	p.conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.serve(c.(*net.TCPConn)) })
		}
	})
	return p, nil
}

// serve has one connection, and closes its account.
func (p *peer) serve(c *net.TCPConn) {
	defer c.Close()
	var (
		f    far
		id   uint64
		want *stream
		b    = make([]byte, headerLen+maxPayload)
	)
	defer func() {
		if want != nil {
			p.run.ledger.closeFar(id, f)
		}
	}()
	// Nothing is owed to who says nothing for long; the near side notices.
	for c.SetDeadline(time.Now().Add(2*p.run.opt.patience)) == nil {
		n, err := io.ReadFull(c, b[:headerLen])
		if err != nil {
			f.received += int64(n)
			return
		}
		if want == nil {
			way := p.run.ledger.meet(numberOf(b))
			if way == nil {
				return
			}
			id = numberOf(b)
			want = newStream(p.run.opt.Seed, id, way)
		}
		if !want.check(b[:headerLen]) {
			p.run.violated(invBytes, "connection %#x: its peer received a wrong header after %d bytes", id, f.received)
			return
		}
		whole := b[:headerLen+want.rest()]
		n, err = io.ReadFull(c, whole[headerLen:])
		f.received += int64(headerLen + n)
		if !want.check(whole[headerLen : headerLen+n]) {
			p.run.violated(invBytes, "connection %#x: its peer received something else than was sent after %d bytes", id, f.received)
			return
		}
		if err != nil {
			return
		}
		if b[0] == askReset {
			c.SetLinger(0)
			return
		}
		n, err = c.Write(whole)
		f.written += int64(n)
		if err != nil {
			return
		}
		if b[0] == askClose {
			// A close with bytes unread would be a reset; there are none, for the
			// last frame has been read.
			return
		}
	}
}

// call is the near side of a connection that the engine has dialed. All of it
// is of the connection's loop.
type call struct {
	run            *run
	id             uint64
	out, in        *stream
	rng            *rand.Rand
	sent, received int64
}

// calls is the handler of a dialer whose connections are numbered from number
// on; each asks way which it is. gone, where it is not nil, is told of each that
// has ended.
func (r *run) calls(number uint64, choose func(n uint64) *way, gone chan<- struct{}) proactor.Handler {
	var n uint64 // connections of one dialer are opened one after the other
	return proactor.Handler{
		Opened: func(c *proactor.Conn) {
			n++
			id, w := number<<32|n, choose(n)
			k := &call{
				run: r, id: id, out: newStream(r.opt.Seed, id, w), in: newStream(r.opt.Seed, id, w),
				rng: rand.New(rand.NewPCG(r.opt.Seed, ^id)),
			}
			r.ledger.begin(id, w, nil)
			c.SetValue(k)
			c.SetReadTimeout(r.opt.patience)
			k.speak(c)
		},
		Data: func(c *proactor.Conn, p []byte) int {
			c.Value().(*call).heard(c, p)
			return len(p)
		},
		Closed: func(c *proactor.Conn, cause error) {
			c.Value().(*call).ended(cause)
			if gone != nil {
				gone <- struct{}{}
			}
		},
	}
}

// speak sends a few frames.
func (k *call) speak(c *proactor.Conn) {
	for range between(k.rng, [2]int{1, 3}) {
		first := k.out.piece(headerLen)
		if first == nil {
			break
		}
		f := append(make([]byte, 0, headerLen+k.out.rest()), first...)
		f = f[:cap(f)]
		k.out.fill(f[headerLen:])
		if _, err := c.Write(f); err != nil {
			if !errors.Is(err, proactor.ErrClosed) || !k.run.over() {
				k.run.violated(invWrite, "connection %#x (%s): %v", k.id, k.out.way.name, err)
			}
			return
		}
		k.sent += int64(len(f))
		k.run.count.dialedBytes.Add(int64(len(f)))
	}
	if k.out.ended() && k.out.way.last == 0 {
		c.CloseWrite()
	}
}

// heard checks what came back. When that is all, it goes on after a while.
func (k *call) heard(c *proactor.Conn, p []byte) {
	if k.received+int64(len(p)) > k.sent || !k.in.check(p) {
		k.run.violated(invBytes, "connection %#x (%s): what came back is wrong after byte %d", k.id, k.out.way.name, k.received)
		c.Abort()
		return
	}
	k.received += int64(len(p))
	if k.received == k.sent && !k.out.ended() {
		c.After(between(k.rng, [2]time.Duration{0, 10 * ms}), func() { k.speak(c) })
	}
}

// ended closes the account.
func (k *call) ended(cause error) {
	n := near{sent: k.sent, received: k.received, err: cause}
	all := k.out.ended() && k.received == k.sent
	switch {
	case errors.Is(cause, proactor.ErrReadTimeout):
		n.end = endFailed
		k.run.violated(invStuck, "connection %#x (%s) has waited %v", k.id, k.out.way.name, k.run.opt.patience)
	case errors.Is(cause, proactor.ErrLocalClosed) && k.run.over():
		n.end = endStopped
	case errors.Is(cause, proactor.ErrPeerClosed) && all:
		n.end = endOrderly
	case errors.Is(cause, proactor.ErrPeerClosed):
		n.end = endCut
	case errors.Is(cause, port.ErrReset) && k.out.way.last == askReset && k.out.ended():
		n.end = endBroken
	default:
		n.end = endFailed
		k.run.violated(invReset, "connection %#x (%s) ended with: %v", k.id, k.out.way.name, cause)
	}
	k.run.ledger.closeNear(k.id, n)
}

// keep has a Redialer connected to the peer.
func (r *run) keep(number uint64) *proactor.Redialer {
	k := &proactor.Redialer{
		Dialer: &proactor.Dialer{Engine: r.engine, Limits: limits, Timeout: r.opt.patience, Handler: r.calls(number, func(n uint64) *way {
			if (number+n)%2 == 0 {
				return wayKeptReset
			}
			return wayKept
		}, nil)},
		Network: "tcp4", Address: r.peer.listener.Addr().String(), MinWait: 5 * ms, MaxWait: 100 * ms,
	}
	if err := k.Start(); err != nil {
		panic(err) // it starts once
	}
	return k
}

// dial has connections to the peer, one after the other, until the run ends.
func (r *run) dial(number uint64) {
	rng := rand.New(rand.NewPCG(r.opt.Seed, number))
	gone := make(chan struct{}, 1)
	d := &proactor.Dialer{Engine: r.engine, Limits: limits, Timeout: r.opt.patience, Handler: r.calls(number, func(uint64) *way { return wayDialed }, gone)}
	for !r.over() {
		if _, err := d.Dial(context.Background(), "tcp4", r.peer.listener.Addr().String()); err != nil {
			r.violated(invConnect, "a dial of the engine: %v", err)
			return
		}
		<-gone
		select {
		case <-time.After(between(rng, [2]time.Duration{0, wayDialed.rest})):
		case <-r.ending:
		}
	}
}
