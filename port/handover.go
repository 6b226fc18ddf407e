package port

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
)

// This file has the ways of a socket into a port from elsewhere, and out of it.

// Adopt makes a Socket of a duplicate of f, a stream socket that was made elsewhere: a listener
// or a connection, of TCP or Unix. It sets those options that an existing socket can still
// get and its protocol has. f remains the caller's, to be closed by it. While the port has the
// socket, nothing may receive or send through another descriptor of it; accepts through
// others are allowed. When a Unix listener is closed, its path stays: its maker has to remove
// it. Any goroutine may call Adopt.
//
// It fails with [ErrInvalid] if f is no such socket, and with [ErrUnsupported] on a simulated
// network and on a Windows that cannot take a socket off the port of Go's runtime.
func (p *Port) Adopt(f *os.File, o SocketOptions) (Socket, error) {
	o, err := o.checked()
	if err != nil {
		return NoSocket, fmt.Errorf("adopt: %w", err)
	}
	sk, listens, err := p.b.inherit(f, o)
	if err != nil {
		return NoSocket, fmt.Errorf("adopt: %w", sysErrorOnce(0, err))
	}
	sk |= shared
	if listens {
		sk |= listening
	}
	return sk, nil
}

// AdoptNet is [Port.Adopt] for a socket of package net: a *net.TCPConn, *net.UnixConn,
// *net.TCPListener, *net.UnixListener, or what else has their File method. s remains the
// caller's, to be closed by it, and must not be used any more until then. On a simulated
// network s is a [*SimConn] of that network, which is closed when AdoptNet returns without an
// error. Any goroutine may call AdoptNet.
//
// Its errors are those of Adopt. It fails with [ErrUnsupported] if s has no File method, as a
// *tls.Conn has none, and on Windows if the system cannot take the socket off the port of Go's
// runtime.
func (p *Port) AdoptNet(s io.Closer, o SocketOptions) (Socket, error) {
	if b, ok := p.b.(*sim); ok {
		return b.adopt(s, o)
	}
	src, ok := s.(interface{ File() (*os.File, error) })
	if !ok {
		return NoSocket, &Error{Class: ErrUnsupported, Hint: fmt.Sprintf("a %T has no descriptor", s)}
	}
	f, err := src.File()
	if err != nil && runtime.GOOS == "windows" && !errors.Is(err, net.ErrClosed) {
		err = &Error{Class: ErrUnsupported, Sys: err, Hint: "the system does not take a socket off the port of Go's runtime"}
	}
	if err != nil {
		return NoSocket, err
	}
	defer f.Close()
	return p.Adopt(f, o)
}

// IsListener reports whether the Socket is a listener, made by [Port.Listen] or
// [Port.Adopt].
func (s Socket) IsListener() bool { return s != NoSocket && s&listening != 0 }

// File returns a duplicate of the socket's descriptor, for another process or another part of this
// one. The caller must close it. From then on a close of this listener by the port does not affect
// other descriptors of it, and leaves the path of a Unix socket. The same goroutines may call it
// as Accept.
//
// It fails with [ErrClosed], with an error of the system, or with [ErrUnsupported], on Windows
// and on a simulated network.
func (p *Port) File(h Handle) (*os.File, error) {
	p.lock()
	defer p.unlock()
	s := p.socks.get(h)
	if s == nil || s.isClosing() {
		return nil, ErrClosed
	}
	b, ok := p.b.(releaser)
	if !ok {
		return nil, &Error{Class: ErrUnsupported, Hint: "a socket cannot leave a completion port of Windows"}
	}
	f, err := b.file(s)
	if err != nil {
		return nil, fmt.Errorf("file: %w", sysErrorOnce(0, err))
	}
	s.flags |= sockShared
	delete(p.files, h)
	return f, nil
}

// Detaches reports whether sockets can leave a port of this backend: all but "iocp". Any
// goroutine may call it.
func (p *Port) Detaches() bool {
	_, ok := p.b.(releaser)
	return ok
}

// Detach takes a connection off the port. It cancels what is outstanding; the completions of
// that come as usual, bytes that were received included. Then op completes, with the Socket. That
// is the last completion of the handle, which is void from then on. No byte of the stream is
// lost: bytes that were not in a completion are still in the system. If op completes with an error,
// the connection was closed by a reset.
//
// Detach fails with [ErrUnsupported], and does nothing, if sockets cannot leave a port of this
// backend: "iocp" on Windows.
func (p *Port) Detach(op *Op, h Handle) error {
	if !p.Detaches() {
		return &Error{Kind: KindDetach, Class: ErrUnsupported, Hint: "a socket cannot leave a completion port of Windows"}
	}
	p.lock()
	defer p.unlock()
	s, err := p.begin(op, h, KindDetach)
	if err == nil {
		p.endOthers(s, op)
	}
	return err
}

// endDetach gives the socket out. Nothing is in flight on it.
func (p *Port) endDetach(s *sock) {
	c := Completion{Op: s.ending, Key: s.key, Kind: KindDetach, Socket: NoSocket}
	sk, err := p.b.(releaser).detach(s)
	if err != nil {
		p.b.close(s, true)
		c.Err = sysErrorOnce(KindDetach, err)
	} else {
		c.Socket = sk
	}
	c.Op.kind = kindIdle
	p.inflight--
	p.socks.put(s)
	p.complete(c)
}

// NetConn makes a connection of package net of a Socket that was accepted or detached. The
// Socket is void from then on, also after an error. On a simulated network the result is a
// [*SimConn]. Any goroutine that holds the Socket may call it. With "iocp" on Windows it fails
// with [ErrUnsupported] and does not touch the Socket.
func (p *Port) NetConn(sk Socket) (net.Conn, error) {
	b, ok := p.b.(releaser)
	if !ok {
		return nil, &Error{Class: ErrUnsupported, Hint: "a socket cannot leave a completion port of Windows"}
	}
	if sk.IsListener() || sk == NoSocket {
		return nil, fmt.Errorf("%w: no Socket of a connection", ErrInvalid)
	}
	c, err := b.plain(sk &^ marks)
	if err != nil && !errors.Is(err, ErrInvalid) {
		err = sysErrorOnce(0, err)
	}
	return c, err
}
