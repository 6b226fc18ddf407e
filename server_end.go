package proactor

import (
	"context"
	"errors"
)

// Shutdown ends the server in an orderly way. It stops accepting, and ends each
// connection at a boundary between messages, as net/http does between requests: what is
// incomplete is read on and given to the handler, until ctx is done.
//
// First Handler.Stopping is called, once for each connection. Then those end that are at a
// boundary, the others when they come to one: after the next message or, with Data, where
// nothing of what was received is left unconsumed. If the peer of a handler with Data sends
// without a pause, there may be no such moment: the handler makes one, once Stopping was
// called, by returning all of p as consumed after a message. What the peer sends behind the
// boundary is not delivered.
//
// A connection whose handler has no Ended is closed there: what waits to be sent goes out,
// then a FIN, and the peer's is awaited. A handler with Ended is told, and closes the
// connection when it has written what it owes: a handler that answers later than it
// returns needs one; those of package work have it. A relay knows no messages: it ends at
// once, and Ended decides what becomes of the other side.
//
// Connections that are left when ctx is done are reset, and Shutdown returns ctx's error.
//
// Any number of Shutdowns and Closes may be called, at the same time or later: each
// returns when nothing is left, at once where nothing was, also where the server was not
// started: Listen fails with [ErrServerClosed] from then on. One that is in progress fails
// so when it has closed what it made. A Close, or a
// Shutdown whose ctx is done, resets what the others wait for. In a callback both
// fail with [ErrOnLoop], and do nothing: start a goroutine that calls them.
//
// On Windows a console that is closed, a logoff and a shutdown come as SIGTERM, and
// the process is ended about 5 s later: give ctx 4 s there.
func (s *Server) Shutdown(ctx context.Context) error {
	if waits, err := s.stop(false); !waits {
		return err
	}
	for _, l := range s.engine.loops {
		l.do(func() { l.drain(s) })
	}
	select {
	case <-s.empty:
		s.finish()
		return nil
	default:
	}
	select {
	case <-s.empty:
		s.finish()
		return nil
	case <-ctx.Done():
		s.engine.settle()
		s.abort()
		return ctx.Err()
	}
}

// Close ends the server at once: connections are reset, those too that a Shutdown
// waits for. It returns when every Closed callback was made, see [Server.Shutdown].
func (s *Server) Close() error {
	waits, err := s.stop(true)
	if waits {
		s.abort()
	}
	return err
}

// stop closes the listener and waits for that. Where nothing is left to wait for,
// or the caller must not wait, it says so.
func (s *Server) stop(reset bool) (waits bool, err error) {
	s.mu.Lock()
	ended := s.ended
	served := s.served()
	if !served { // Listen, if it is in progress, will see it, and close what it made
		s.state.Store(stopping)
	}
	s.mu.Unlock()
	if !served {
		return false, nil
	}
	select {
	case <-ended:
		return false, nil
	default:
	}
	if s.engine.onLoop() {
		return false, ErrOnLoop
	}
	if reset {
		s.resets.Store(true)
	}
	s.mu.Lock()
	if s.state.CompareAndSwap(serving, stopping) {
		close(s.quit)
		s.everyListener((*listener).close)
		s.noteEmpty()
	}
	s.mu.Unlock()
	// Where listening was stopped before, connections may still wait for room: when they
	// are dropped, no further one comes to a loop.
	for _, ln := range s.listeners {
		s.on(ln.loop, func() error { ln.close(); return nil })
	}
	<-s.listenersClosed
	s.engine.settle()
	return true, nil
}

// served reports whether the server serves, or did. mu is held.
func (s *Server) served() bool {
	return s.state.Load() == serving || s.quit != nil && isClosed(s.quit)
}

// StopListening closes the listening socket, so that the address is free for another
// server, and waits for that. Connections that were accepted live on, those too that
// wait for room below MaxConns; what waited in the backlog is reset by the system,
// unless another process has the listeners by [Server.Files]. The server goes on until
// Shutdown, Close, or the end of its engine; it cannot listen again. Where it does not
// listen any more it does nothing.
//
// The error is [ErrServerClosed] after Shutdown or Close, another before Listen, and in a
// callback [ErrOnLoop].
func (s *Server) StopListening() error {
	s.mu.Lock()
	state := s.state.Load()
	s.mu.Unlock()
	switch {
	case state == stopping:
		return ErrServerClosed
	case state != serving:
		return errors.New("StopListening before Listen")
	case s.engine.onLoop():
		return ErrOnLoop
	}
	s.everyListener((*listener).stop)
	<-s.listenersClosed
	s.engine.settle()
	return nil
}

// WaitConns waits until the server does not accept any more and no connection of it is left. It
// ends nothing itself: that is done by StopListening and the connections' ends, or by Shutdown,
// Close, or the end of the engine. It may be called before them, and any number of times. More may
// come by Adopt after it has returned.
//
// The error is that of ctx, if ctx is done first; another one if neither Listen nor Start was
// called; and in a callback [ErrOnLoop].
func (s *Server) WaitConns(ctx context.Context) error {
	s.mu.Lock()
	served := s.served()
	s.mu.Unlock()
	if !served {
		return errors.New("WaitConns before Listen")
	}
	if err := s.engine.mayWait(); err != nil {
		return err
	}
	s.mu.Lock()
	idle := s.idle
	if idle == nil {
		idle = make(chan struct{})
		s.idle = idle
		s.noteEmpty()
	}
	s.mu.Unlock()
	select {
	case <-idle:
		s.engine.settle()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// everyListener runs f for each listener, on its loop, soon. Where that has ended, the
// listener has, too.
func (s *Server) everyListener(f func(*listener)) {
	for _, ln := range s.listeners {
		ln.loop.do(func() { f(ln) })
	}
}

// abort resets all connections and waits until they are gone.
func (s *Server) abort() {
	s.resets.Store(true)
	s.everyConn(func(c *Conn) { c.abort(ErrServerClosed) })
	<-s.empty
	s.finish()
}

// everyConn runs f for each connection of the server, on its loop, soon. f must not
// make a callback.
func (s *Server) everyConn(f func(*Conn)) {
	for _, l := range s.engine.loops {
		l.do(func() {
			for c := range l.of(s) {
				f(c)
			}
		})
	}
}

// finish ends what the server made itself, when it is empty.
func (s *Server) finish() {
	s.engine.settle()
	s.finished.Do(func() {
		if s.Engine == nil {
			s.engine.close()
		}
		close(s.ended)
	})
}

// left notes that a connection is gone. There is room again below MaxConns.
func (s *Server) left() {
	if s.live.Add(-1) == 0 {
		s.checkEmpty()
	}
	if s.MaxConns > 0 {
		s.everyListener((*listener).room)
	}
}

// checkEmpty is called when the last connection has gone, when none is accepted any more, and
// when the server begins to end: whichever is later.
func (s *Server) checkEmpty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noteEmpty()
}

// noteEmpty is checkEmpty with mu held.
func (s *Server) noteEmpty() {
	if !s.isIdle() {
		return
	}
	if s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	if s.state.Load() == stopping && !isClosed(s.empty) {
		close(s.empty)
	}
}

// isIdle reports whether no connection is left, and none is accepted any more. mu is held.
func (s *Server) isIdle() bool {
	return isClosed(s.listenersClosed) && s.waiting.Load() == 0 && s.live.Load() == 0 // in this order, see room
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
