package netconn

import (
	"context"
	"errors"
	"net"
	"reflect"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/goid"
)

// acceptMost is how many connections wait for Accept before the server is paused, so that
// more wait in the backlog of the system. It is resumed when half of them were accepted.
const acceptMost = 1024

// Listener is a net.Listener over a server.
type Listener struct {
	srv  *proactor.Server
	addr net.Addr

	mu      sync.Mutex
	waiting sync.Cond // Accepts wait for it: a connection, or the end
	queue   []*Conn   // not accepted yet, the oldest first
	paused  bool      // the server is, for the queue is long
	ended   error     // what Accepts fail with
}

// Listen has srv listen, and gives its connections out by Accept. It sets Handler of srv, which
// must be empty, and Limits.Overflow. All other fields mean what they always do.
//
// When 1,024 connections wait for Accept the server is paused, and when half of them were accepted
// it is resumed. Server.Pause and Resume are the user's as well, and the last call counts: what the
// user has paused the Listener resumes only if it had paused it, too; and after a Resume of
// the user's, while that many wait, the next connection has the Listener pause it again.
//
// Errors are those of Server.Listen. In a callback Listen fails with [proactor.ErrOnLoop] where
// that does.
func Listen(srv *proactor.Server) (*Listener, error) {
	if !reflect.ValueOf(&srv.Handler).Elem().IsZero() {
		return nil, errors.New("netconn: Server.Handler is set, in whose place the net.Conn is")
	}
	l := &Listener{srv: srv}
	l.waiting.L = &l.mu
	srv.Handler = callbacks
	srv.Handler.Opened = l.opened
	srv.Limits.Overflow = proactor.RejectWrites
	if err := srv.Listen(); err != nil {
		srv.Handler = proactor.Handler{}
		return nil, err
	}
	l.addr = srv.ListenAddr()
	go func() {
		_ = srv.Wait() // it says no more than that the server has ended
		l.end()
	}()
	return l, nil
}

// opened is called on the loop of a connection that was accepted.
func (l *Listener) opened(pc *proactor.Conn) {
	c, err := opens(pc)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil || err != nil {
		pc.Abort()
		return
	}
	l.queue = append(l.queue, c)
	if len(l.queue) >= acceptMost { // also if it is paused: somebody may have resumed it
		l.paused = true
		_ = l.srv.Pause() // which fails when it listens no more
	}
	l.waiting.Signal()
}

// Accept waits for a connection, which is a *[Conn] or, where the server has TLS, a *tls.Conn that
// has its handshake behind it, see [Of]. After Close, and when the server has ended,
// it fails with net.ErrClosed, in a *net.OpError.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) == 0 && l.ended == nil {
		if goid.OnLoop() {
			return nil, l.opError(proactor.ErrOnLoop)
		}
		l.waiting.Wait()
	}
	if l.ended != nil {
		return nil, l.opError(l.ended)
	}
	c := l.queue[0]
	l.queue[0] = nil
	if l.queue = l.queue[1:]; len(l.queue) == 0 {
		l.queue = nil
	}
	if l.paused && len(l.queue) <= acceptMost/2 {
		l.paused = false
		_ = l.srv.Resume()
	}
	return c.given(), nil
}

// Close stops listening, and resets connections that nobody has accepted. Those that were
// accepted go on; when the last one has gone, those of Attach included, the server is
// closed, and with it an engine that it has made itself. To end them sooner, call Server.Shutdown
// or Server.Close. A second Close fails with net.ErrClosed, and one in a callback with
// [proactor.ErrOnLoop].
func (l *Listener) Close() error {
	l.mu.Lock()
	again := l.ended != nil
	l.mu.Unlock()
	if again {
		return &net.OpError{Op: "close", Net: l.addr.Network(), Addr: l.addr, Err: net.ErrClosed}
	}
	err := l.srv.StopListening()
	if err == proactor.ErrOnLoop {
		return &net.OpError{Op: "close", Net: l.addr.Network(), Addr: l.addr, Err: err}
	}
	l.end()
	go func() {
		if l.srv.WaitConns(context.Background()) == nil {
			_ = l.srv.Close()
		}
	}()
	return nil
}

// Shutdown ends the server in good order, also where some of its connections have left the service for which it
// listens, by Hijack or [Conn.Attach]. First drain ends that service: it is a method such as http.Server.Shutdown, and
// has half of the time that ctx leaves, because the others are to hear of it, too. Then [proactor.Server.Shutdown] ends
// what is left, as it always does: at the end of a message, with a FIN. From then on a Read of a request that is still
// being read fails with [proactor.ErrServerClosed]; it may still be answered. What has not ended when ctx is done is reset.
// A ctx without a deadline leaves drain all the time that it takes.
//
// The error is that of Server.Shutdown. That of drain is dropped: what drain leaves, Server.Shutdown ends. In a callback drain
// is not called, and the error is [proactor.ErrOnLoop].
func (l *Listener) Shutdown(ctx context.Context, drain func(context.Context) error) error {
	if goid.OnLoop() {
		return proactor.ErrOnLoop
	}
	half := ctx
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		half, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	_ = drain(half)
	return l.srv.Shutdown(ctx)
}

// end has Accepts fail.
func (l *Listener) end() {
	l.mu.Lock()
	queue := l.queue
	l.ended, l.queue = net.ErrClosed, nil
	l.waiting.Broadcast()
	l.mu.Unlock()
	for _, c := range queue {
		c.pc.Abort()
	}
}

// Addr returns the address at which the server listens.
func (l *Listener) Addr() net.Addr { return l.addr }

func (l *Listener) opError(err error) error {
	return &net.OpError{Op: "accept", Net: l.addr.Network(), Addr: l.addr, Err: err}
}
