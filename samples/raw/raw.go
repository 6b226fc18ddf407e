// Package raw is an echo server on the completion port itself, without the
// framework: open a port, associate sockets with it, start operations, dequeue
// completions and dispatch on the kind of each. With several workers all of
// them dequeue from one port, the classic scheme. It has two forms.
//
// In the plain form (turns.go) a connection has exactly one thing going on at a time: a
// recv, then a send of what came, then a recv again. What to look at: nothing is locked
// around a connection, although any worker may get any completion, since the worker
// that dequeued its completion is the only one to touch it. And nothing is guessed: a
// completion names its operation, with a byte count that is that operation's alone.
//
// In the duplex form (duplex.go) the main goroutine accepts, associates, and posts the
// first request of each connection to the port by hand; workers dequeue it and start
// the operation. Then a connection has a recv and a send outstanding at once. What to
// look at: an Op each, because a completion must be told from the other; and a lock
// around the connection, because two workers may have a completion of it at one time.
package raw

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/proactor-go/proactor/port"
)

// Options say how to run the server.
type Options struct {
	// Network is "tcp" or "unix". Empty: "tcp".
	Network string
	// Addr is "host:port", where an empty host is every address; or a path.
	Addr string
	// Backend forces a backend of package port. Empty: the best that works.
	Backend string
	// Workers is how many goroutines dequeue from the port. 0: one.
	Workers int
	// Duplex is the other form.
	Duplex bool
	// Trace, if set, gets a line for every port call and every completion.
	Trace io.Writer
	// Drain tells, once ctx is done, how long connections may take to end in an orderly
	// way before they are reset. nil: no time.
	Drain func() time.Duration
	// Ready, if set, is called once the server listens, with its address and
	// the port's backend.
	Ready func(addr net.Addr, backend string)
	// Log gets what an operator should know and, at the level Debug, a line for each
	// connection that was accepted or has ended. nil: slog.Default().
	Log *slog.Logger
}

const (
	bufferSize = 4096
	// retryAfter is how long the server does not accept after accept failed.
	retryAfter = 100 * time.Millisecond
)

// Keys of completions. Connections are numbered from firstConn.
const (
	keyPort     = iota // of no socket
	keyListener        // the listening socket
	keyStop            // posted: begin the orderly end
	keyQuit            // posted: the worker that gets it ends, and passes it on
	keyDeadline        // a timeout: reset what is left
	firstConn
)

// number is that of a connection, as people count.
func number(key uint64) uint64 { return key - firstConn + 1 }

// Run serves until ctx is done. Then it stops accepting, sends what it owes,
// closes its sending sides, and waits, as long as o.Drain says, for the peers to close
// theirs; connections that are left are reset.
func Run(ctx context.Context, o Options) error {
	o.Network, o.Workers, o.Log = cmp.Or(o.Network, "tcp"), max(o.Workers, 1), cmp.Or(o.Log, slog.Default())
	if o.Drain == nil {
		o.Drain = func() time.Duration { return 0 }
	}
	t := newTracer(o.Trace)
	t.call(0, "open", keyPort, nil)
	p, err := port.Open(port.Config{Backend: o.Backend, Mode: port.Shared})
	if err != nil {
		return err
	}
	t.note(0, "opened", keyPort, p.Backend())
	b := base{port: p, trace: t, log: o.Log}
	if o.Duplex {
		err = runDuplex(ctx, b, o)
	} else {
		err = runTurns(ctx, b, o)
	}
	t.call(0, "close", keyPort, nil)
	err = errors.Join(err, p.Close())
	if err == nil {
		o.Log.Info("ended", "server", "raw")
	}
	return err
}

// base is what both forms have.
type base struct {
	port  *port.Port // that the workers dequeue from
	trace *tracer
	log   *slog.Logger
}

// listen makes a listening socket on a port, which may be another one.
func (b *base) listen(p *port.Port, o Options) (listener port.Handle, at port.Addr, err error) {
	b.trace.call(0, "listen", keyListener, o.Addr)
	sock, err := p.Listen(o.Network, o.Addr, port.SocketOptions{})
	if err != nil {
		return 0, at, err
	}
	b.trace.call(0, "associate", keyListener, nil)
	if listener, err = p.Associate(sock, keyListener); err != nil {
		return 0, at, err
	}
	if at, err = p.LocalAddr(listener); err == nil {
		b.trace.note(0, "listening", keyListener, at)
	}
	return listener, at, err
}

// workers starts them. ended gets what becomes of each.
func (b *base) workers(n int, handle func(w int, c *port.Completion)) (ended chan error) {
	ended = make(chan error, n)
	for i := range n {
		go func() { ended <- b.work(i+1, handle) }()
	}
	return ended
}

// wait waits for them.
func wait(ended chan error) (err error) {
	for range cap(ended) {
		err = errors.Join(err, <-ended)
	}
	return err
}

// work is one worker: it dequeues completions of all connections, until it gets the
// order to quit.
func (b *base) work(w int, handle func(w int, c *port.Completion)) error {
	var batch [16]port.Completion
	for {
		b.trace.call(w, "dequeue", keyPort, "waits")
		n, err := b.port.Dequeue(batch[:], -1)
		if err != nil {
			return err
		}
		quit := false
		for i := range batch[:n] {
			c := &batch[i]
			b.trace.completion(w, c)
			if c.Key == keyQuit {
				quit = true
			} else {
				handle(w, c)
			}
		}
		if quit {
			b.quit(w)
			return nil
		}
	}
}

// quit tells the next worker to end.
func (b *base) quit(w int) { b.post(w, keyQuit, nil, "quit") }

func (b *base) post(w int, key uint64, op *port.Op, what string) {
	b.trace.call(w, "post", key, what)
	b.port.Post(key, op)
}

// met notes whom an accepted connection is to.
func (b *base) met(w int, key uint64, h port.Handle) (peer string) {
	a, err := b.port.RemoteAddr(h)
	if peer = a.String(); err != nil {
		peer = "?" // it has been reset already
	}
	b.trace.accepted(w, key, peer, h)
	b.log.Debug("accepted", "conn", number(key), "peer", peer)
	return peer
}

// left notes that one is closed.
func (b *base) left(key uint64, peer string) {
	b.trace.forget(key)
	b.log.Debug("closed", "conn", number(key), "peer", peer)
}
