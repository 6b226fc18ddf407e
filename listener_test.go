package proactor

import (
	"net"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
)

// queue is a server under test whose listener is given sockets as if it had accepted
// them, and the connections that were opened.
type queue struct {
	*testing.T
	*Server
	backend string
	opened  chan *Conn
}

func newQueue(t *testing.T, backend string, s *Server) *queue {
	t.Helper()
	q := &queue{t, s, backend, make(chan *Conn, 100)}
	s.Network, s.Addr, s.Engine = "tcp4", "127.0.0.1:0", newTestEngine(t, Config{Backend: backend, Loops: 2})
	s.Handler.Opened = func(c *Conn) { q.opened <- c }
	s.Handler.Data = func(c *Conn, p []byte) int { c.Write(p); return len(p) }
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	return q
}

// accepted is the next connection that is opened.
func (q *queue) accepted() *Conn {
	q.Helper()
	return must.Take(q.T, "Opened", q.opened)
}

// give has the listener hand a socket on.
func (q *queue) give(s port.Socket) {
	ln := q.listeners[0]
	ln.loop.do(func() { ln.give(s) })
}

// waits waits until so many were accepted and have no room below MaxConns.
func (q *queue) waits(n int64) {
	q.Helper()
	must.Eventually(q.T, "so many wait for room", func() bool { return q.waiting.Load() == n })
}

// sockets accepts connections at a port of its own.
func (q *queue) sockets(n int) (sockets []port.Socket, peers []net.Conn) {
	q.Helper()
	p := q.port()
	defer p.Close()
	l, err := p.Listen("tcp4", "127.0.0.1:0", port.SocketOptions{})
	if err != nil {
		q.Fatal(err)
	}
	h, err := p.Associate(l, 0)
	if err != nil {
		q.Fatal(err)
	}
	at, err := p.LocalAddr(h)
	if err != nil {
		q.Fatal(err)
	}
	var op port.Op
	if err := p.Accept(&op, h); err != nil {
		q.Fatal(err)
	}
	for range n {
		peers = append(peers, must.Dial(q.T, net.TCPAddrFromAddrPort(at.AddrPort)))
		var batch [1]port.Completion
		if got, err := p.Dequeue(batch[:], must.Patience); err != nil || got != 1 || batch[0].Err != nil {
			q.Fatalf("accept: %d completions, %v, %v", got, err, batch[0].Err)
		}
		sockets = append(sockets, batch[0].Socket)
	}
	return sockets, peers
}

// discard closes a socket that the server believes it holds.
func (q *queue) discard(s port.Socket) {
	q.Helper()
	p := q.port()
	p.Discard(s)
	p.Close()
}

func (q *queue) port() *port.Port {
	q.Helper()
	p, err := port.Open(port.Config{Backend: q.backend, BufferCount: 8})
	if err != nil {
		q.Fatal(err)
	}
	return p
}

// Connections that wait for room have it in the order of accepts. A connection that is accepted
// while there is room, and that room is not given to them yet, comes after them.
func TestWaitingKeepTheirPlace(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		q := newQueue(t, backend, &Server{MaxConns: 1, MaxConnsPerPeer: 100})
		must.Dial(t, q.ListenAddr())
		holder := q.accepted()
		if q.home == holder.loop {
			t.Fatal("the first connection is on the loop that accepts")
		}
		sockets, peers := q.sockets(4)
		q.give(sockets[0])
		q.waits(1)
		release := holdLoop(t, q.home)
		q.give(sockets[1]) // before the news of room
		holder.Abort()
		must.Eventually(t, "it has gone", func() bool { return q.Conns() == 0 })
		release()
		last := holder
		for i := range 2 {
			c := q.accepted()
			if got, want := c.RemoteAddr().String(), peers[i].LocalAddr().String(); got != want || c.ID() <= last.ID() {
				t.Fatalf("number %d, ID %d after %d, is %s, want %s", i, c.ID(), last.ID(), got, want)
			}
			last = c
			if i == 0 {
				c.Abort()
			}
		}
		// These wait in vain: the socket of one is closed before it has room, and
		// the server before the other has. They are not counted for ever.
		q.give(sockets[2])
		q.waits(1)
		q.discard(sockets[2])
		last.Abort()
		must.Eventually(t, "it has failed", func() bool { return q.waiting.Load() == 0 && q.Conns() == 0 })
		peer := must.Dial(t, q.ListenAddr())
		for q.accepted().RemoteAddr().String() != peer.LocalAddr().String() { // the one that has failed may be opened before
		}
		q.give(sockets[3])
		q.waits(1)
		if n := q.peers.All(); n != 2 {
			t.Errorf("%d connections are counted for their peers, want 2", n)
		}
		must.Within(t, "Close", q.Close)
		if n := q.peers.All(); n != 0 {
			t.Errorf("after Close, %d connections are counted for their peers", n)
		}
	})
}

// What was accepted and is no socket is dropped, and accepting goes on.
func TestAcceptedNoSocket(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		q := newQueue(t, backend, &Server{})
		for range 3 {
			q.give(port.Socket(1 << 20))
			must.Ask(t, must.Dial(t, q.ListenAddr()), "behind it")
		}
		must.Eventually(t, "only good ones are left", func() bool { return q.Conns() == 3 })
	})
}

// A server that has stopped listening serves those that wait for room.
func TestStopListeningWhileOneWaits(t *testing.T) {
	porttest.Each(t, func(t *testing.T, backend string) {
		for _, served := range []bool{true, false} {
			q := newQueue(t, backend, &Server{MaxConns: 1})
			first := must.Dial(t, q.ListenAddr())
			must.Ask(t, first, "one")
			sockets, peers := q.sockets(1)
			q.give(sockets[0])
			q.waits(1)
			left := make(chan error, 1)
			go func() { left <- q.WaitConns(must.Context(t)) }()
			must.Within(t, "StopListening", q.StopListening)
			if served {
				first.Close()
				must.Ask(t, peers[0], "there is room")
				select {
				case err := <-left:
					t.Errorf("WaitConns ended: %v", err)
				default:
				}
				peers[0].Close()
				if err := must.Take(t, "WaitConns", left); err != nil {
					t.Errorf("WaitConns: %v", err)
				}
			}
			must.Within(t, "Close", q.Close)
			if !served {
				if err := must.Take(t, "WaitConns", left); err != nil {
					t.Errorf("WaitConns, after Close: %v", err)
				}
			}
			if n := q.waiting.Load(); n != 0 {
				t.Errorf("after Close, %d wait for room", n)
			}
		}
	})
}
