package sim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/port"
	"github.com/proactor-go/proactor/port/porttest"
	"github.com/proactor-go/proactor/tests/rig"
)

// simulated runs an echo of an engine, and clients on its network, in a
// bubble. It gives the trace, which has the causes that Closed was told too.
func simulated(t *testing.T, seed uint64, loops int) string {
	var trace strings.Builder
	synctest.Test(t, func(t *testing.T) {
		n := port.NewSimSeed(seed, porttest.Rough(&trace))
		e, err := proactor.NewEngine(proactor.Config{Loops: loops, Sim: n, BufferSize: 256, BufferCount: 4,
			Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		closed := map[string]int{}
		s := &proactor.Server{Addr: "127.0.0.1:7", Engine: e, Limits: proactor.Limits{
			HighWater: 4096, IdleTimeout: 20 * time.Second, WriteTimeout: time.Minute,
		}, Handler: proactor.Handler{
			Data: rig.Echo,
			Closed: func(c *proactor.Conn, cause error) {
				mu.Lock()
				closed[fmt.Sprint(cause)]++
				mu.Unlock()
			},
		}}
		if err := s.Listen(); err != nil {
			t.Fatal(err)
		}
		const clients = 8
		left := make(chan struct{})
		for i := range clients {
			n.Go(func() {
				simClient(t, n, i)
				left <- struct{}{}
			})
		}
		for range clients {
			<-left
		}
		n.Sleep(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if st := e.Stats(); st.Pending != 0 || st.Leased != 0 || st.Conns() != 0 {
			t.Errorf("left: %+v", st)
		}
		e.Close()
		fmt.Fprintln(&trace, closed)
	})
	return trace.String()
}

// simClient asks an echo for its own bytes, until something breaks.
func simClient(t *testing.T, n *port.Sim, i int) {
	c, err := n.Dial(context.Background(), "tcp", "127.0.0.1:7")
	if err != nil {
		return
	}
	defer c.Close()
	for r := range 10 {
		p := must.Pattern(uint64(i*100+r), 1+(i*37+r*101)%3000)
		n.Go(func() { c.Write(p) })
		got := make([]byte, len(p))
		if k, err := io.ReadFull(c, got); !bytes.Equal(got[:k], p[:k]) {
			t.Errorf("client %d, round %d: other bytes came back", i, r)
		} else if err != nil {
			if !errors.Is(err, port.ErrReset) && !errors.Is(err, port.ErrTimeout) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("client %d, round %d: %v", i, r, err)
			}
			return
		}
		n.Sleep(time.Duration(i*r*r) * 10 * time.Millisecond)
	}
	c.CloseWrite()
	io.Copy(io.Discard, c)
}

// An engine on a simulated network does the same again with the same seed,
// however many loops it has.
func TestSimSameSeedSameRun(t *testing.T) {
	for _, loops := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d loops", loops), func(t *testing.T) {
			for seed := range uint64(testenv.Scaled(20)) {
				first, again := simulated(t, seed, loops), simulated(t, seed, loops)
				if first != again {
					t.Fatalf("seed %d: %s", seed, porttest.FirstDifference(first, again))
				}
				if len(first) < 1000 {
					t.Errorf("seed %d: nothing happened:\n%s", seed, first)
				}
			}
		})
	}
}
