package hub

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// keepers opens a cluster of n nodes that keep messages, in any order, and waits until they do.
func keepers(t testing.TB, n int, h History) []*Hub {
	t.Helper()
	var hubs []*Hub
	for i := range n {
		hubs = append(hubs, joins(t, fmt.Sprint("node", i), hubs, h))
	}
	acquainted(t, hubs)
	for _, h := range hubs {
		keeps(t, h)
		h.patient(patience) // the machine may be slow
	}
	return hubs
}

// patient says how long a message waits to be confirmed.
func (h *Hub) patient(d time.Duration) {
	h.keep.mu.Lock()
	defer h.keep.mu.Unlock()
	h.keep.late = d
}

// joins opens a node that joins others.
func joins(t testing.TB, name string, hubs []*Hub, h History) *Hub {
	t.Helper()
	o := Options{Name: name, Cluster: "127.0.0.1:0", Secret: "s3cret", History: &h}
	if len(hubs) > 0 {
		o.Join = []string{hubs[0].ClusterAddr().String()}
	}
	return open(t, o)
}

func keeps(t testing.TB, h *Hub) {
	t.Helper()
	until(t, h.name+" keeps messages", func() bool { return h.keep.modeNow() == keeping })
}

// visitor is a member that comes back.
type visitor struct {
	mu     sync.Mutex
	said   []string
	last   uint64
	gaps   int
	unkept int
	seat   *Seat
	gone   bool // from the node it was on: what it is told there it does not get
}

func (v *visitor) told(e *Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.gone:
	case e.Kind == Message:
		v.said = append(v.said, string(e.Payload))
		v.last = max(v.last, e.Seq)
	case e.Kind == Unkept:
		v.unkept++
	case e.Kind == Gap || e.Kind == Dropped:
		v.gaps++
	}
}

func (v *visitor) comes(t testing.TB, h *Hub, room string) {
	t.Helper()
	v.mu.Lock()
	v.gone = false
	since := v.last
	v.mu.Unlock()
	seat, err := h.Resume(room, somewhere(Func(v.told)), "", Close, since)
	if err != nil {
		t.Fatal(err)
	}
	v.seat = seat
}

func (v *visitor) goes() {
	v.mu.Lock()
	v.gone = true
	v.mu.Unlock()
	v.seat.Leave()
}

func (v *visitor) heard() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.said)
}

// A node is closed while all publish. Its members come back on the others. Everyone gets every message once, in
// one order.
func TestNodeIsClosed(t *testing.T) {
	t.Parallel()
	closing(t, func(h *Hub) { h.Close() })
}

// A node dies without a word, the one that leads the stream.
func TestLeaderDies(t *testing.T) {
	t.Parallel()
	closing(t, func(h *Hub) {
		h.server.Shutdown()
	})
}

