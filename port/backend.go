package port

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// backend is one way of this system to carry out operations. The Port keeps
// the books (handles, what is outstanding, closing, timeouts, posts) and calls
// a backend from one goroutine at a time; only wake, block and discard are
// called beside that.
//
// accept, connect, recv and send never block and never fail: what happened to
// the operation is told by a completion, either given to poll or queued with
// Port.complete. The backend calls Port.finish with the operation right after
// it made the final completion, and does not touch the sock after that.
type backend interface {
	listen(a Addr, o SocketOptions) (Socket, error)
	socket(local Addr, o SocketOptions) (Socket, error)
	discard(Socket)
	attach(*sock, Socket) error
	localAddr(*sock) (Addr, error)
	remoteAddr(*sock) (Addr, error)
	// acked is how many bytes the peer has acknowledged; 0 where nobody knows.
	acked(*sock) int64

	accept(*sock, *Op)
	connect(*sock, *Op, Addr)
	recv(*sock, *Op)
	send(*sock, *Op)
	// cancel makes the operation end soon, if it has not ended already.
	cancel(*sock, *Op)
	shutdown(*sock) error
	// close releases the socket. Nothing is in flight on it.
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

// Backends names the backends that this build has, the preferred one first.
// Whether one works on the running system only [Open] can tell.
func Backends() []string {
	names := make([]string, len(candidates))
	for i, c := range candidates {
		names[i] = c.name
	}
	return names
}

// choose opens the wanted backend or, where none is wanted, the first that
// works. A wanted one that does not work is an error that gives the reason.
func choose(p *Port, want string) error {
	if want == "" {
		want = os.Getenv(EnvBackend)
	}
	auto := want == "" || want == "auto"
	var reasons []error
	for _, c := range candidates {
		if c.name != want && !(auto && c.auto) {
			continue
		}
		b, err := c.open(p)
		if err == nil {
			p.b, p.name = b, c.name
			if len(reasons) > 0 {
				p.detail = fmt.Sprintf("fallback: %v", errors.Join(reasons...))
			}
			return nil
		}
		err = fmt.Errorf("backend %s: %w", c.name, err)
		if !auto {
			return err
		}
		reasons = append(reasons, err)
	}
	if auto {
		return fmt.Errorf("no backend works here: %w", errors.Join(reasons...))
	}
	return fmt.Errorf("backend %q: %w: this build has %s", want, ErrUnsupported, strings.Join(Backends(), ", "))
}
