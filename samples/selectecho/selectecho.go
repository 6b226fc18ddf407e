// Package selectecho is the other way to write a server: readiness instead of
// completion. One goroutine asks the system which of its sockets are ready, and
// then reads and writes them itself. It is the baseline to compare the
// framework with, and does not use it.
//
// What to look at: each connection has one buffer. It is polled for reading
// only while the buffer has room, and for writing only while the buffer holds
// something. So a client that does not read is not read either, and memory is
// bounded without any further rule. Set that beside samples/raw, where the
// system tells what it has done instead of what could be done now.
package selectecho

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/proactor-go/proactor/port/pollset"
)

// Options say how to run the server.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// Drain tells, once ctx is done, how long connections may take to end in an orderly
	// way before they are reset. nil: no time.
	Drain func() time.Duration
	// Ready, if set, is called once the server listens, with its address.
	Ready func(net.Addr)
	// Log gets what an operator should know and, at the level Debug, a line for each
	// connection that was accepted or has ended. nil: slog.Default().
	Log *slog.Logger
}

const bufferSize = 1024

// conn is one connection. Its entry in the poll set has the same place in
// server.set as the conn in server.conns.
type conn struct {
	sock    pollset.Socket
	id      uint64
	held    int  // bytes of buf that wait to be written
	eof     bool // the peer's FIN was read
	leaving bool // the server stops: what comes now is dropped
	fin     bool // our FIN is out
	ended   bool
	buf     [bufferSize]byte
}

// The first places of the poll set are not those of connections.
const (
	placeWaker = iota
	placeListener
	placeConns
)

type server struct {
	set      []pollset.Entry
	conns    []*conn // nil up to placeConns
	listener pollset.Socket
	deaf     bool // does not accept for now: out of descriptors
	stopping bool
	deadline time.Time // of stopping
	log      *slog.Logger
	accepted uint64
}

// Run serves until ctx is done. Then it stops accepting, writes what it owes,
// closes its sending sides, and waits, as long as o.Drain says, for the peers to close
// theirs; connections that are left are reset.
func Run(ctx context.Context, o Options) error {
	if o.Drain == nil {
		o.Drain = func() time.Duration { return 0 }
	}
	tcp, err := net.ResolveTCPAddr("tcp", o.Addr)
	if err != nil {
		return err
	}
	addr := tcp.AddrPort()
	if !addr.Addr().IsValid() {
		addr = netip.AddrPortFrom(netip.IPv6Unspecified(), addr.Port())
	}
	waker, err := pollset.NewWaker()
	if err != nil {
		return err
	}
	defer waker.Close()
	s := &server{log: cmp.Or(o.Log, slog.Default())}
	if s.listener, err = pollset.Listen(netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())); err != nil {
		return err
	}
	defer func() {
		if s.listener != pollset.NoSocket {
			s.listener.Close()
		}
		for _, c := range s.conns[placeConns:] {
			c.sock.Abort()
		}
	}()
	s.set = []pollset.Entry{pollset.Watch(waker.Socket(), pollset.Readable), pollset.Watch(s.listener, pollset.Readable)}
	s.conns = make([]*conn, placeConns)

	woken := make(chan struct{}) // closed when Wake is not under way
	unwatch := context.AfterFunc(ctx, func() { waker.Wake(); close(woken) })
	defer func() {
		if !unwatch() {
			<-woken
		}
	}()
	if o.Ready != nil {
		o.Ready(net.TCPAddrFromAddrPort(s.listener.LocalAddr()))
	}
	for {
		if ctx.Err() != nil && !s.stopping {
			s.stop(o.Drain())
		}
		if s.stopping && (len(s.conns) == placeConns || !time.Now().Before(s.deadline)) {
			s.stopped()
			return nil
		}
		if _, err := pollset.Poll(s.set, s.patience()); err != nil {
			return err
		}
		if s.set[placeWaker].Got() != 0 {
			waker.Clear()
		}
		s.serveConns()
		if err := s.accept(); err != nil {
			return err
		}
	}
}

// patience is how long to poll at most.
func (s *server) patience() time.Duration {
	switch {
	case s.stopping:
		return max(time.Until(s.deadline), 0)
	case s.deaf:
		return 100 * time.Millisecond
	}
	return -1
}

