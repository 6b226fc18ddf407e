// Package large echoes messages that are larger than the I/O buffers, each as a
// whole, from a pool of workers.
//
// What to look at: echo has the whole message, however many receives it took,
// and as long as it likes. It came in a transfer buffer, which goes back to
// the pool when echo returns; the I/O buffers were free before. Each Write
// sends the message whole, whatever the size of a send is.
package large

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/work"
)

// What the server says: to a client that connects, with its address and port;
// when a length is below 2; when it is above the maximum.
const (
	Banner      = "Welcome to large packet echo server %s:%d - 0\r\n"
	InvalidSize = "Invalid message size! Go away!\r\n"
	TooMuch     = "Too much data! Go away!\r\n"
)

// Header, in bytes, is the length before each message; little-endian, it
// counts itself. Most is what it can tell.
const (
	Header = 2
	Most   = 1<<16 - 1
)

// Options say what the server does.
type Options struct {
	// Addr is "host:port"; an empty host is every address.
	Addr string
	// MaxPacket, in bytes, is how long a message may be with its header, above
	// 2. 0: 65535.
	MaxPacket int
	// Workers is how many messages are served at one time, 0: 64. Queue is how
	// many may wait, of all connections, 0: 1024.
	Workers, Queue int
	// Engine carries the connections. nil: one of the server's own.
	Engine *proactor.Engine
	// Log gets what an operator should know and, at the level Debug, a line for
	// each connection that has ended. nil: slog.Default().
	Log *slog.Logger
}

// Server is a server and its pool, which end together.
type Server struct {
	*proactor.Server
	Pool *work.Pool // is shut down after the server
}

// perConn is how many messages of one connection may wait. When a client does
// not take its echoes, no more is read than these, and pending, the limit of what
// waits to be sent to it, has room for the echo of each above the high mark: an
// echo is never refused.
const (
	perConn   = 8
	highWater = 256 << 10
	pending   = highWater + (perConn+2)*Most
)

// New makes the server. An error tells which option makes no sense.
func New(o Options) (*Server, error) {
	o.MaxPacket = cmp.Or(o.MaxPacket, Most)
	if o.MaxPacket <= Header || o.MaxPacket > Most {
		return nil, fmt.Errorf("large: Options.MaxPacket, %d, is not from %d to %d", o.MaxPacket, Header+1, Most)
	}
	pool, err := work.New(work.Config{Max: o.Workers, Queue: o.Queue, PerConn: perConn, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("large: %w", err)
	}
	o.Log = cmp.Or(o.Log, slog.Default())
	framing := frame.Length{Bytes: Header, Order: binary.LittleEndian, Inclusive: true, Whole: true, Max: o.MaxPacket - Header}
	h := pool.Handler(work.Handler{Serve: echo, Handler: proactor.Handler{
		Opened: greet,
		Split:  framing.Split,
		Ended:  ended,
		Closed: func(c *proactor.Conn, cause error) {
			o.Log.Debug("closed", "conn", c.ID(), "peer", c.RemoteAddr(), "cause", cause)
		},
	}})
	return &Server{&proactor.Server{
		Addr: o.Addr, Handler: h, Engine: o.Engine, Log: o.Log,
		Limits: proactor.Limits{HighWater: highWater, MaxPending: pending},
	}, pool}, nil
}

// Shutdown ends the server in an orderly way: what it has received is echoed.
// Connections that are left when ctx is done are reset, and their messages are
// dropped; then it returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	return cmp.Or(s.Server.Shutdown(ctx), s.Pool.Shutdown(ctx))
}

// Close ends the server at once.
func (s *Server) Close() error {
	return cmp.Or(s.Server.Close(), s.Pool.Shutdown(context.Background()))
}

func greet(c *proactor.Conn) {
	peer := c.RemoteAddr().(*net.TCPAddr)
	fmt.Fprintf(c, Banner, peer.IP, peer.Port)
}

// echo sends one message back, on a worker. When the engine has no memory left
// for it, the connection ends rather than go on with a hole in what it echoes.
func echo(_ context.Context, r work.Request) error {
	_, err := r.Conn.Write(r.Msg)
	return err
}

// ended is called when there are no more messages and all are echoed. One that
// the end of the stream has cut is none.
func ended(c *proactor.Conn, why error) {
	if text := complaint(why); text != "" {
		c.Write([]byte(text))
	}
	c.Close()
}

// complaint is the line for a length that was refused. Empty: nothing was.
func complaint(why error) string {
	var short *frame.ShortLengthError
	var tooLong *frame.TooLongError
	switch {
	case errors.As(why, &short):
		return InvalidSize
	case errors.As(why, &tooLong):
		return TooMuch
	}
	return ""
}
