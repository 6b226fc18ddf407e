package lifecycle_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// connCalls has each method of a Conn, its error once the connection has closed, and that
// outside of the connection's callbacks, if it can be called in those alone.
var connCalls = map[string]struct {
	call    func(c *proactor.Conn) error
	closed  error
	outside error
}{
	"Abort":      {of((*proactor.Conn).Abort), nil, nil},
	"After":      {func(c *proactor.Conn) error { c.After(time.Hour, func() {}).Stop(); return nil }, nil, nil},
	"Again":      {of((*proactor.Conn).Again), nil, nil},
	"TLS":        {got((*proactor.Conn).TLS), nil, nil},
	"Cause":      {func(c *proactor.Conn) error { c.Cause(); return nil }, nil, nil},
	"Close":      {(*proactor.Conn).Close, nil, nil},
	"CloseWrite": {(*proactor.Conn).CloseWrite, proactor.ErrClosed, nil},
	"Detach":     {detaches, proactor.ErrClosed, nil},
	"ID":         {got((*proactor.Conn).ID), nil, nil},
	"Layer":      {got((*proactor.Conn).Layer), nil, nil},
	"LendTLS":    {func(c *proactor.Conn) error { _, err := c.LendTLS(nil); return unsecured(err) }, nil, nil},
	"LocalAddr":  {got((*proactor.Conn).LocalAddr), nil, nil},
	"Loop":       {got((*proactor.Conn).Loop), nil, nil},
	"PauseRead":  {of((*proactor.Conn).PauseRead), nil, nil},
	"Post":       {func(c *proactor.Conn) error { return c.Post(func() {}) }, nil, nil},
	"Relay":      {func(c *proactor.Conn) error { return c.Relay(c) }, proactor.ErrClosed, nil},
	"RemoteAddr": {got((*proactor.Conn).RemoteAddr), nil, nil},
	"ResumeRead": {of((*proactor.Conn).ResumeRead), nil, nil},
	"Limits":     {func(c *proactor.Conn) error { c.Limits(); return nil }, nil, nil},
	"ReturnTLS":  {func(c *proactor.Conn) error { return unsecured(c.ReturnTLS(nil, nil)) }, nil, nil},
	"SetHandler": {func(c *proactor.Conn) error { return c.SetHandler(nil) }, proactor.ErrClosed, proactor.ErrNoCallback},
	"Unread":     {func(c *proactor.Conn) error { return c.Unread([]byte("x")) }, proactor.ErrClosed, proactor.ErrNoCallback},
	"StartTLS": {func(c *proactor.Conn) error {
		config, _ := rig.TLS()
		return c.StartTLS(config)
	}, proactor.ErrClosed, proactor.ErrNoCallback},
	"SetIdleTimeout":  {func(c *proactor.Conn) error { c.SetIdleTimeout(time.Hour); return nil }, nil, nil},
	"SetReadTimeout":  {func(c *proactor.Conn) error { c.SetReadTimeout(time.Hour); return nil }, nil, nil},
	"SetValue":        {func(c *proactor.Conn) error { c.SetValue(1); return nil }, nil, nil},
	"SetWriteTimeout": {func(c *proactor.Conn) error { c.SetWriteTimeout(time.Hour); return nil }, nil, nil},
	"Stats":           {got((*proactor.Conn).Stats), nil, nil},
	"Value":           {got((*proactor.Conn).Value), nil, nil},
	"Writable":        {got((*proactor.Conn).Writable), nil, nil},
	"Write":           {func(c *proactor.Conn) error { _, err := c.Write([]byte("x")); return err }, proactor.ErrClosed, nil},
	"WriteContext": {func(c *proactor.Conn) error {
		_, err := c.WriteContext(context.Background(), []byte("x"))
		return err
	}, proactor.ErrClosed, nil},
	"WriteLent":   {func(c *proactor.Conn) error { _, err := c.WriteLent([]byte("x")); return err }, proactor.ErrClosed, nil},
	"WriteShared": {func(c *proactor.Conn) error { _, err := c.WriteShared([]byte("x")); return err }, proactor.ErrClosed, nil},
	"Writev":      {func(c *proactor.Conn) error { _, err := c.Writev([]byte("x"), nil); return err }, proactor.ErrClosed, nil},
}

func of(call func(c *proactor.Conn)) func(*proactor.Conn) error {
	return func(c *proactor.Conn) error { call(c); return nil }
}

func got[T any](call func(c *proactor.Conn) T) func(*proactor.Conn) error {
	return func(c *proactor.Conn) error { call(c); return nil }
}

