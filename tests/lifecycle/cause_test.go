package lifecycle_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

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
		kind  proactor.Cause
		want  error
		h     proactor.Handler
		l     proactor.Limits
		ends  func(r *rig.Rig, s *proactor.Server, c *net.TCPConn, conn *proactor.Conn)
		reset bool // how the client sees it
		skip  bool
	}{
		{name: "PeerFIN", kind: proactor.CausePeer, want: proactor.ErrPeerClosed, ends: func(r *rig.Rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { c.CloseWrite() }},
		{name: "PeerRST", kind: proactor.CauseReset, want: port.ErrReset, reset: true, ends: func(r *rig.Rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) {
			c.SetLinger(0)
			c.Close()
		}},
		{name: "Close", kind: proactor.CauseLocal, want: proactor.ErrLocalClosed, h: proactor.Handler{Opened: func(c *proactor.Conn) { c.Close() }}},
		{name: "CloseTwice", kind: proactor.CauseLocal, want: proactor.ErrLocalClosed, h: proactor.Handler{Opened: func(c *proactor.Conn) { c.Close(); c.Close() }}},
		{name: "Abort", kind: proactor.CauseLocal, want: proactor.ErrLocalClosed, reset: true, ends: func(_ *rig.Rig, _ *proactor.Server, _ *net.TCPConn, conn *proactor.Conn) { conn.Abort() }},
		{name: "IdleTimeout", kind: proactor.CauseIdle, want: proactor.ErrIdle, l: proactor.Limits{IdleTimeout: must.Short}},
		{name: "ReadTimeout", kind: proactor.CauseRead, want: proactor.ErrReadTimeout, l: proactor.Limits{ReadTimeout: must.Short}},
		{name: "WriteTimeout", kind: proactor.CauseWrite, want: proactor.ErrWriteTimeout, reset: true, l: proactor.Limits{WriteTimeout: must.Short, Overflow: proactor.RejectWrites},
			ends: func(_ *rig.Rig, _ *proactor.Server, _ *net.TCPConn, conn *proactor.Conn) {
				conn.Write(bytes.Repeat(jam, 16))
			}},
		{name: "CloseSlow", kind: proactor.CauseBacklog, want: proactor.ErrBacklog, reset: true, l: proactor.Limits{Overflow: proactor.CloseSlow},
			ends: func(_ *rig.Rig, _ *proactor.Server, _ *net.TCPConn, conn *proactor.Conn) {
				for range 16 {
					conn.Write(jam)
				}
			}},
		{name: "TooLong", kind: proactor.CauseTooLong, want: proactor.ErrTooLong, l: proactor.Limits{MaxMessage: 1000},
			h:    proactor.Handler{Data: func(*proactor.Conn, []byte) int { return 0 }},
			ends: func(r *rig.Rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { must.Send(r, c, jam[:1001]) }},
		{name: "ConsumedTooMuch", kind: proactor.CauseOther, want: proactor.ErrConsumed,
			h:    proactor.Handler{Data: func(_ *proactor.Conn, p []byte) int { return len(p) + 1 }},
			ends: func(r *rig.Rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { must.Send(r, c, jam[:10]) }},
		{name: "ConsumedLessThanNothing", kind: proactor.CauseOther, want: proactor.ErrConsumed,
			h:    proactor.Handler{Data: func(*proactor.Conn, []byte) int { return -1 }},
			ends: func(r *rig.Rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { must.Send(r, c, jam[:10]) }},
		{name: "SplitError", kind: proactor.CauseOther, want: errSplit,
			h: proactor.Handler{Split: func([]byte, bool) (int, []byte, error) { return 0, nil, errSplit },
				Message: func(*proactor.Conn, []byte) {}},
			ends: func(r *rig.Rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { must.Send(r, c, jam[:10]) }},
		{name: "FinalToken", kind: proactor.CauseLocal, want: proactor.ErrLocalClosed,
			h: proactor.Handler{Split: func(p []byte, _ bool) (int, []byte, error) { return len(p), p, bufio.ErrFinalToken },
				Message: func(*proactor.Conn, []byte) {}},
			ends: func(r *rig.Rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { must.Send(r, c, jam[:10]) }},
		{name: "Panic", kind: proactor.CausePanic, want: errPanic, reset: true,
			h:    proactor.Handler{Data: func(*proactor.Conn, []byte) int { panic("boom") }},
			ends: func(r *rig.Rig, _ *proactor.Server, c *net.TCPConn, _ *proactor.Conn) { must.Send(r, c, jam[:10]) }},
		{name: "SystemGivesUp", kind: proactor.CauseUnanswered, want: port.ErrTimeout, reset: true, skip: !hasDescriptors, l: proactor.Limits{Overflow: proactor.RejectWrites},
			ends: func(r *rig.Rig, _ *proactor.Server, _ *net.TCPConn, conn *proactor.Conn) {
				giveUpAfter(r.T, conn, must.Short)
				conn.Write(bytes.Repeat(jam, 16))
			}},
		{name: "Shutdown", kind: proactor.CauseServer, want: proactor.ErrServerClosed, ends: func(r *rig.Rig, s *proactor.Server, _ *net.TCPConn, _ *proactor.Conn) {
			go s.Shutdown(must.Context(r))
		}},
		{name: "ServerClose", kind: proactor.CauseServer, want: proactor.ErrServerClosed, reset: true, ends: func(r *rig.Rig, s *proactor.Server, _ *net.TCPConn, _ *proactor.Conn) {
			must.Within(r.T, "Close", s.Close)
		}},
		{name: "EngineClose", kind: proactor.CauseServer, want: proactor.ErrEngineClosed, reset: true, ends: func(r *rig.Rig, s *proactor.Server, _ *net.TCPConn, _ *proactor.Conn) {
			must.Within(r.T, "Close", r.Engine.Close)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.skip {
				t.Skip("only on Linux do the tests set the socket's own timeout; the system's takes minutes")
			}
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				told := make(chan error, 1)
				tt.h.Closed = func(_ *proactor.Conn, cause error) {
					if _, ok := errors.AsType[*proactor.PanicError](cause); ok {
						r.Panics, cause = 1, errPanic
					}
					told <- cause
				}
				s := r.Serve(tt.h, rig.Limits(tt.l))
				c := rig.Client(t, s)
				conn := r.Accepted()
				if tt.ends != nil {
					tt.ends(r, s, c, conn)
				}
				if !tt.reset { // it waits for the peer's FIN
					must.ReadEnd(t, c, nil)
					c.Close()
				}
				cause := must.Take(t, "Closed", told)
				if got := must.Take(t, "the end", r.Closed); got.Conn != conn {
					t.Errorf("the end of another connection")
				}
				for _, e := range causes {
					if unseen := porttest.OnWine && tt.want == port.ErrReset; errors.Is(cause, e) != (e == tt.want) && !unseen {
						t.Errorf("closed with %v; that it is %q: %v", cause, e, errors.Is(cause, e))
					}
				}
				if got := r.Engine.Stats().Causes; got[tt.kind] != 1 && !(porttest.OnWine && tt.kind == proactor.CauseReset) {
					t.Errorf("counted as %v, and not as %v", got, tt.kind)
				}
				if tt.reset && tt.want != port.ErrReset && tt.want != port.ErrTimeout {
					porttest.Reset(t, c)
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
// So it is for a panic in any callback, and for one that ends its goroutine, as
// t.Fatal does: three times each, so that a loop that was carried on is carried on.
func TestMetHandlerException(t *testing.T) {
	ways := []struct {
		name   string
		boom   func()
		value  any
		logged string
	}{
		{"panic", func() { panic("boom") }, "boom", "panic=boom"},
		{"Goexit", func() { runtime.Goexit() }, proactor.ErrGoexit, `panic="` + proactor.ErrGoexit.Error()},
	}
	for _, way := range ways {
		boom := way.boom
		boomer := func(*proactor.Conn) { boom() }
		for _, tt := range []struct {
			name string
			h    proactor.Handler
			l    proactor.Limits
			ends func(r *rig.Rig, c *net.TCPConn, conn *proactor.Conn)
			late bool // Closed itself panics, or what is about no connection
		}{
			{name: "Opened", h: proactor.Handler{Opened: boomer}},
			{name: "Data", h: proactor.Handler{Data: func(_ *proactor.Conn, p []byte) int { boom(); return len(p) }}},
			{name: "LentData", h: proactor.Handler{Data: func(c *proactor.Conn, p []byte) int { c.WriteLent(p); boom(); return len(p) }}},
			{name: "NewSplit", h: proactor.Handler{NewSplit: func() bufio.SplitFunc { boom(); return nil }, Message: func(*proactor.Conn, []byte) {}}},
			{name: "Split", h: proactor.Handler{Split: func([]byte, bool) (int, []byte, error) { boom(); return 0, nil, nil }, Message: func(*proactor.Conn, []byte) {}}},
			{name: "Message", h: proactor.Handler{Split: bufio.ScanBytes, Message: func(*proactor.Conn, []byte) { boom() }}},
			{name: "Ended", h: proactor.Handler{Ended: func(*proactor.Conn, error) { boom() }}, ends: func(r *rig.Rig, c *net.TCPConn, _ *proactor.Conn) { c.CloseWrite() }},
			{name: "Drained", h: proactor.Handler{Drained: boomer, Data: func(c *proactor.Conn, p []byte) int {
				c.Write(make([]byte, 1000))
				return len(p)
			}}, l: proactor.Limits{HighWater: 100}},
			{name: "Timer", ends: func(r *rig.Rig, _ *net.TCPConn, conn *proactor.Conn) { conn.After(0, boom) }},
			{name: "Post", ends: func(r *rig.Rig, _ *net.TCPConn, conn *proactor.Conn) { conn.Post(boom) }},
			{name: "Closed", late: true, h: proactor.Handler{Closed: func(*proactor.Conn, error) { boom() }},
				ends: func(r *rig.Rig, _ *net.TCPConn, conn *proactor.Conn) { conn.Abort() }},
			{name: "ServerTimer", late: true, ends: func(r *rig.Rig, _ *net.TCPConn, conn *proactor.Conn) {
				r.Serve(proactor.Handler{}).After(0, boom)
				conn.Abort()
			}},
			{name: "Done", ends: func(r *rig.Rig, _ *net.TCPConn, conn *proactor.Conn) {
				conn.Abort()
				r.Ends(proactor.ErrLocalClosed)
				l, err := net.Listen("tcp4", "127.0.0.1:0")
				if err != nil {
					r.Fatal(err)
				}
				r.Cleanup(func() { l.Close() })
				d := &proactor.Dialer{Engine: r.Engine, Handler: r.Watch(proactor.Handler{})}
				d.DialAsync(context.Background(), "tcp4", l.Addr().String(), func(*proactor.Conn, error) { boom() })
				r.Accepted()
			}},
			{name: "DoneFailed", late: true, ends: func(r *rig.Rig, _ *net.TCPConn, conn *proactor.Conn) {
				d := &proactor.Dialer{Engine: r.Engine}
				d.DialAsync(context.Background(), "tcp4", must.Refusing(r.T), func(*proactor.Conn, error) { boom() })
				conn.Abort()
			}},
			{name: "DoneElsewhere", late: true, ends: func(r *rig.Rig, _ *net.TCPConn, conn *proactor.Conn) {
				d := &proactor.Dialer{Engine: r.Engine}
				go d.DialAsync(context.Background(), "tcp4", "no port", func(*proactor.Conn, error) { boom() })
				conn.Abort()
			}},
		} {
			t.Run(way.name+"/"+tt.name, func(t *testing.T) {
				rig.Each(t, func(t *testing.T, backend string) {
					const times = 3
					r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
					s := r.Serve(tt.h, rig.Limits(tt.l))
					other := r.Serve(proactor.Handler{Data: rig.Echo})
					o := rig.Client(t, other)
					r.Accepted()
					for r.Panics < times {
						r.Panics++
						switch {
						case tt.h.Opened != nil: // the reset may come before the dial has ended
							if c, err := net.Dial("tcp", s.ListenAddr().String()); err == nil {
								defer c.Close()
							}
						case tt.ends != nil:
							c := rig.Client(t, s)
							tt.ends(r, c, r.Accepted())
						default:
							rig.Client(t, s).Write([]byte("x"))
						}
						e := must.Take(t, "Closed", r.Closed)
						var p *proactor.PanicError
						if !tt.late && (!errors.As(e.Cause, &p) || p.Value != way.value || len(p.Stack) == 0) {
							t.Errorf("closed with %v", e.Cause)
						}
						must.Ask(t, o, "still here")
						must.Eventually(t, "the panic is counted and logged", func() bool {
							log := r.Logged.String()
							return r.Engine.Stats().Panics == r.Panics && strings.Count(log, way.logged) == int(r.Panics) &&
								strings.Contains(log, "cause_test.go")
						})
					}
					must.Eventually(t, "no connection is left", func() bool { return s.Conns() == 0 })
				})
			})
		}
	}
}