func closing(t *testing.T, end func(h *Hub)) {
	const each, publishers = 300, 2
	hubs := keepers(t, 3, History{Last: 1000})
	leads := slices.IndexFunc(hubs, func(h *Hub) bool { return h.server.JetStreamIsStreamLeader("$G", streamName) })
	if leads < 0 {
		t.Fatal("nobody leads")
	}
	hubs[2], hubs[leads] = hubs[leads], hubs[2]
	var visitors []*visitor
	for i := range 9 {
		v := new(visitor)
		v.comes(t, hubs[i%3], "room")
		visitors = append(visitors, v)
	}
	until(t, "all are counted", func() bool {
		return !slices.ContainsFunc(hubs, func(h *Hub) bool { n, _, _ := h.Presence("room"); return n != len(visitors) })
	})
	half := make(chan bool)
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				if i == each/2 {
					<-half
				}
				if err := hubs[p].Publish("room", fmt.Append(nil, p, " ", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	until(t, "half of it has come", func() bool { return len(visitors[0].heard()) == publishers*each/2 })
	close(half)
	for i := 2; i < len(visitors); i += 3 {
		visitors[i].goes()
	}
	end(hubs[2])
	for i := 2; i < len(visitors); i += 3 {
		visitors[i].comes(t, hubs[i/3%2], "room")
	}
	all.Wait()
	for i, v := range visitors {
		until(t, fmt.Sprintf("visitor %d has all", i), func() bool { return len(v.heard()) >= publishers*each })
	}
	inOrder(t, visitors, publishers, each)
}

// inOrder checks that all visitors have had everything that was published, once and in one order.
func inOrder(t *testing.T, visitors []*visitor, publishers, each int) {
	t.Helper()
	want := visitors[0].heard()
	for p := range publishers {
		next := 0
		for _, s := range want {
			if s == fmt.Sprint(p, " ", next) {
				next++
			}
		}
		if next != each {
			t.Errorf("of publisher %d, %d came in order", p, next)
		}
	}
	for i, v := range visitors {
		if got := v.heard(); !slices.Equal(got, want) || v.gaps > 0 {
			t.Errorf("visitor %d has %d messages and %d gaps, and others have %d", i, len(got), v.gaps, len(want))
		}
	}
}

// Two nodes are no majority of three: messages flow, and members are told. A third one comes, and they are kept.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	hubs := []*Hub{joins(t, "node0", nil, History{})}
	hubs = append(hubs, joins(t, "node1", hubs, History{}))
	acquainted(t, hubs)
	a, b := enter(t, hubs[0], "room"), enter(t, hubs[1], "room")
	until(t, "they know of each other", func() bool {
		n, _, _ := hubs[0].Presence("room")
		m, _, _ := hubs[1].Presence("room")
		return n == 2 && m == 2
	})
	publish(t, hubs[0], "room", 0, 10)
	for _, r := range []*reader{a, b} {
		until(t, "it flows", func() bool { return len(r.said()) == 11 })
		if s := slices.DeleteFunc(r.said(), func(s string) bool { return s == "unkept" }); !slices.Equal(s, numbers(0, 10)) {
			t.Errorf("it was told %v", r.said())
		}
	}
	hubs = append(hubs, joins(t, "node2", hubs, History{}))
	for _, r := range []*reader{a, b} {
		until(t, "messages are kept", func() bool { return slices.Contains(r.said(), "kept") })
	}
	keeps(t, hubs[2])
	before := len(b.said())
	publish(t, hubs[0], "room", 10, 20)
	until(t, "they come", func() bool { return len(b.said()) >= before+10 })
	c := resume(t, hubs[2], "room", 0)
	c.hears(t, "what was kept", numbers(10, 20))
}

// A node is alone of three: messages flow. One of the others comes back, under its name: they are kept again.
func TestMajorityComesBack(t *testing.T) {
	t.Parallel()
	var hubs []*Hub
	var options []Options
	for i := range 3 {
		o := Options{Name: fmt.Sprint("node", i), Cluster: "127.0.0.1:0", Secret: "s3cret", History: &History{Dir: t.TempDir()}}
		if i > 0 {
			o.Join = []string{hubs[0].ClusterAddr().String()}
		}
		h := open(t, o)
		o.Cluster = h.ClusterAddr().String() // it comes back there
		hubs, options = append(hubs, h), append(options, o)
	}
	acquainted(t, hubs)
	for _, h := range hubs {
		keeps(t, h)
		h.patient(startAfter)
	}
	a := enter(t, hubs[0], "room")
	publish(t, hubs[0], "room", 0, 10)
	a.hears(t, "live", numbers(0, 10))
	since := a.last()
	hubs[1].Close()
	hubs[2].Close()
	publish(t, hubs[0], "room", 10, 20)
	until(t, "it flows", func() bool { return len(a.said()) == 21 })
	if s := slices.DeleteFunc(a.said(), func(s string) bool { return s == "unkept" }); !slices.Equal(s, numbers(0, 20)) {
		t.Errorf("it was told %v", a.said())
	}
	again := open(t, options[1])
	keeps(t, hubs[0])
	keeps(t, again)
	publish(t, hubs[0], "room", 20, 30)
	b := resume(t, again, "room", since)
	until(t, "it has come back", func() bool { s := b.said(); return len(s) > 0 && s[len(s)-1] == "29" })
	kept := b.said()
	if kept[0] == "10" { // it was under way when the others went
		kept = kept[1:]
	}
	if !slices.Equal(kept, numbers(20, 30)) {
		t.Errorf("who comes back is told %v", b.said())
	}
	until(t, "who was there has it", func() bool { return len(a.said()) >= 32 })
	if s := slices.DeleteFunc(a.said(), func(s string) bool { return s == "unkept" || s == "kept" }); !slices.Equal(s, numbers(0, 30)) {
		t.Errorf("it was told %v", a.said())
	}
}