// detaches takes the connection off the engine where it can leave.
func detaches(c *proactor.Conn) error {
	err := c.Detach(func(nc net.Conn, _ []byte, _ error) {
		if nc != nil {
			nc.Close()
		}
	})
	if errors.Is(err, errors.ErrUnsupported) && porttest.OnWine {
		return nil
	}
	return err
}

// unsecured is nil where a call has told that the connection, as those of the test, has no TLS.
func unsecured(err error) error {
	if errors.Is(err, port.ErrUnsupported) {
		return nil
	}
	return fmt.Errorf("on a connection without TLS: %v", err)
}

// listed checks that a table has every method of a type.
func listed[C any](t *testing.T, kind reflect.Type, calls map[string]C) {
	t.Helper()
	for i := range kind.NumMethod() {
		if name := kind.Method(i).Name; reflect.ValueOf(calls[name]).IsZero() {
			t.Errorf("the table has no call of %v.%s", kind, name)
		}
	}
}

// Every call of a connection returns at once wherever it is made: in a callback of the
// connection, of another loop and of another engine, elsewhere, in Closed, after it, and
// after the end of the engine.
func TestConnCallsFromEverywhere(t *testing.T) {
	listed(t, reflect.TypeFor[*proactor.Conn](), connCalls)
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		other := rig.New(t, backend)
		rig.Client(t, other.Serve(proactor.Handler{}))
		stranger := other.Accepted()
		s := r.Serve(proactor.Handler{Closed: func(c *proactor.Conn, _ error) {
			if f, ok := c.Value().(func(c *proactor.Conn)); ok {
				f(c)
			}
		}})
		open := func() *proactor.Conn {
			rig.Client(t, s)
			c := r.Accepted()
			rig.Returned(t, c)
			return c
		}
		check := func(what, where string, err, want error) {
			t.Helper()
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s %s: %v, want %v", what, where, err, want)
			}
		}
		neighbors := []*proactor.Conn{open(), open()} // of the two loops
		idle := func() {                              // no callback is in progress that began before
			for _, c := range neighbors {
				rig.OnLoop(t, c, func() {})
			}
		}
		var gone []*proactor.Conn
		for what, m := range connCalls {
			for where, at := range map[string]*proactor.Conn{"beside the first": neighbors[0], "beside the second": neighbors[1], "in another engine": stranger, "in its own callback": nil} {
				c := open()
				if at == nil {
					at = c
				}
				var want error
				switch {
				case what == "Relay" && at.Loop() != c.Loop():
					want = proactor.ErrOnLoop
				case at != c:
					want = m.outside
				}
				rig.OnLoop(t, at, func() { check(what, where, m.call(c), want) })
				gone = append(gone, c)
			}
			c := open()
			idle()
			must.Within(t, what, func() error { check(what, "elsewhere", m.call(c), m.outside); return nil })
			gone = append(gone, c)

			c = open()
			told := make(chan struct{})
			c.SetValue(func(c *proactor.Conn) {
				check(what, "in Closed", m.call(c), m.closed)
				close(told)
			})
			c.Abort()
			must.Take(t, "Closed", told)
			idle()
			must.Within(t, what, func() error { check(what, "after Closed", m.call(c), cmp.Or(m.outside, m.closed)); return nil })
		}
		for _, c := range gone {
			c.SetValue(nil)
			c.Abort()
		}
		last := open()
		must.Within(t, "Engine.Close", r.Engine.Close)
		for what, m := range connCalls {
			want := cmp.Or(m.outside, m.closed)
			if what == "Post" {
				want = proactor.ErrClosed
			}
			must.Within(t, what, func() error { check(what, "after the end of the engine", m.call(last), want); return nil })
		}
	})
}

