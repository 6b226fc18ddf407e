package websocket

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/netconn"
)

// Upgrade takes over the connection of a request that asks for a WebSocket, in a handler of
// net/http, behind any router and middleware. When it returns, the connection is a loop's: neither
// a goroutine nor buffers of net/http are left of it once the handler has returned. Options.Opened is
// called there, soon.
//
// On a plain http.Server the connection goes to Options.Server, see [proactor.Server.Adopt]. On a
// [netconn.Listener] it stays with its server, whose limits it has, see [netconn.Conn.Attach].
//
// A request that cannot be upgraded is answered, and the error says why: the handler has only to
// return. It wraps errors.ErrUnsupported where no request of the kind can be: one of HTTP/2, one
// whose TLS net/http speaks itself, as with ServeTLS, and one of a ResponseWriter that cannot be
// hijacked. For wss, put TLS into the [proactor.Server] of netconn.Listen, or before the program.
func Upgrade(w http.ResponseWriter, r *http.Request, o *Options) error {
	o.init()
	a, err := o.agree(r)
	if err != nil {
		return deny(w, err)
	}
	nc, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return deny(w, fmt.Errorf("%w: the connection cannot be taken over: %w", errors.ErrUnsupported, err))
	}
	early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
	if err := o.takeOver(nc, early, func(c *Conn) { c.open(r, a) }); err != nil {
		nc.SetDeadline(time.Now().Add(time.Second))
		nc.Write((&refusal{http.StatusServiceUnavailable, "the connection cannot be taken over"}).answer())
		nc.Close()
		return fmt.Errorf("websocket: not upgraded: %w", err)
	}
	return nil
}

// deny answers a request that is not upgraded, and returns why.
func deny(w http.ResponseWriter, err error) error {
	var no *refusal
	if errors.As(err, &no) {
		for name, values := range no.header() {
			w.Header()[name] = values
		}
		http.Error(w, no.why, no.status)
		if no.status == http.StatusHTTPVersionNotSupported {
			return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		return err
	}
	http.Error(w, "this connection cannot be upgraded", http.StatusNotImplemented)
	return fmt.Errorf("websocket: not upgraded: %w", err)
}

// takeOver gives a connection to a loop, which calls then.
func (o *Options) takeOver(nc net.Conn, early []byte, then func(*Conn)) error {
	if nc, ok := netconn.Of(nc); ok {
		pc, err := nc.Attach(&o.taken, early)
		if err != nil {
			return err
		}
		return pc.Post(func() {
			if c := of(pc); c != nil && c.state&over == 0 {
				pc.ResumeRead() // before Opened, which may pause it
				then(c)
			}
		})
	}
	if _, ok := nc.(*tls.Conn); ok {
		return fmt.Errorf("%w: net/http speaks the TLS of this connection", errors.ErrUnsupported)
	}
	if o.Server == nil {
		return errors.New("Options.Server is not set, which would carry it")
	}
	return o.Server.Adopt(nc, early, func(pc *proactor.Conn) {
		c := of(pc)
		if c == nil || c.opts != o {
			if err := pc.SetHandler(&o.server); err != nil {
				pc.Abort()
				return
			}
			if c != nil { // of the server's own options: its handshake will never be done
				c.leave()
			}
			c = o.newConn(pc)
		}
		then(c)
	})
}
