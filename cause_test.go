package proactor_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// short is a timeout that a test waits for.
const short = 50 * time.Millisecond

// causes are those that TestMetWhoClosed tells apart.
var causes = []error{
	proactor.ErrPeerClosed, proactor.ErrLocalClosed, proactor.ErrServerClosed, proactor.ErrEngineClosed,
	proactor.ErrIdle, proactor.ErrReadTimeout, proactor.ErrWriteTimeout,
	proactor.ErrTooLong, proactor.ErrBacklog, proactor.ErrConsumed,
	port.ErrReset, port.ErrTimeout, errSplit, errPanic,
}

var (
	errSplit = errors.New("no such frame")
	errPanic = errors.New("any *PanicError")
)

// They met: who closed? Required: the cause tells apart peer FIN, peer RST, local
// close, timeout, over a limit, shutdown, I/O error, handler panic.
//
// Closed is told once, and who ended the connection and why, however it ends:
// one of the causes, and none of the others.
func TestMetWhoClosed(t *testing.T) {
	jam := bytes.Repeat([]byte("x"), 1<<20)
	for _, tt := range []struct {
		name  string
		want  error
		h     proactor.Handler
		l     proactor.Limits
		ends  func(r *rig, s *proactor.Server, c *net.TCPConn, conn *proactor.Conn)
		reset bool // how the client sees it
		skip  bool
	}{
		{name: "PeerFIN", want: proactor.ErrPeerClosed, ends: func(r *rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { c.CloseWrite() }},
		{name: "PeerRST", want: port.ErrReset, reset: true, ends: func(r *rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) {
			c.SetLinger(0)
			c.Close()
		}},
		{name: "Close", want: proactor.ErrLocalClosed, h: proactor.Handler{Opened: func(c *proactor.Conn) { c.Close() }}},
		{name: "CloseTwice", want: proactor.ErrLocalClosed, h: proactor.Handler{Opened: func(c *proactor.Conn) { c.Close(); c.Close() }}},
		{name: "Abort", want: proactor.ErrLocalClosed, reset: true, ends: func(_ *rig, _ *proactor.Server, _ *net.TCPConn, conn *proactor.Conn) { conn.Abort() }},
		{name: "IdleTimeout", want: proactor.ErrIdle, l: proactor.Limits{IdleTimeout: short}},
		{name: "ReadTimeout", want: proactor.ErrReadTimeout, l: proactor.Limits{ReadTimeout: short}},
		{name: "WriteTimeout", want: proactor.ErrWriteTimeout, reset: true, l: proactor.Limits{WriteTimeout: short, Overflow: proactor.RejectWrites},
			ends: func(_ *rig, _ *proactor.Server, _ *net.TCPConn, conn *proactor.Conn) {
				conn.Write(bytes.Repeat(jam, 16))
			}},
		{name: "CloseSlow", want: proactor.ErrBacklog, reset: true, l: proactor.Limits{Overflow: proactor.CloseSlow},
			ends: func(_ *rig, _ *proactor.Server, _ *net.TCPConn, conn *proactor.Conn) {
				for range 16 {
					conn.Write(jam)
				}
			}},
		{name: "TooLong", want: proactor.ErrTooLong, l: proactor.Limits{MaxMessage: 1000},
			h:    proactor.Handler{Data: func(*proactor.Conn, []byte) int { return 0 }},
			ends: func(r *rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { send(r, c, jam[:1001]) }},
		{name: "ConsumedTooMuch", want: proactor.ErrConsumed,
			h:    proactor.Handler{Data: func(_ *proactor.Conn, p []byte) int { return len(p) + 1 }},
			ends: func(r *rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { send(r, c, jam[:10]) }},
		{name: "ConsumedLessThanNothing", want: proactor.ErrConsumed,
			h:    proactor.Handler{Data: func(*proactor.Conn, []byte) int { return -1 }},
			ends: func(r *rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { send(r, c, jam[:10]) }},
		{name: "SplitError", want: errSplit,
			h: proactor.Handler{Split: func([]byte, bool) (int, []byte, error) { return 0, nil, errSplit },
				Message: func(*proactor.Conn, []byte) {}},
			ends: func(r *rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { send(r, c, jam[:10]) }},
		{name: "FinalToken", want: proactor.ErrLocalClosed,
			h: proactor.Handler{Split: func(p []byte, _ bool) (int, []byte, error) { return len(p), p, bufio.ErrFinalToken },
				Message: func(*proactor.Conn, []byte) {}},
			ends: func(r *rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { send(r, c, jam[:10]) }},
		{name: "Panic", want: errPanic, reset: true,
			h:    proactor.Handler{Data: func(*proactor.Conn, []byte) int { panic("boom") }},
			ends: func(r *rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { send(r, c, jam[:10]) }},
		{name: "SystemGivesUp", want: port.ErrTimeout, reset: true, skip: !hasDescriptors, l: proactor.Limits{Overflow: proactor.RejectWrites},
			ends: func(r *rig, _ *proactor.Server, _ *net.TCPConn, conn *proactor.Conn) {
				giveUpAfter(r.T, conn, short)
				conn.Write(bytes.Repeat(jam, 16))
			}},
		{name: "Shutdown", want: proactor.ErrServerClosed, ends: func(r *rig, s *proactor.Server, _ *net.TCPConn, _ *proactor.Conn) {
			go s.Shutdown(bounded(r))
		}},
		{name: "ServerClose", want: proactor.ErrServerClosed, reset: true, ends: func(r *rig, s *proactor.Server, _ *net.TCPConn, _ *proactor.Conn) {
			within(r.T, "Close", s.Close)
		}},
		{name: "EngineClose", want: proactor.ErrEngineClosed, reset: true, ends: func(r *rig, s *proactor.Server, _ *net.TCPConn, _ *proactor.Conn) {
			within(r.T, "Close", r.engine.Close)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.skip {
				t.Skip("only on Linux do the tests set the socket's own timeout; the system's takes minutes")
			}
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend)
				told := make(chan error, 1)
				tt.h.Closed = func(_ *proactor.Conn, cause error) {
					if _, ok := errors.AsType[*proactor.PanicError](cause); ok {
						r.panics, cause = 1, errPanic
					}
					told <- cause
				}
				s := r.serve(tt.h, limits(tt.l))
				c := client(t, s)
				conn := r.accepted()
				if tt.ends != nil {
					tt.ends(r, s, c, conn)
				}
				if !tt.reset { // it waits for the peer's FIN
					expectEnd(t, c, nil)
					c.Close()
				}
				cause := take(t, "Closed", told)
				if got := take(t, "the end", r.closed); got.c != conn {
					t.Errorf("the end of another connection")
				}
				for _, e := range causes {
					if unseen := onWine && tt.want == port.ErrReset; errors.Is(cause, e) != (e == tt.want) && !unseen {
						t.Errorf("closed with %v; that it is %q: %v", cause, e, errors.Is(cause, e))
					}
				}
				if tt.reset && tt.want != port.ErrReset && tt.want != port.ErrTimeout {
					expectReset(t, c)
				}
				if _, err := conn.Write([]byte("x")); !errors.Is(err, proactor.ErrClosed) {
					t.Errorf("Write after the end: %v", err)
				}
			})
		})
	}
}

// They met: the I/O worker dies from a handler's exception; all its connections
// hang. Required: a panic closes that connection, is logged with its stack and
// counted; the loop lives.
//
// So it is for a panic in any callback.
func TestMetHandlerException(t *testing.T) {
	boom := func(*proactor.Conn) { panic("boom") }
	for _, tt := range []struct {
		name string
		h    proactor.Handler
		l    proactor.Limits
		ends func(r *rig, c *net.TCPConn, conn *proactor.Conn)
		late bool // Closed itself panics
	}{
		{name: "Opened", h: proactor.Handler{Opened: boom}},
		{name: "Data", h: proactor.Handler{Data: func(*proactor.Conn, []byte) int { panic("boom") }}},
		{name: "NewSplit", h: proactor.Handler{NewSplit: func() bufio.SplitFunc { panic("boom") }, Message: func(*proactor.Conn, []byte) {}}},
		{name: "Split", h: proactor.Handler{Split: func([]byte, bool) (int, []byte, error) { panic("boom") }, Message: func(*proactor.Conn, []byte) {}}},
		{name: "Message", h: proactor.Handler{Split: bufio.ScanBytes, Message: func(*proactor.Conn, []byte) { panic("boom") }}},
		{name: "Ended", h: proactor.Handler{Ended: func(*proactor.Conn, error) { panic("boom") }}, ends: func(r *rig, c *net.TCPConn, _ *proactor.Conn) { c.CloseWrite() }},
		{name: "Drained", h: proactor.Handler{Drained: boom, Data: func(c *proactor.Conn, p []byte) int {
			c.Write(make([]byte, 1000))
			return len(p)
		}}, l: proactor.Limits{HighWater: 100}},
		{name: "Timer", ends: func(r *rig, _ *net.TCPConn, conn *proactor.Conn) { conn.After(0, func() { panic("boom") }) }},
		{name: "Post", ends: func(r *rig, _ *net.TCPConn, conn *proactor.Conn) { conn.Post(func() { panic("boom") }) }},
		{name: "Closed", late: true, h: proactor.Handler{Closed: func(*proactor.Conn, error) { panic("boom") }},
			ends: func(r *rig, _ *net.TCPConn, conn *proactor.Conn) { conn.Abort() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend, func(c *proactor.Config) { c.Loops = 1 })
				r.panics = 1
				s := r.serve(tt.h, limits(tt.l))
				other := r.serve(proactor.Handler{Data: echo})
				o := client(t, other)
				r.accepted()
				switch {
				case tt.h.Opened != nil: // the reset may come before the dial has ended
					if c, err := net.Dial("tcp", s.ListenAddr().String()); err == nil {
						defer c.Close()
					}
				case tt.ends != nil:
					c := client(t, s)
					tt.ends(r, c, r.accepted())
				default:
					client(t, s).Write([]byte("x"))
				}
				e := take(t, "Closed", r.closed)
				var p *proactor.PanicError
				if !tt.late && (!errors.As(e.cause, &p) || p.Value != "boom" || len(p.Stack) == 0) {
					t.Errorf("closed with %v", e.cause)
				}
				ask(t, o, "still here")
				eventually(t, "the panic is counted and logged", func() bool {
					log := r.log.String()
					return r.engine.Stats().Panics == 1 && strings.Contains(log, "panic=boom") && strings.Contains(log, "goroutine ") && strings.Contains(log, "cause_test.go")
				})
			})
		})
	}
}

// The first cause counts.
func TestFirstCause(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{})
		c := client(t, s)
		r.accepted().Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		within(t, "Shutdown", func() error {
			if err := s.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		})
		r.ends(proactor.ErrLocalClosed)
		c.Close()
	})
}
