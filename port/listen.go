package port

import (
	"fmt"
	"io/fs"
	"syscall"
)

// Listen makes a listening socket. Close it through a handle, or Discard it; that also removes
// the file of a Unix socket, unless another one has taken its place.
//
// The error is a *net.OpError, as in package net, around an *[Error].
func (p *Port) Listen(network, address string, o SocketOptions) (Socket, error) {
	a, err := ResolveAddr(network, address)
	if err != nil {
		return NoSocket, callError("listen", network, text{network, address}, err)
	}
	s, err := p.listen(a, o)
	if err != nil {
		return NoSocket, callError("listen", network, a, WithHint(sysErrorOnce(0, err), a))
	}
	return s | listening, nil
}

func (p *Port) listen(a Addr, o SocketOptions) (Socket, error) {
	o, err := o.checked()
	if err == nil {
		err = a.check()
	}
	if err != nil {
		return NoSocket, err
	}
	if o.UnixMode != 0 {
		if err := canSetMode(p.name, a); err != nil {
			return NoSocket, err
		}
	}
	if err := p.canHave(o, a); err != nil {
		return NoSocket, err
	}
	s, err := p.b.listen(a, o)
	if err != nil {
		return NoSocket, err
	}
	if a.isFile() && p.name != "sim" {
		if err := p.noteFile(s, a.Path, o.UnixMode); err != nil {
			p.b.discard(s)
			return NoSocket, err
		}
	}
	return s, nil
}

// Socket makes a socket for an outbound connection to an address of the same kind as like.
// local is the address to connect from; with the zero Addr the system chooses one.
func (p *Port) Socket(like, local Addr, o SocketOptions) (Socket, error) {
	o, err := o.checked()
	if err == nil {
		err = local.check()
	}
	if err != nil {
		return NoSocket, fmt.Errorf("socket: %w", err)
	}
	if !local.Unix && !local.AddrPort.IsValid() {
		local = anyLike(like)
	}
	if err := p.canHave(o, like); err != nil {
		return NoSocket, fmt.Errorf("socket: %w", err)
	}
	if f := o.Control; f != nil {
		to := like.String()
		o.Control = func(network, _ string, c syscall.RawConn) error { return f(network, to, c) }
	}
	s, err := p.b.socket(local, o)
	if err != nil {
		return NoSocket, fmt.Errorf("socket: %w", WithHint(sysErrorOnce(0, err), local))
	}
	return s, nil
}

// PeerAddr returns the address of the peer of an accepted Socket that is not associated yet. Any
// goroutine that holds the Socket may call it.
func (p *Port) PeerAddr(s Socket) (Addr, error) { return p.b.peerAddr(s &^ marks) }

// Discard closes a socket that is not associated. Any goroutine may call it.
func (p *Port) Discard(s Socket) {
	if s == NoSocket {
		return
	}
	if file, ok := p.takeFile(s&^marks, s&listening != 0); ok {
		file.remove()
	}
	p.b.discard(s &^ marks)
}

// canSetMode reports why a listener at the address cannot have a mode.
func canSetMode(backend string, a Addr) error {
	switch {
	case !a.isFile():
		return fmt.Errorf("%w: SocketOptions.UnixMode is for a Unix socket with a file", ErrInvalid)
	case backend != "sim" && !setsMode:
		return &Error{Class: ErrUnsupported, Hint: "SocketOptions.UnixMode needs Linux; elsewhere the umask of the process decides"}
	}
	return nil
}

// canHave fails if sockets of this port cannot have one of the options.
func (p *Port) canHave(o SocketOptions, a Addr) error {
	switch {
	case o.ReusePort && a.Unix:
		return fmt.Errorf("%w: SocketOptions.ReusePort is for TCP", ErrInvalid)
	case o.ReusePort && (p.name == "sim" || !balances):
		return &Error{Class: ErrUnsupported, Hint: "SocketOptions.ReusePort needs Linux, where the system spreads connections over listeners"}
	case o.Control != nil && p.name == "sim":
		return &Error{Class: ErrUnsupported, Hint: "a simulated network has no sockets for SocketOptions.Control"}
	}
	return nil
}

// controlNetwork is how package net names the network of a socket to Control.
func controlNetwork(a Addr) string {
	switch {
	case a.Unix:
		return "unix"
	case a.AddrPort.Addr().Is4():
		return "tcp4"
	}
	return "tcp6"
}

// checked gives the options within what every system takes. The error names one
// that makes no sense.
func (o SocketOptions) checked() (SocketOptions, error) {
	for _, v := range [...]struct {
		name  string
		value *int
		most  int
	}{
		{"KeepAlive", &o.KeepAlive, MaxKeepAlive},
		{"KeepAliveInterval", &o.KeepAliveInterval, MaxKeepAlive},
		{"KeepAliveCount", &o.KeepAliveCount, MaxKeepAliveCount},
		{"SendBuffer", &o.SendBuffer, maxSocketBuffer},
		{"RecvBuffer", &o.RecvBuffer, maxSocketBuffer},
		{"Backlog", &o.Backlog, maxBacklog},
	} {
		if *v.value < 0 {
			return o, fmt.Errorf("%w: SocketOptions.%s is negative: %d", ErrInvalid, v.name, *v.value)
		}
		*v.value = min(*v.value, v.most)
	}
	if o.KeepAliveInterval == 0 {
		o.KeepAliveInterval = o.KeepAlive
	}
	if o.KeepAliveCount == 0 {
		o.KeepAliveCount = keepAliveProbes
	}
	if o.UnixMode&^fs.ModePerm != 0 {
		return o, fmt.Errorf("%w: SocketOptions.UnixMode %v has more than permissions", ErrInvalid, o.UnixMode)
	}
	return o, nil
}

const (
	// MaxKeepAlive is the most of SocketOptions.KeepAlive, in seconds: nine hours.
	// It is Linux' MAX_TCP_KEEPIDLE (include/net/tcp.h); setsockopt refuses more.
	MaxKeepAlive = 32767
	// MaxKeepAliveCount is the most of SocketOptions.KeepAliveCount: Linux'
	// MAX_TCP_KEEPCNT.
	MaxKeepAliveCount = 127
	// keepAliveProbes in a row that are not answered mean that the peer is dead; so
	// many are the default of Linux.
	keepAliveProbes = 9
	// maxSocketBuffer is more than any system grants, and still fits in an int of C
	// when Linux has doubled it.
	maxSocketBuffer = 1 << 29
	// maxBacklog is more than any system grants: each cuts it to its own bound.
	maxBacklog = 1 << 24
)
