package write_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
	"github.com/proactor-go/proactor/tests/rig"
)

// members serves connections that a registry keeps by their number.
func members(r *rig.Rig, l proactor.Limits) (*proactor.Server, *proactor.Registry[uint64]) {
	reg := new(proactor.Registry[uint64])
	s := r.Serve(proactor.Handler{
		Opened: func(c *proactor.Conn) { reg.Add(c.ID(), c) },
		Closed: func(c *proactor.Conn, _ error) { reg.Remove(c.ID(), c) },
	}, rig.Limits(l))
	return s, reg
}

func TestRegistry(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{})
		conns := make([]*proactor.Conn, 3)
		for i := range conns {
			rig.Client(t, s)
			conns[i] = r.Accepted()
		}
		var reg proactor.Registry[string]
		if reg.Len() != 0 || reg.Get("a") != nil || reg.Remove("a", conns[0]) {
			t.Error("something in an empty registry")
		}
		for i, key := range []string{"a", "b", "c"} {
			if before := reg.Add(key, conns[i]); before != nil {
				t.Errorf("%s was there before", key)
			}
		}
		if before := reg.Add("b", conns[0]); before != conns[1] {
			t.Error("Add does not tell who was there before")
		}
		if reg.Remove("b", conns[1]) {
			t.Error("who was replaced took its successor away")
		}
		if !reg.Remove("a", conns[0]) || reg.Get("a") != nil {
			t.Error("a is still there")
		}
		keys := reg.Keys()
		slices.Sort(keys)
		if !slices.Equal(keys, []string{"b", "c"}) || reg.Get("b") != conns[0] || reg.Get("c") != conns[2] || reg.Len() != 2 {
			t.Errorf("%v of %d", keys, reg.Len())
		}
		all := map[string]*proactor.Conn{}
		for key, c := range reg.All() {
			reg.Remove(key, c) // which the loop does not notice
			reg.Add(key+key, c)
			all[key] = c
		}
		if len(all) != 2 || all["b"] != conns[0] || all["c"] != conns[2] {
			t.Errorf("All gives %v", all)
		}
		for range reg.All() {
			break
		}
		if !reg.Remove("cc", conns[2]) || !reg.Remove("bb", conns[0]) || reg.Len() != 0 {
			t.Error("not empty in the end")
		}
	})
}

// Broadcasts from several goroutines reach every receiver whole and in the
// same order, and none copies its payload for each.
func TestBroadcast(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s, reg := members(r, proactor.Limits{MaxPending: 64 << 20})
		receivers := make([]*bufio.Reader, testenv.Scaled(50))
		for i := range receivers {
			receivers[i] = bufio.NewReader(rig.Client(t, s))
			r.Accepted()
		}
		const senders = 3
		each := testenv.Scaled(100)
		seen := make([][]string, len(receivers))
		var all sync.WaitGroup
		for i, b := range receivers { // all read at once: what nobody reads fills the system's buffers
			all.Go(func() {
				for range senders * each {
					line, err := b.ReadString('\n')
					if err != nil {
						t.Errorf("receiver %d after %d lines: %v", i, len(seen[i]), err)
						return
					}
					seen[i] = append(seen[i], line)
				}
			})
		}
		for n := range senders {
			all.Go(func() {
				for i := range each { // short ones are copied, long ones shared
					line := fmt.Appendf(nil, "%d %d %0*d\n", n, i, 1+(i%3)*1000, 0)
					if took, _ := reg.Broadcast(line); took != len(receivers) {
						t.Errorf("%d of %d took it", took, len(receivers))
					}
				}
			})
		}
		all.Wait()
		for i, lines := range seen {
			var next [senders]int
			for _, line := range lines {
				var n, k, zero int
				fmt.Sscan(line, &n, &k, &zero)
				if k != next[n] {
					t.Fatalf("receiver %d: line %d of sender %d, want %d", i, k, n, next[n])
				}
				next[n]++
			}
			if !slices.Equal(lines, seen[0]) {
				t.Fatalf("receiver %d saw another order", i)
			}
		}
	})
}

