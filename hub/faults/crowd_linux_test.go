package faults_test

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/testenv"
)

// Rooms as large, and as loud, as they come: each member of the three nodes gets every message, in order and once.
func TestRooms(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		each, rate int // members of a node; messages a second, from all
		seconds    int
	}{
		{long(2000, 100), 10, long(30, 2)},
		{long(100, 10), 500, long(30, 2)},
	} {
		t.Run(fmt.Sprintf("%d members on each, %d messages a second", v.each, v.rate), func(t *testing.T) {
			nodes, a := cluster(t, 3), newGuests(t)
			var all, speakers []*guest
			for _, n := range nodes {
				all = append(all, a.come(n, "room", v.each)...)
				speakers = append(speakers, all[len(all)-1])
			}
			counted(t, nodes, "room", len(all))
			k := talking(t, speakers, 0, v.rate/len(speakers)+1, 128)
			began := time.Now()
			for i := range nodes {
				have(t, all, i, v.rate/len(speakers)*v.seconds)
			}
			k.over()
			for i, number := range k.count {
				have(t, all, i, number)
			}
			took := time.Since(began)
			whole(t, all)
			sum := 0
			for _, number := range k.count {
				sum += number
			}
			for i, g := range all {
				if h := g.sum(); h.Got != sum {
					t.Errorf("guest %d: %+v, want %d", i, h, sum)
				}
			}
			t.Logf("%d members had %d messages each in %v", len(all), sum, took.Round(10*time.Millisecond))
		})
	}
}

// A client floods a room. Its members get, in order, what finds room, and are told how much does not; in another room
// nothing is refused, and nothing is lost.
func TestFlood(t *testing.T) {
	number := long(200_000, 20_000)
	nodes, a := cluster(t, 3), newGuests(t)
	var members, calm, speakers []*guest
	for _, n := range nodes {
		members = append(members, a.come(n, "flooded", 5)...)
		calm = append(calm, a.come(n, "calm", 5)...)
		speakers = append(speakers, calm[len(calm)-1])
	}
	counted(t, nodes, "flooded", len(members))
	counted(t, nodes, "calm", len(calm))
	k := talking(t, speakers, 1, 50, 128)
	began := time.Now()
	for i := range number {
		p := text(0, i, 128)
		for {
			err := members[0].say(p)
			if err == nil {
				break
			}
			if !errors.Is(err, proactor.ErrBacklog) {
				t.Fatal(err)
			}
			runtime.Gosched()
		}
	}
	took := time.Since(began)
	// Messages come until one does that nothing is lost behind.
	last := number
	until(t, "the flood has passed", func() bool {
		if err := members[0].say(text(0, last, 128)); err != nil {
			t.Fatal(err)
		}
		last++
		for _, g := range members {
			if g.upTo(0) < last-100 {
				return false
			}
		}
		return last > number+100
	})
	have(t, members, 0, last)
	k.over()
	refused := int(nodes[0].status().Refused)
	for i, n := range k.count {
		have(t, calm, i+1, n)
	}
	whole(t, calm) // also what came by way of the node that is flooded
	for i, g := range members {
		h := g.sum()
		if h.Wrong != "" || h.Got+h.Holes != last || h.Holes != h.Lost+refused {
			t.Errorf("guest %d of %s: %+v of %d, %d refused", i, g.node.Name, h, last, refused)
		}
		if i%5 == 0 {
			t.Logf("a member on %s got %d of %d messages, and was told that it lost %d; the hub refused %d", g.node.Name, h.Got, last, h.Lost, refused)
		}
	}
	t.Logf("the flood took %v; meanwhile %v came to all in the other room", took.Round(time.Millisecond), k.count)
}

// A room has 50,000 members on one node, and its messages come to all of them.
func TestManyMembers(t *testing.T) {
	t.Parallel()
	many := testenv.Scaled(50_000)
	nodes := cluster(t, 2)
	before := nodes[0].memory()
	began := time.Now()
	nodes[0].done("join", "room", many)
	nodes[1].done("join", "room", 10)
	counted(t, nodes, "room", many+10)
	joined, size := time.Since(began), nodes[0].memory()-before
	began = time.Now()
	const messages = 20
	for i := range messages {
		nodes[i%2].done("publish", "room", i%2, i/2, 1, 128)
	}
	for _, n := range nodes {
		until(t, "all have all", func() bool { return n.heard("room").Least == messages })
		if h := n.heard("room"); h.Wrong != "" || h.Holes+h.Lost > 0 || h.Most != messages {
			t.Errorf("%s: %+v", n.Name, h)
		}
	}
	took := time.Since(began)
	nodes[0].done("leave", "room")
	counted(t, nodes[1:], "room", 10)
	t.Logf("%d members came in %v, with %d bytes each, the test's own included; %d messages took %v",
		many, joined.Round(time.Millisecond), size/many, messages, took.Round(time.Millisecond))
}

