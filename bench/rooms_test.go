//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

// Every member of a room gets every message, in order, byte by byte.
func TestRooms(t *testing.T) {
	each(t, rooms, 1, func(t *testing.T, s server) {
		hears(t, s, begin(t, s, rooms, task{}))
	})
}

// The nodes of a cluster are one room.
func TestNodes(t *testing.T) {
	for _, s := range servers {
		if !s.can(cluster, 1) {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			nodes, err := s.nodes(3, workload{50, 128, 200, 1})
			for _, node := range nodes {
				defer node.stop()
			}
			if err != nil && strings.Contains(err.Error(), "io_uring_setup") {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			hears(t, s, s.members(nodes)...)
		})
	}
}

func hears(t *testing.T, s server, nodes ...*process) {
	t.Helper()
	a, err := newAudience(workload{50, 128, 200, 1}, s.speaks(), nodes)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	for _, members := range []int{20, 50} {
		if err := a.grow(members); err != nil {
			t.Fatal(err)
		}
		before := a.got
		if err := a.run(100 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if n := a.got - before; n != int64(20*members) {
			t.Errorf("%d members got %d messages in all, of 20", members, n)
		}
	}
}

// A message that is not what was published is noticed, and so is one that is missing.
func TestWrongMessage(t *testing.T) {
	for _, wrong := range []string{"000000000008", "000000000007x", "7"} {
		a := &audience{members: []hearer{{next: 7}}, expected: map[int][]byte{7: []byte("000000000007")}, due: map[int]time.Duration{}, took: map[int]int{}}
		frame := appendFrame(nil, []byte(wrong), 0)
		frame[0] = wholeText
		if err := a.hear(0, frame); err == nil {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