// Broadcasts of payloads that differ, among others, come whole and in one order, also
// where some receivers are left out.
func TestBroadcastFunc(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s, reg := members(r, proactor.Limits{MaxPending: 64 << 20})
		receivers, numbers := make([]*bufio.Reader, 8), map[uint64]int{}
		for i := range receivers {
			receivers[i] = bufio.NewReader(rig.Client(t, s))
			numbers[r.Accepted().ID()] = i
		}
		rounds, pad := testenv.Scaled(100), strings.Repeat("x", 200)
		// What a receiver gets: of its own in every round, a payload with others in
		// every second, and from the other sender what all get.
		payload := func(round, i int) string { return fmt.Sprintf("%d to %d %s\n", round, i, pad[:100*(i%3)]) }
		var all sync.WaitGroup
		all.Go(func() {
			for round := range rounds {
				took, _ := reg.BroadcastFunc(func(key uint64, c *proactor.Conn) []byte {
					i := numbers[key]
					switch {
					case c.ID() != key:
						t.Errorf("connection %d has the key %d", c.ID(), key)
					case i%2 == 1 && round%2 == 1:
						return nil
					}
					return []byte(payload(round, i))
				})
				if want := len(receivers) / (1 + round%2); took != want {
					t.Errorf("round %d: %d took it, want %d", round, took, want)
				}
			}
		})
		all.Go(func() {
			for round := range rounds {
				reg.Broadcast(fmt.Appendf(nil, "%d to all %s\n", round, pad))
			}
		})
		orders := make([][]string, len(receivers))
		for i, b := range receivers {
			all.Go(func() {
				next := 0
				for general := 0; general < rounds || next < rounds; {
					line, err := b.ReadString('\n')
					if err != nil {
						t.Errorf("receiver %d: %v", i, err)
						return
					}
					if strings.Contains(line, "all") {
						general++
						orders[i] = append(orders[i], "all")
						continue
					}
					if line != payload(next, i) {
						t.Errorf("receiver %d got %q, want round %d", i, line, next)
						return
					}
					orders[i] = append(orders[i], fmt.Sprint(next))
					if next++; i%2 == 1 { // it is left out of every second round
						next++
					}
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		for i := range orders { // those of one parity saw the same broadcasts
			if !slices.Equal(orders[i], orders[i%2]) {
				t.Errorf("receivers %d and %d saw other orders", i, i%2)
			}
		}
	})
}

// A payload that panics leaves the registry as usable as before.
func TestBroadcastFuncPanics(t *testing.T) {
	var reg proactor.Registry[int]
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		peer := rig.Client(t, r.Serve(proactor.Handler{}))
		c := r.Accepted()
		reg.Add(1, c)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic did not come through")
				}
			}()
			reg.BroadcastFunc(func(int, *proactor.Conn) []byte { panic("planned") })
		}()
		if took, _ := reg.Broadcast([]byte("on")); took != 1 {
			t.Errorf("%d took the next one", took)
		}
		must.Read(t, peer, []byte("on"))
	})
}

// A receiver that does not read is closed by the policy CloseSlow, or misses
// what it has no room for; the others get everything.
func TestBroadcastToSlowReceivers(t *testing.T) {
	zeros := append(bytes.Repeat([]byte("0"), 64<<10), '\n')
	for _, policy := range []proactor.Overflow{proactor.CloseSlow, proactor.RejectWrites} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			rig.Each(t, func(t *testing.T, backend string) {
				r := rig.New(t, backend)
				s, reg := members(r, proactor.Limits{HighWater: 64 << 10, MaxPending: 1 << 20, Overflow: policy})
				rig.Client(t, s) // never reads
				stuck := r.Accepted()
				good := bufio.NewReaderSize(rig.Client(t, s), 64<<10)
				reading := r.Accepted()
				missed := 0
				for i := 0; missed < 10; i++ {
					if i == 10000 {
						t.Fatal("a receiver that does not read has taken all")
					}
					line := append(fmt.Appendf(nil, "%d ", i), zeros...)
					took, _ := reg.Broadcast(line)
					if took < 2 {
						missed++
					}
					if p := stuck.Stats().Pending; p > 1<<20 {
						t.Fatalf("%d bytes wait", p)
					}
					got := make([]byte, len(line))
					if _, err := io.ReadFull(good, got); err != nil || !bytes.Equal(got, line) {
						t.Fatalf("%v, %.20q, want %.20q", err, got, line)
					}
				}
				if policy == proactor.CloseSlow {
					if r.Ends(proactor.ErrBacklog) != stuck {
						t.Error("the wrong one was closed")
					}
				}
				if reading.Stats().Pending > 1<<20 {
					t.Error("the good receiver is behind")
				}
			})
		})
	}
}

// A payload that is shared is sent as it is, whatever is written around it, and
// is not kept once it was sent.
func TestWriteShared(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		r := rig.New(t, backend)
		s := r.Serve(proactor.Handler{})
		peer := rig.Client(t, s)
		c := r.Accepted()
		var want []byte
		rig.OnLoop(t, c, func() {
			for i, n := range []int{1, 200, 128, 129, 5, 0, 70_000, 3, 300_000, 1, 20_000} {
				p := must.Pattern(uint64(i), n)
				want = append(want, p...)
				write := c.Write
				if i%2 == 1 || n > 1000 {
					write = c.WriteShared
				}
				if k, err := write(p); k != n || err != nil {
					t.Errorf("%d bytes of %d, %v", k, n, err)
				}
			}
		})
		must.Read(t, peer, want)
		must.Eventually(t, "all is sent", func() bool { return r.Engine.Stats().Pending == 0 })
		c.Close()
		must.ReadEnd(t, peer, nil)
		if _, err := c.WriteShared(make([]byte, 1000)); err != proactor.ErrClosed {
			t.Errorf("after Close: %v", err)
		}
	})
}