// Every call of a server, an engine, a dialer, a redialer and a registry returns once the
// engine has ended, and says so.
func TestCallsAfterTheEnd(t *testing.T) {
	ctx := context.Background()
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s, ending := r.Serve(proactor.Handler{}), r.Serve(proactor.Handler{})
		rig.Client(t, s)
		c := r.Accepted()
		k := &proactor.Redialer{Dialer: &proactor.Dialer{Engine: r.Engine}, Network: "tcp4", Address: s.ListenAddr().String()}
		d := &proactor.Dialer{Engine: r.Engine}
		var g proactor.Registry[int]
		g.Add(1, c)
		ran := s.After(time.Hour, func() { t.Error("a timer fired") })
		must.Within(t, "Engine.Close", r.Engine.Close)
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		dialed := make(chan error, 2)
		done := func(_ *proactor.Conn, err error) { dialed <- err }
		type call struct {
			call func() error
			want error
		}
		calls := map[reflect.Type]map[string]call{
			reflect.TypeFor[*proactor.Server](): {
				"Adopt":          {func() error { return s.Adopt(nil, nil, nil) }, proactor.ErrEngineClosed},
				"After":          {func() error { s.After(0, func() { t.Error("a timer fired") }).Stop(); return nil }, nil},
				"Close":          {ending.Close, nil},
				"Conns":          {func() error { s.Conns(); return nil }, nil},
				"Files":          {func() error { _, err := s.Files(); return err }, proactor.ErrServerClosed},
				"Inherit":        {func() error { s.Inherit(listener); return nil }, nil},
				"Listen":         {(&proactor.Server{Addr: "127.0.0.1:0", Engine: r.Engine}).Listen, proactor.ErrEngineClosed},
				"ListenAddr":     {func() error { s.ListenAddr(); return nil }, nil},
				"ListenAndServe": {(&proactor.Server{Addr: "127.0.0.1:0", Engine: r.Engine}).ListenAndServe, proactor.ErrEngineClosed},
				"Pause":          {s.Pause, proactor.ErrServerClosed},
				"Resume":         {s.Resume, proactor.ErrServerClosed},
				"Serve":          {func() error { return (&proactor.Server{Engine: r.Engine}).Serve(listener) }, proactor.ErrEngineClosed},
				"Shutdown":       {func() error { return ending.Shutdown(ctx) }, nil},
				"Start":          {(&proactor.Server{Engine: r.Engine}).Start, proactor.ErrEngineClosed},
				"StopListening":  {s.StopListening, nil},
				"Wait":           {s.Wait, proactor.ErrEngineClosed},
				"WaitConns":      {func() error { return s.WaitConns(ctx) }, nil},
			},
			reflect.TypeFor[*proactor.Engine](): {
				"Backend":    {func() error { r.Engine.Backend(); return nil }, nil},
				"Close":      {r.Engine.Close, proactor.ErrEngineClosed},
				"Detail":     {func() error { r.Engine.Detail(); return nil }, nil},
				"EachConn":   {func() error { return rig.Visit(r.Engine) }, proactor.ErrEngineClosed},
				"Histograms": {func() error { _, err := r.Engine.Histograms(ctx); return err }, nil},
				"Loops":      {func() error { r.Engine.Loops(); return nil }, nil},
				"Stats":      {func() error { r.Engine.Stats(); return nil }, nil},
			},
			reflect.TypeFor[*proactor.Dialer](): {
				"Dial": {func() error { _, err := d.Dial(ctx, "tcp4", "127.0.0.1:9"); return err }, proactor.ErrEngineClosed},
				"DialAsync": {func() error {
					d.DialAsync(ctx, "tcp4", "127.0.0.1:9", done)
					return <-dialed
				}, proactor.ErrEngineClosed},
				"DialOn": {func() error {
					d.DialOn(ctx, c.Loop(), "tcp4", "127.0.0.1:9", done)
					return <-dialed
				}, proactor.ErrEngineClosed},
			},
			reflect.TypeFor[*proactor.Redialer](): {
				"Start":    {k.Start, nil},
				"Stop":     {func() error { k.Stop(); return nil }, nil},
				"Conn":     {func() error { k.Conn(); return nil }, nil},
				"Redialed": {func() error { k.Redialed(); return nil }, nil},
			},
			reflect.TypeFor[*proactor.Registry[int]](): {
				"Add":           {func() error { g.Add(2, c); return nil }, nil},
				"All":           {func() error { g.All()(func(int, *proactor.Conn) bool { return true }); return nil }, nil},
				"Broadcast":     {func() error { g.Broadcast([]byte("x")); return nil }, nil},
				"BroadcastFunc": {func() error { g.BroadcastFunc(func(int, *proactor.Conn) []byte { return []byte("x") }); return nil }, nil},
				"Get":           {func() error { g.Get(1); return nil }, nil},
				"Keys":          {func() error { g.Keys(); return nil }, nil},
				"Len":           {func() error { g.Len(); return nil }, nil},
				"Remove":        {func() error { g.Remove(1, c); return nil }, nil},
			},
			reflect.TypeFor[proactor.Loop](): {
				"After": {func() error { c.Loop().After(0, func() { t.Error("a timer fired") }).Stop(); return nil }, nil},
				"Post":  {func() error { return c.Loop().Post(func() {}) }, proactor.ErrClosed},
			},
			reflect.TypeFor[*proactor.Timer](): {"Stop": {func() error { ran.Stop(); return nil }, nil}},
		}
		for kind, some := range calls {
			listed(t, kind, some)
			for what, m := range some {
				must.Within(t, what, func() error {
					if err := m.call(); !errors.Is(err, m.want) || m.want == nil && err != nil {
						t.Errorf("%v.%s: %v, want %v", kind, what, err, m.want)
					}
					return nil
				})
			}
		}
	})
}