// serveConns does what each connection is ready for. A connection that ends
// gives its place to the last one, which is why this counts down.
func (s *server) serveConns() {
	for i := len(s.conns) - 1; i >= placeConns; i-- {
		if got := s.set[i].Got(); got != 0 {
			s.conns[i].serve(got)
			s.update(i)
		}
	}
}

// update polls the connection for what it wants now, or removes it.
func (s *server) update(i int) {
	if !s.conns[i].ended {
		s.set[i].Want(s.conns[i].wants())
		return
	}
	s.log.Debug("closed", "conn", s.conns[i].id)
	s.conns[i].sock.Close()
	last := len(s.conns) - 1
	s.conns[i], s.set[i] = s.conns[last], s.set[last]
	s.conns[last] = nil
	s.conns, s.set = s.conns[:last], s.set[:last]
}

// stop begins the orderly end. From now on connections write what they hold,
// send a FIN, and wait for the peer's.
func (s *server) stop(drain time.Duration) {
	s.log.Info("draining", "server", "select", "conns", len(s.conns)-placeConns, "for", drain)
	s.stopping, s.deadline = true, time.Now().Add(drain)
	s.listener.Close()
	s.listener = pollset.NoSocket
	s.set[placeListener] = s.set[placeWaker] // keeps the places of the others
	for i := len(s.conns) - 1; i >= placeConns; i-- {
		s.conns[i].leaving = true
		s.conns[i].write()
		s.update(i)
	}
}

// stopped says how the end was.
func (s *server) stopped() {
	if left := len(s.conns) - placeConns; left > 0 {
		s.log.Warn("connections were reset: they did not end in time", "server", "select", "conns", left)
	}
	s.log.Info("ended", "server", "select")
}

// accept takes the connections that wait. Out of descriptors, it looks again
// after a while: poll would tell of them all the time.
func (s *server) accept() error {
	if s.stopping || !s.deaf && s.set[placeListener].Got() == 0 {
		return nil
	}
	s.deaf = false
	for {
		sock, err := s.listener.Accept()
		switch {
		case err == nil:
			s.accepted++
			c := &conn{sock: sock, id: s.accepted}
			s.log.Debug("accepted", "conn", c.id)
			s.conns = append(s.conns, c)
			s.set = append(s.set, pollset.Watch(sock, c.wants()))
			continue
		case errors.Is(err, pollset.ErrGone):
			continue
		case errors.Is(err, pollset.ErrExhausted):
			s.deaf = true
			s.set[placeListener].Want(0)
			return nil
		case errors.Is(err, pollset.ErrNotReady):
			s.set[placeListener].Want(pollset.Readable)
			return nil
		}
		return err
	}
}

// wants is what to poll a connection for.
func (c *conn) wants() (w pollset.Events) {
	if c.held < len(c.buf) && !c.eof {
		w |= pollset.Readable
	}
	if c.held > 0 {
		w |= pollset.Writable
	}
	return w
}

// serve reads and writes as far as the connection is ready. What was read is
// written at once; poll is only asked for what could not be.
func (c *conn) serve(got pollset.Events) {
	if got&(pollset.Readable|pollset.Failed) != 0 && c.held < len(c.buf) && !c.eof {
		n, err := c.sock.Read(c.buf[c.held:])
		switch {
		case err == nil && !c.leaving:
			c.held += n
		case err == io.EOF:
			c.eof = true
		case err != nil && !errors.Is(err, pollset.ErrNotReady):
			c.ended = true
			return
		}
	}
	c.write()
}

// write writes what is held. All that is owed goes out before the FIN, also
// when the peer has sent its own.
func (c *conn) write() {
	if c.held > 0 {
		n, err := c.sock.Write(c.buf[:c.held])
		if err != nil && !errors.Is(err, pollset.ErrNotReady) {
			c.ended = true
			return
		}
		copy(c.buf[:], c.buf[n:c.held])
		c.held -= n
	}
	switch {
	case c.held > 0:
	case c.eof:
		c.ended = true
	case c.leaving && !c.fin:
		c.fin = true
		c.ended = c.sock.CloseWrite() != nil
	}
}
