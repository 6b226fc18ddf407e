package ops

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/activation"
)

// handed is a listener that the process was given.
type handed struct {
	name  string
	owned string // the path of a Unix socket that goes with the process
	file  *os.File
}

// named reports whether the listener has a name that somebody gave it.
func (h handed) named() bool {
	return h.name != "" && h.name != "unknown" && !strings.HasPrefix(h.name, "LISTEN_FD_")
}

// fromManager are the listeners of systemd. "unknown" is its name of one that has none.
func fromManager() (all []handed) {
	for _, f := range activation.Files(true) {
		all = append(all, handed{name: f.Name(), file: f})
	}
	return all
}

// take gives the listeners of a name to the one that asks. owned is the path of one that goes with the process.
func (p *Process) take(name string) (given []net.Listener, owned string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := func(h handed) bool { return name == "" || h.name == name || h.name == name+".socket" }
	if n := 0; name != "" {
		for _, h := range p.handed {
			if mine(h) {
				n++
			}
		}
		if n == 0 {
			mine = func(h handed) bool { return !h.named() }
		}
	}
	var rest []handed
	for _, h := range p.handed {
		if !mine(h) {
			rest = append(rest, h)
			continue
		}
		l, e := net.FileListener(h.file)
		h.file.Close()
		if e != nil {
			err = fmt.Errorf("the listener %q that was given: %w", h.name, e)
			continue
		}
		given, owned = append(given, l), h.owned
	}
	p.handed = rest
	if err != nil {
		for _, l := range given {
			l.Close()
		}
		return nil, "", err
	}
	return given, owned, nil
}

// own has the path of a Unix socket go with this process. mu is held.
func (p *Process) own(path string) {
	if path == "" || strings.HasPrefix(path, "@") {
		return
	}
	if info, err := os.Lstat(path); err == nil {
		p.paths[path] = info
	}
}

// unlink removes the paths that go with this process, unless another has put its own there. mu is held.
func (p *Process) unlink() {
	for path, was := range p.paths {
		if is, err := os.Lstat(path); err == nil && os.SameFile(is, was) {
			os.Remove(path)
		}
	}
	clear(p.paths)
}

// listener is a listener of package net, for http.Server and the like. It accepts when the process
// serves.
type listener struct {
	net.Listener
	name   string
	owned  string
	serves <-chan struct{}
	closed chan struct{}
	close  func() error
}

// Listen is net.Listen for what is not a [Server], such as an http.Server. It takes the listener that the
// process was given under the name, or makes one, which goes to the next process. Accept waits until this
// process serves. Run closes it when the servers have drained or, after an upgrade, when the next
// process serves.
func (p *Process) Listen(name, network, address string) (net.Listener, error) {
	given, owned, err := p.take(name)
	if err != nil {
		return nil, err
	}
	if len(given) > 1 {
		for _, l := range given {
			l.Close()
		}
		return nil, fmt.Errorf("%d listeners have the name %q, of one", len(given), name)
	}
	var made net.Listener
	if len(given) == 1 {
		made = given[0]
	} else if made, err = net.Listen(network, address); err != nil {
		return nil, err
	} else if u, ok := made.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // see unlink
		owned = u.Addr().String()
	}
	l := &listener{made, name, owned, p.serves, make(chan struct{}), nil}
	l.close = sync.OnceValue(func() error { close(l.closed); return made.Close() })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own(owned)
	p.listeners = append(p.listeners, l)
	return l, nil
}

// Accept is that of net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.serves:
		return l.Listener.Accept()
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close may be called again.
func (l *listener) Close() error { return l.close() }
