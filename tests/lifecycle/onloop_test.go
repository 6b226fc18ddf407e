package lifecycle_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// A call that would wait does not wait in a callback, of whatever loop and engine:
// it fails at once and has done nothing, or is done on the loop itself.
func TestWaitingCallsInCallbacks(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 1 })
		two := rig.New(t, backend) // two loops
		s := r.Serve(proactor.Handler{Data: rig.Echo})
		at := s.ListenAddr().String()
		rig.Client(t, s)
		own := r.Accepted() // on the same loop as s
		var others []*proactor.Conn
		for s := two.Serve(proactor.Handler{Data: rig.Echo}); len(others) < 2; {
			rig.Client(t, s)
			others = append(others, two.Accepted())
		}
		own.Write(make([]byte, 32<<20)) // more than a system takes
		on := map[string]*proactor.Conn{"same loop": own, "other engine": others[0], "its other loop": others[1]}
		for where, c := range on {
			rig.OnLoop(t, c, func() {
				for what, call := range map[string]func() error{
					"Server.Shutdown": func() error { return s.Shutdown(context.Background()) },
					"Server.Close":    s.Close,
					"Server.Serve":    func() error { return (&proactor.Server{Engine: r.Engine}).Serve(nil) },
					"Server.Files":    func() error { _, err := s.Files(); return err },
					"StopListening":   s.StopListening,
					"Wait":            s.Wait,
					"WaitConns":       func() error { return s.WaitConns(context.Background()) },
					"ListenAndServe":  (&proactor.Server{Addr: "127.0.0.1:0", Engine: r.Engine}).ListenAndServe,
					"Engine.Close":    r.Engine.Close,
					"Histograms":      func() error { _, err := r.Engine.Histograms(context.Background()); return err },
					"EachConn":        func() error { return rig.Visit(r.Engine) },
					"Dial": func() error {
						_, err := (&proactor.Dialer{Engine: r.Engine}).Dial(context.Background(), "tcp4", at)
						return err
					},
					"WriteContext": func() error { _, err := own.WriteContext(context.Background(), []byte("x")); return err },
				} {
					if err := call(); !errors.Is(err, proactor.ErrOnLoop) {
						t.Errorf("%s on the %s: %v", what, where, err)
					}
				}
				another := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Handler: r.Watch(proactor.Handler{Data: rig.Echo})}
				switch err := another.Listen(); {
				case where != "same loop" && !errors.Is(err, proactor.ErrOnLoop):
					t.Errorf("Listen on the %s: %v", where, err)
				case where == "same loop" && err != nil:
					t.Errorf("Listen: %v", err)
				case where == "same loop":
					t.Cleanup(func() { must.Within(t, "Close", another.Close) })
					s = another
				}
				if err := others[0].Relay(others[0]); where == "same loop" && !errors.Is(err, proactor.ErrOnLoop) {
					t.Errorf("Relay on a loop of another engine: %v", err)
				}
			})
			if where == "same loop" {
				must.Ask(t, rig.Client(t, s), "the server of a callback")
			}
		}
	})
}

// A callback of an engine with several loops listens on its own one, and the server
// serves on all.
func TestListenInCallbacks(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend, func(c *proactor.Config) { c.Loops = 3 })
		s := r.Serve(proactor.Handler{Data: func(c *proactor.Conn, p []byte) int {
			d := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine, Handler: proactor.Handler{Data: rig.Echo}}
			if err := d.Listen(); err != nil {
				t.Error(err)
			}
			c.SetValue(d)
			c.Write(p)
			return len(p)
		}})
		for range 6 {
			c := rig.Client(t, s)
			must.Ask(t, c, "PASV")
			d := r.Accepted().Value().(*proactor.Server)
			for range 3 {
				must.Ask(t, rig.Client(t, d), "data")
			}
			must.Within(t, "Close", d.Close)
		}
	})
}

// Shutdowns and Closes end together, whoever came first; a Close resets what a
// Shutdown waits for, and so does a Shutdown whose time is over. Later ones have
// nothing to do.
func TestEndsTogether(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		for _, last := range []struct {
			name string
			end  func(*proactor.Server) error
			want error
		}{
			{"Close", (*proactor.Server).Close, nil},
			{"Shutdown", func(s *proactor.Server) error { return s.Shutdown(over) }, context.Canceled},
		} {
			r := rig.New(t, backend)
			ended := make(chan struct{}, 2)
			s := r.Serve(proactor.Handler{Ended: func(*proactor.Conn, error) { ended <- struct{}{} }}) // and never closes
			rig.Client(t, s)
			r.Accepted()
			downs := make(chan error, 2)
			for range 2 {
				go func() { downs <- s.Shutdown(context.Background()) }()
			}
			must.Take(t, "Ended", ended)
			if err := last.end(s); !errors.Is(err, last.want) {
				t.Errorf("%s: %v", last.name, err)
			}
			for range 2 {
				if err := must.Take(t, "Shutdown", downs); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
			}
			r.Ends(proactor.ErrServerClosed)
			if len(ended) > 0 {
				t.Error("Ended twice")
			}
			if err := errors.Join(s.Close(), s.Shutdown(over), s.Close()); err != nil {
				t.Errorf("after the end: %v", err)
			}
			if err := s.Listen(); !errors.Is(err, proactor.ErrServerClosed) {
				t.Errorf("Listen after the end: %v", err)
			}
		}
	})
}

// What waits for an engine fails in a bubble that the engine is not of. There the
// runtime would end the program.
func TestEngineOutsideOfBubble(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		synctest.Test(t, func(t *testing.T) {
			s := &proactor.Server{Network: "tcp4", Addr: "127.0.0.1:0", Engine: r.Engine}
			if err := s.Listen(); !errors.Is(err, proactor.ErrBubble) {
				t.Errorf("Listen: %v", err)
			}
			if err := rig.Visit(r.Engine); !errors.Is(err, proactor.ErrBubble) {
				t.Errorf("EachConn: %v", err)
			}
			d := &proactor.Dialer{Engine: r.Engine, Timeout: time.Hour}
			if _, err := d.Dial(context.Background(), "tcp4", "127.0.0.1:1"); !errors.Is(err, proactor.ErrBubble) {
				t.Errorf("Dial: %v", err)
			}
		})
	})
}

// A Dialer without an engine says so.
func TestNoEngine(t *testing.T) {
	if _, err := new(proactor.Dialer).Dial(t.Context(), "tcp", "127.0.0.1:1"); err == nil {
		t.Error("Dial: no error")
	}
	var told error
	new(proactor.Dialer).DialAsync(t.Context(), "tcp", "127.0.0.1:1", func(_ *proactor.Conn, err error) { told = err })
	if told == nil {
		t.Error("DialAsync: no error")
	}
	if err := new(proactor.Redialer).Start(); err == nil {
		t.Error("a Redialer without a Dialer starts")
	}
	if err := (&proactor.Redialer{Dialer: new(proactor.Dialer)}).Start(); err == nil {
		t.Error("a Redialer whose Dialer has no Engine starts")
	}
}
