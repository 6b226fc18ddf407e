package faults_test

import (
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// talk is the guests that publish, one on each node, each so many messages a second, until they are stopped.
type talk struct {
	t     testing.TB
	done  chan struct{}
	all   sync.WaitGroup
	count []int // how many each has published, when it is over
}

// talking begins it. The publisher on node i is number from+i.
func talking(t testing.TB, speakers []*guest, from, rate, size int) *talk {
	k := &talk{t: t, done: make(chan struct{}), count: make([]int, len(speakers))}
	for i, g := range speakers {
		k.all.Go(func() {
			tick := time.NewTicker(time.Second / time.Duration(rate))
			defer tick.Stop()
			for ; ; k.count[i]++ {
				select {
				case <-k.done:
					return
				case <-g.gone:
					return
				case <-tick.C:
				}
				if g.say(text(from+i, k.count[i], size)) != nil {
					return
				}
			}
		})
	}
	return k
}

// over ends it.
func (k *talk) over() {
	close(k.done)
	k.all.Wait()
}

// A node is killed under load. Those on the others get everything that was published there, in order and once, and of what
// was published on the killed one a beginning without a hole; presence is right soon, and again when
// the members have come back on the others.
func TestKill(t *testing.T) {
	t.Parallel()
	each := long(300, 20)
	nodes, a := cluster(t, 3), newGuests(t)
	var all, speakers []*guest
	for _, n := range nodes {
		mine := append(a.come(n, "room", each), a.comePlain(n, "room", 2)...)
		all, speakers = append(all, mine...), append(speakers, mine[0])
	}
	stay := all[:2*(each+2)]
	counted(t, nodes, "room", len(all))
	k := talking(t, speakers, 0, 100, 128)
	for i := range nodes {
		have(t, all, i, 50)
	}
	nodes[2].kill()
	killed := time.Now()
	for _, g := range all[len(stay):] {
		<-g.gone
	}
	back := append(a.come(nodes[0], "room", each/2), a.come(nodes[1], "room", each-each/2)...)
	counted(t, nodes[:2], "room", len(stay)+len(back))
	t.Logf("presence is right %v after the kill", time.Since(killed).Round(10*time.Millisecond))
	for i := range 2 {
		have(t, back, i, 50) // they hear those who are there
	}
	k.over()
	for i := range 2 {
		have(t, slices.Concat(stay, back), i, k.count[i])
	}
	whole(t, slices.Concat(all, back))
	for i := range nodes {
		for _, g := range all {
			if n := g.from(i); n != 0 {
				t.Errorf("the first message of publisher %d that came is %d", i, n)
			}
		}
	}
	t.Logf("%d members, %v messages published", len(all), k.count)
}

// A node stands still. The others do not wait for it; when it goes on, its members get what they missed, or are
// told how much that is, and everyone is known again.
func TestStop(t *testing.T) {
	t.Parallel()
	const burst = 20_000
	each := long(100, 10)
	nodes, a := cluster(t, 3), newGuests(t)
	var all []*guest
	for _, n := range nodes {
		all = append(all, a.come(n, "room", each)...)
	}
	quick, slow := all[:2*each], all[2*each:]
	counted(t, nodes, "room", len(all))
	publish := func(from int, to []*guest) time.Duration {
		began := time.Now()
		for done := 0; done < burst; done += 1000 { // more at once would be too much for any node
			nodes[0].done("publish", "room", 0, from+done, 1000, 128)
			have(t, to, 0, from+done+1000)
		}
		return time.Since(began)
	}
	with := publish(0, all)
	whole(t, all)

	nodes[2].stop()
	stopped := time.Now()
	without := publish(burst, quick)
	counted(t, nodes[:2], "room", len(quick))
	if rest := 10*time.Second - time.Since(stopped); long(1, 0) > 0 {
		time.Sleep(rest)
	}
	stood := time.Since(stopped)
	nodes[2].signal(syscall.SIGCONT)
	again := time.Now()
	counted(t, nodes, "room", len(all))
	t.Logf("%d messages took %v before, and %v while the node stood still; presence is right %v after that",
		burst, with.Round(time.Millisecond), without.Round(time.Millisecond), time.Since(again).Round(10*time.Millisecond))
	number := 2 * burst
	until(t, "a message comes behind all that is lost", func() bool {
		number += nodes[0].done("publish", "room", 0, number, 1, 128)
		return !slices.ContainsFunc(slow, func(g *guest) bool { return g.upTo(0) < number-100 })
	})
	have(t, all, 0, number)
	whole(t, quick)
	lost := 0
	for i, g := range slow {
		h := g.sum()
		lost += h.Lost
		// A route that is silent for 15 s ends, and what was on it is not counted.
		if h.Wrong != "" || h.Got+h.Holes != number || stood < 12*time.Second && h.Lost != h.Holes {
			t.Errorf("guest %d of the node that stood still for %v: %+v", i, stood, h)
		}
	}
	t.Logf("the members of the node that stood still were told that they lost %d messages each", lost/len(slow))
}

// All nodes are restarted under load, one after the other. Their members come back elsewhere; nobody gets a message twice
// or out of order, and who was on another node has everything.
func TestRestart(t *testing.T) {
	t.Parallel()
	each := long(100, 10)
	nodes, a := cluster(t, 3), newGuests(t)
	at := make([][]*guest, len(nodes))
	var all []*guest
	for i, n := range nodes {
		at[i] = a.come(n, "room", each)
		all = append(all, at[i]...)
	}
	for i := range nodes {
		counted(t, nodes, "room", len(all))
		stay := slices.Concat(at[(i+1)%3], at[(i+2)%3])
		k := talking(t, []*guest{at[(i+1)%3][0], at[i][0], at[(i+2)%3][0]}, 10*i, 100, 128)
		have(t, all, 10*i, 50)
		nodes[i].end() // as a program does that is told to stop
		for _, g := range at[i] {
			<-g.gone
		}
		next := (i + 1) % 3
		back := a.come(nodes[next], "room", each)
		nodes[i] = startNode(t, nil, nodes[i].setting)
		acquainted(t, nodes)
		back = append(back, a.come(nodes[i], "room", 1)...) // it serves, and its members are known
		counted(t, nodes, "room", len(stay)+len(back))
		have(t, back, 10*i, 50)
		k.over()
		for p, number := range k.count {
			if p != 1 {
				have(t, slices.Concat(stay, back), 10*i+p, number)
			}
		}
		at[i] = nil
		for _, g := range back {
			if g.node == nodes[i] {
				at[i] = append(at[i], g)
			}
		}
		at[next] = append(at[next], back[:each]...)
		whole(t, slices.Concat(all, back))
		all = slices.Concat(stay, back)
	}
}
