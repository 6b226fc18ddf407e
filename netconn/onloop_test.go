package netconn_test

import (
	"bufio"
	"context"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/tests/rig"
	"github.com/proactor-go/proactor/work"
)

// Where a call would wait, in a callback, it says so: also for another Write that waits.
func TestOnLoop(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		srv := &proactor.Server{Engine: r.Engine, Limits: proactor.Limits{SendBuffer: 64 << 10}}
		l := listen(t, srv)
		must.Dial(t, l.Addr())
		c := accept(t, l)
		rig.Deaf(t, srv, 64<<10)
		deaf := accept(t, l)
		deaf.SetLinger(0)
		written := make(chan error, 1)
		go func() { // one Write, which the system cannot take
			_, err := deaf.Write(make([]byte, 64<<20))
			written <- err
		}()
		must.Eventually(t, "the Write has begun", func() bool { return deaf.Stats().Pending > 0 })
		rig.Client(t, r.Serve(proactor.Handler{}))
		calls := map[string]func() error{
			"Read":   func() error { _, err := c.Read(make([]byte, 1)); return err },
			"Write":  func() error { _, err := deaf.Write([]byte("x")); return err },
			"Accept": func() error { _, err := l.Accept(); return err },
			"Attach": func() error { _, err := c.Attach(&proactor.Handler{}, nil); return err },
			"Close":  l.Close,
			"Dial": func() error {
				_, err := (&netconn.Dialer{Engine: r.Engine}).Dial("tcp", l.Addr().String())
				return err
			},
		}
		errs := map[string]error{}
		rig.OnLoop(t, r.Accepted(), func() {
			for what, call := range calls {
				errs[what] = call()
			}
		})
		for what, err := range errs {
			if what == "Dial" {
				if err != proactor.ErrOnLoop {
					t.Errorf("Dial: %v", err)
				}
				continue
			}
			wants(t, what, err, proactor.ErrOnLoop)
		}
		deaf.Close()
		must.Take(t, "Write", written)
	})
}

// A worker of a pool is no loop, and may wait.
func TestOnWorker(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		c, peer := pair(t, r.Engine, proactor.Limits{})
		pool, err := work.New(work.Config{})
		if err != nil {
			t.Fatal(err)
		}
		client := rig.Client(t, r.Serve(pool.Handler(work.Handler{
			Handler: proactor.Handler{Split: bufio.ScanLines},
			Serve: func(_ context.Context, r work.Request) error {
				got := make([]byte, 1)
				_, err := c.Read(got)
				r.Conn.Write(got)
				return err
			},
		})))
		must.Send(t, client, []byte("\n"))
		must.Eventually(t, "the worker serves", func() bool { return pool.Stats().Busy == 1 })
		must.Send(t, peer, []byte("x"))
		must.Read(t, client, []byte("x"))
		client.Close()
		must.Within(t, "Shutdown of the pool", func() error { return pool.Shutdown(must.Context(t)) })
	})
}
