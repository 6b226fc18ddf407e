package port

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// backend is one way of this system to carry out operations. The Port keeps
// the books (handles, what is outstanding, closing, timeouts, posts) and calls
// a backend from one goroutine at a time; only wake, block, discard and peerAddr
// are called beside that.
//
// accept, connect, recv and send never block and never fail. The result of the operation is a
// completion, which poll returns or Port.complete queues. The backend calls Port.finish with
// the operation right after it has made the final completion, and does not touch the sock after
// that.
type backend interface {
	listen(a Addr, o SocketOptions) (Socket, error)
	socket(local Addr, o SocketOptions) (Socket, error)
	discard(Socket)
	// peerAddr is the peer of an accepted Socket. Any goroutine.
	peerAddr(Socket) (Addr, error)
	// inherit makes a Socket of a duplicate of the file's, and reports whether it
	// listens. Any goroutine.
	inherit(*os.File, SocketOptions) (sk Socket, listens bool, err error)
	attach(*sock, Socket) error
	localAddr(*sock) (Addr, error)
	remoteAddr(*sock) (Addr, error)
	// acked is how many bytes the peer has acknowledged; 0 if that is not known.
	acked(*sock) int64

	accept(*sock, *Op)
	connect(*sock, *Op, Addr)
	recv(*sock, *Op)
	send(*sock, *Op)
	// cancel makes the operation end soon, if it has not ended already.
	cancel(*sock, *Op)
	shutdown(*sock) error
	// close releases the socket. Nothing is in flight on it. It may answer errLater
	// and call Port.endClose when it is done.
	close(s *sock, reset bool) error

	// poll hands over what has completed, without blocking.
	poll(dst []Completion) int
	// flush lets operations take effect that another goroutine's block must
	// see. Only for Shared ports.
	flush()
	// block returns when poll may have something, after d, or after wake. It
	// may return early. d < 0 means no limit. It must not touch what poll does.
	block(d time.Duration)
	// wake ends the present block, or else the next one. Any goroutine.
	wake()
	// release takes back the buffer that a completion lent.
	release(lease uint32)
	// leased is the number of completions whose buffer was not given back.
	leased() int
	// destroy frees what is left. Nothing is in flight, no socket is open.
	destroy()
}

// releaser is a backend that gives sockets out again.
type releaser interface {
	// file is a duplicate of the socket's descriptor.
	file(*sock) (*os.File, error)
	// detach takes a connection off the port. Nothing is in flight on it.
	detach(*sock) (Socket, error)
	// plain makes a connection of package net out of an accepted or detached
	// Socket, which is void then, also on error. Any goroutine.
	plain(Socket) (net.Conn, error)
}

// candidate is a backend that this build has, see the backends_*.go files. The
// first whose open succeeds is the one that "auto" takes.
type candidate struct {
	name string
	open func(*Port) (backend, error)
	auto bool
}

// EnvBackend is the environment variable that forces a backend where
// Config.Backend is empty.
const EnvBackend = "PROACTOR_BACKEND"

// Backends returns the names of the backends that this build has, the preferred one first. Only
// [Open] can tell whether one works on the running system.
func Backends() []string {
	names := make([]string, len(candidates))
	for i, c := range candidates {
		names[i] = c.name
	}
	return names
}

// Candidates returns the names of the backends that [Open] tries if Config.Backend is want, the
// preferred one first: only want if that is set, else only the one that PROACTOR_BACKEND names,
// else all that are chosen automatically. A program whose ports hand sockets to each other must
// open all of them with the same one.
func Candidates(want string) []string {
	if want == "" {
		want = os.Getenv(EnvBackend)
	}
	if want != "" && want != "auto" {
		return []string{want}
	}
	var names []string
	for _, c := range candidates {
		if c.auto {
			names = append(names, c.name)
		}
	}
	return names
}

// choose opens the wanted backend or, where none is wanted, the first that
// works. The error gives the reason of each.
func choose(p *Port, want string) error {
	var reasons []error
	for _, name := range Candidates(want) {
		err := p.open(name)
		if err == nil {
			if len(reasons) > 0 {
				p.detail = fmt.Sprintf("fallback: %v", errors.Join(reasons...))
			}
			return nil
		}
		reasons = append(reasons, err)
	}
	if len(reasons) == 1 {
		return reasons[0]
	}
	return fmt.Errorf("no backend works here: %w", errors.Join(reasons...))
}

// open opens the port on the backend of this name.
func (p *Port) open(name string) error {
	for _, c := range candidates {
		if c.name != name {
			continue
		}
		b, err := c.open(p)
		if err != nil {
			return fmt.Errorf("backend %s: %w", name, err)
		}
		p.b, p.name = b, name
		return nil
	}
	return fmt.Errorf("backend %q: %w: this build has %s", name, ErrUnsupported, strings.Join(Backends(), ", "))
}