// There are 50,000 rooms with one member on each of two nodes. When one is killed, the other knows it, in all of
// them, and when it is there again, too.
func TestManyRooms(t *testing.T) {
	t.Parallel()
	many := long(50_000, testenv.Scaled(10_000))
	nodes := cluster(t, 2)
	before := nodes[0].memory()
	began := time.Now()
	for _, n := range nodes {
		n.done("each", "room.", many)
	}
	counted := func(n *at, count int) {
		t.Helper()
		until(t, fmt.Sprintf("%s counts %d in each room", n.Name, count), func() bool { return n.done("counts", "room.", many, count) == many })
	}
	for _, n := range nodes {
		counted(n, 2)
	}
	known, size := time.Since(began), nodes[0].memory()-before
	for i := 0; i < many; i += many / 100 {
		room := fmt.Sprint("room.", i)
		nodes[0].done("publish", room, 0, 0, 1, 128)
		for _, n := range nodes {
			until(t, "the one member hears", func() bool { return n.heard(room).Got == 1 })
		}
	}
	nodes[1].kill()
	killed := time.Now()
	counted(nodes[0], 1)
	alone := time.Since(killed)
	nodes[1] = startNode(t, nil, nodes[1].setting)
	acquainted(t, nodes)
	came := time.Now()
	nodes[1].done("each", "room.", many)
	for _, n := range nodes {
		counted(n, 2)
	}
	t.Logf("%d rooms on each node: known after %v, with %d bytes each, the test's own included; right %v after the kill, and %v after they came back",
		many, known.Round(10*time.Millisecond), size/many, alone.Round(10*time.Millisecond), time.Since(came).Round(10*time.Millisecond))
}

// A node stands still while more is published for it than the NATS server of another may keep. That loses it, keeps
// to its bound, and does not wait; when the node goes on, it is known again and hears what is new.
func TestMemoryIsBounded(t *testing.T) {
	const size, batch = 100_000, 20
	total := long(1000, 150) << 20 // bytes
	nodes := cluster(t, 3)
	for _, n := range nodes {
		n.done("join", "room", 1)
	}
	counted(t, nodes, "room", len(nodes))
	published, heap := 0, 0
	publish := func(bytes int) time.Duration {
		began := time.Now()
		heap = 0
		for end := published + bytes/size; published < end; published += batch {
			nodes[0].done("publish", "room", 0, published, batch, size)
			for _, n := range nodes[:2] {
				until(t, n.Name+" has it", func() bool { return n.heard("room").Got == published+batch })
			}
			if published/batch%5 == 0 {
				heap = max(heap, nodes[0].done("heap"))
			}
		}
		return time.Since(began)
	}
	with := publish(total / 2)
	until(t, "the third has it, too", func() bool { return nodes[2].heard("room").Got == published })
	nodes[2].stop()
	without := publish(total)
	kept := heap
	if kept > 100<<20 { // 48 MiB for the route, and what is under way
		t.Errorf("the node keeps %d MiB", kept>>20)
	}
	nodes[2].signal(syscall.SIGCONT)
	counted(t, nodes, "room", len(nodes))
	until(t, "it hears what is new", func() bool {
		publish(batch * size)
		return nodes[2].heard("room").Next == published
	})
	for i, n := range nodes {
		h := n.heard("room")
		if h.Wrong != "" || h.Lost > h.Holes || i < 2 && h.Holes > 0 {
			t.Errorf("%s: %+v", n.Name, h)
		}
	}
	t.Logf("%d MiB took %v before, and %d MiB %v while a node stood still, which missed %d messages of %d; the publisher kept up to %d MiB",
		total>>21, with.Round(time.Millisecond), total>>20, without.Round(time.Millisecond), nodes[2].heard("room").Holes, published, kept>>20)
}
