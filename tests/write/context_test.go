package write_test

import (
	"context"
	"errors"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// WriteContext waits for room, until its context ends or the connection does.
func TestWriteContext(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{}, rig.Limits(proactor.Limits{HighWater: 1000, MaxPending: 2000, Overflow: proactor.RejectWrites}))
		c := rig.Deaf(t, s, 64<<10)
		conn := r.Accepted()
		big := must.Pattern(1, 8<<20) // more than the system takes
		if _, err := conn.Write(big); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); !errors.Is(err, proactor.ErrBacklog) {
			t.Fatalf("Write: %v", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := conn.WriteContext(ctx, []byte("x")); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		before := rig.Heap()
		for range 30_000 {
			conn.WriteContext(ctx, []byte("x"))
		}
		if more := rig.Heap() - before; more > 500_000 {
			t.Errorf("calls that gave up hold %d bytes", more)
		}
		rig.Client(t, s) // on the other loop
		for _, at := range []*proactor.Conn{conn, r.Accepted()} {
			rig.OnLoop(t, at, func() {
				if _, err := conn.WriteContext(context.Background(), []byte("x")); !errors.Is(err, proactor.ErrOnLoop) {
					t.Errorf("in a callback: %v", err)
				}
			})
		}
		wrote := make(chan error, 1)
		waits := func(p string) {
			ctx, begun := rig.Waited(t)
			go func() {
				_, err := conn.WriteContext(ctx, []byte(p))
				wrote <- err
			}()
			must.Take(t, "WriteContext waits", begun)
		}
		waits("behind")
		must.Read(t, c, big)
		must.Read(t, c, []byte("behind"))
		if err := must.Take(t, "WriteContext", wrote); err != nil {
			t.Error(err)
		}
		must.Eventually(t, "all was sent", func() bool { return conn.Stats().Pending == 0 })
		if _, err := conn.Write(big); err != nil {
			t.Fatal(err)
		}
		waits("never")
		conn.Abort()
		if err := must.Take(t, "WriteContext", wrote); !errors.Is(err, proactor.ErrClosed) {
			t.Errorf("when the connection has closed: %v", err)
		}
	})
}
