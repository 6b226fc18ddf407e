package porttest

import (
	"errors"
	"io"

	"github.com/proactor-go/proactor/port"
)

var failedTests = []test{
	{name: "Failed", run: failedReset},
	{name: "FailedInSplice", run: failedInSplice},
	{name: "FailedUnix", run: failedUnix},
}

// hearing opens a port that tells of what ended a connection.
func (e *env) hearing() *rig {
	r := e.open(port.Config{})
	if !r.p.Hears() {
		r.Skip("this system does not tell")
	}
	return r
}

// failed waits until a connection has failed.
func (r *rig) failed(c *conn, ended bool) {
	r.Helper()
	for {
		err := r.p.Failed(c.h, ended)
		switch {
		case errors.Is(err, port.ErrReset):
			return
		case err != nil:
			r.Fatalf("failed with %v", err)
		}
		r.breathe()
	}
}

// lives checks that a connection has not failed.
func (r *rig) lives(c *conn, ended bool) {
	r.Helper()
	if err := r.p.Failed(c.h, ended); err != nil {
		r.Errorf("failed with %v, though its peer lives", err)
	}
}

// A reset is told of a connection that nobody receives from; a FIN is none, received or
// not.
func failedReset(e *env) {
	r := e.hearing()
	c := r.pair("tcp")
	r.lives(c, false)
	if err := reset(c.peer); err != nil {
		r.Fatal(err)
	}
	r.failed(c, false)

	c = r.pair("tcp")
	if err := c.peer.CloseWrite(); err != nil {
		r.Fatal(err)
	}
	r.fails(r.recv(c, 1), io.EOF)
	r.lives(c, true)
	if err := reset(c.peer); err != nil {
		r.Fatal(err)
	}
	r.failed(c, true)
}

// A reset is told also while a splice waits for the other side, and so receives nothing.
func failedInSplice(e *env) {
	r := e.hearing()
	r.spliceable()
	c, to, o, w := r.jammed(1, 3*jam)
	r.lives(c, false)
	if err := reset(c.peer); err != nil {
		r.Fatal(err)
	}
	r.until("reset", w.ended) // its error is the peer's own
	w.err = nil
	for o.flying && r.p.Failed(c.h, false) == nil { // or else there was room once more, and it tells itself
		r.breathe()
	}
	r.close(c, true)
	r.close(to, true)
	if o.flying {
		r.final(o)
	}
}

// The peer of a Unix socket that sends no more lives; one that has closed it has failed,
// where all that it sent was received.
func failedUnix(e *env) {
	e.need("unix")
	r := e.hearing()
	c := r.pair("unix")
	if err := c.peer.CloseWrite(); err != nil {
		r.Fatal(err)
	}
	r.fails(r.recv(c, 1), io.EOF)
	r.lives(c, true)
	if err := c.peer.Close(); err != nil {
		r.Fatal(err)
	}
	r.lives(c, false)
	r.failed(c, true)
}
