package proactor_test

import (
	"bufio"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/proactor-go/proactor"
)

// members serves connections that a registry keeps by their number.
func members(r *rig, l proactor.Limits) (*proactor.Server, *proactor.Registry[uint64]) {
	reg := new(proactor.Registry[uint64])
	s := r.serve(proactor.Handler{
		Opened: func(c *proactor.Conn) { reg.Add(c.ID(), c) },
		Closed: func(c *proactor.Conn, _ error) { reg.Remove(c.ID(), c) },
	}, limits(l))
	return s, reg
}

func TestRegistry(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{})
		conns := make([]*proactor.Conn, 3)
		for i := range conns {
			client(t, s)
			conns[i] = r.accepted()
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
		if !reg.Remove("c", conns[2]) || !reg.Remove("b", conns[0]) || reg.Len() != 0 {
			t.Error("not empty in the end")
		}
	})
}

// Broadcasts from several goroutines reach every receiver whole and in the
// same order, and none copies its payload for each.
func TestBroadcast(t *testing.T) {
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s, reg := members(r, proactor.Limits{MaxPending: 64 << 20})
		receivers := make([]*bufio.Reader, scaled(50))
		for i := range receivers {
			receivers[i] = bufio.NewReader(client(t, s))
			r.accepted()
		}
		const senders = 3
		each := scaled(100)
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

// A receiver that does not read is closed by the policy CloseSlow, or misses
// what it has no room for; the others get everything.
func TestBroadcastToSlowReceivers(t *testing.T) {
	for _, policy := range []proactor.Overflow{proactor.CloseSlow, proactor.RejectWrites} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			eachBackend(t, func(t *testing.T, backend string) {
				r := newRig(t, backend)
				s, reg := members(r, proactor.Limits{HighWater: 64 << 10, MaxPending: 1 << 20, Overflow: policy})
				client(t, s) // never reads
				stuck := r.accepted()
				good := bufio.NewReaderSize(client(t, s), 64<<10)
				reading := r.accepted()
				missed, sawBehind := 0, false
				for i := 0; missed < 10; i++ {
					if i == 10000 {
						t.Fatal("a receiver that does not read has taken all")
					}
					line := fmt.Appendf(nil, "%d %0*d\n", i, 64<<10, 0)
					took, behind := reg.Broadcast(line)
					sawBehind = sawBehind || took == 2 && behind > 0
					if took < 2 {
						missed++
					}
					if p := stuck.Stats().Pending; p > 1<<20 {
						t.Fatalf("%d bytes wait", p)
					}
					var k, zero int
					got, err := good.ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					if fmt.Sscan(got, &k, &zero); k != i {
						t.Fatalf("line %d, want %d", k, i)
					}
				}
				if !sawBehind {
					t.Error("nobody was behind before")
				}
				if policy == proactor.CloseSlow {
					if r.ends(proactor.ErrBacklog) != stuck {
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
	eachBackend(t, func(t *testing.T, backend string) {
		r := newRig(t, backend)
		s := r.serve(proactor.Handler{})
		peer := client(t, s)
		c := r.accepted()
		var want []byte
		onLoop(t, c, func() {
			for i, n := range []int{1, 200, 128, 129, 5, 0, 70_000, 3, 300_000, 1, 20_000} {
				p := pattern(uint64(i), n)
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
		expect(t, peer, want)
		eventually(t, "all is sent", func() bool { return r.engine.Stats().Pending == 0 })
		c.Close()
		expectEnd(t, peer, nil)
		if _, err := c.WriteShared(make([]byte, 1000)); err != proactor.ErrClosed {
			t.Errorf("after Close: %v", err)
		}
	})
}
