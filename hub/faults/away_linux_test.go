package faults_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/proactor-go/proactor/internal/must"
)

// A NATS server elsewhere is killed and, later, there again. What was published until its hub was busy waits,
// and comes, in order and once; presence is right again.
func TestNATSAway(t *testing.T) {
	t.Parallel()
	address := free(t)
	start := func() *child {
		c := spawn(t, nil, "nats", address)
		c.hears(new(int))
		return c
	}
	nats := start()
	const each = 5 // members of a node
	var nodes []*at
	for i := range 2 {
		n := startNode(t, nil, setting{Name: fmt.Sprint("node", i), URL: "nats://" + address})
		n.done("join", "room", each)
		nodes = append(nodes, n)
	}
	acquainted(t, nodes)
	counted(t, nodes, "room", 2*each)
	// hears waits until all members of a node have had so many messages.
	hears := func(n *at, number int) {
		t.Helper()
		until(t, fmt.Sprint(n.Name, " hears ", number), func() bool { return n.heard("room").Least == number })
	}
	nodes[0].done("publish", "room", 0, 0, 100, 128)
	for _, n := range nodes {
		hears(n, 100)
	}
	nats.kill()
	gone := time.Now()
	for i, n := range nodes {
		until(t, "the node is cut off", func() bool { return !n.status().Connected })
		counted(t, nodes[i:i+1], "room", each) // those of its own
	}
	waits := nodes[0].done("fill", "room", 0, 100, 10_000)
	if s := nodes[0].status(); waits < 100 || s.Refused == 0 || s.Waiting == 0 {
		t.Errorf("%d messages wait: %+v", waits, s)
	}
	if away := time.Duration(long(60, 0)) * time.Second; time.Since(gone) < away {
		time.Sleep(away - time.Since(gone))
	}
	start()
	back := time.Now()
	counted(t, nodes, "room", 2*each)
	t.Logf("NATS was away for %v; presence is right %v after that", back.Sub(gone).Round(10*time.Millisecond), time.Since(back).Round(10*time.Millisecond))
	hears(nodes[0], 100+waits)
	before := nodes[1].heard("room") // it may have NATS later than the first, and miss some of what waited
	nodes[0].done("publish", "room", 1, 0, 100, 128)
	hears(nodes[0], 200+waits)
	until(t, "the other node hears the last ones", func() bool { return nodes[1].heard("room").Least >= before.Most+100 })
	for i, n := range nodes {
		if h := n.heard("room"); h.Wrong != "" || h.Lost > 0 || i == 0 && h.Holes > 0 || h.Least != h.Most {
			t.Errorf("%s heard %+v", n.Name, h)
		}
		if s := n.status(); s.Lost != 0 {
			t.Errorf("%s: %+v", n.Name, s)
		}
	}
}

// machines are two, as it were: network namespaces, and a link.
type machines struct {
	t         testing.TB
	near, far string // names
}

const nearHost, farHost = "10.214.0.1", "10.214.0.2"

// newMachines makes them, or skips the test with the reason.
func newMachines(t testing.TB) *machines {
	t.Helper()
	id := "hub" + strings.ReplaceAll(strings.ReplaceAll(must.Alone(), ".", "-"), ":", "-")
	m := &machines{t, id + "n", id + "f"}
	for _, args := range []string{
		"netns add " + m.near,
		"netns add " + m.far,
		"link add near netns " + m.near + " type veth peer name far netns " + m.far,
		"-n " + m.near + " addr add " + nearHost + "/24 dev near",
		"-n " + m.far + " addr add " + farHost + "/24 dev far",
		"-n " + m.near + " link set lo up",
		"-n " + m.far + " link set lo up",
		"-n " + m.near + " link set near up",
		"-n " + m.far + " link set far up",
	} {
		out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			t.Skipf("no network namespaces here: ip %s: %v %s", args, err, out)
		}
		if name, ok := strings.CutPrefix(args, "netns add "); ok {
			t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
		}
	}
	return m
}

func (m *machines) in(name string) []string { return []string{"ip", "netns", "exec", name} }

// link cuts the link, or mends it. Nobody is told: what is sent is lost.
func (m *machines) link(state string) {
	m.t.Helper()
	if out, err := exec.Command("ip", "-n", m.far, "link", "set", "far", state).CombinedOutput(); err != nil {
		m.t.Fatalf("%v: %s", err, out)
	}
}

// The network between nodes is cut off, so that no packet passes, and mended. Each side serves those on it
// meanwhile, and everyone is known again soon after.
func TestNetworkIsCut(t *testing.T) {
	t.Parallel()
	m := newMachines(t)
	const each = 5 // members of a node
	var nodes []*at
	for i, at := range []struct{ machine, host string }{{m.near, nearHost}, {m.near, nearHost}, {m.far, farHost}} {
		s := setting{Name: fmt.Sprint("node", i), Cluster: at.host + ":0", Host: at.host}
		if i > 0 {
			s.Join = []string{nodes[0].address.Cluster}
		}
		nodes = append(nodes, startNode(t, m.in(at.machine), s))
	}
	acquainted(t, nodes)
	for _, n := range nodes {
		n.done("join", "room", each)
	}
	published := 0
	// hears has node from publish, and waits until all of these have it. What was on its way when the link went down may come
	// in between.
	hears := func(from *at, by ...*at) {
		t.Helper()
		const more = 500
		var before []heard
		for _, n := range by {
			before = append(before, n.heard("room"))
		}
		publisher := published
		published++
		from.done("publish", "room", publisher, 0, more, 128)
		for i, n := range by {
			until(t, n.Name+" hears "+from.Name, func() bool {
				h := n.heardOf("room", publisher)
				return h.Next == more && h.Got >= before[i].Got+more*each
			})
		}
	}
	counted(t, nodes, "room", 3*each)
	for _, n := range nodes {
		hears(n, nodes...)
	}
	for range long(3, 1) {
		m.link("down")
		cut := time.Now()
		counted(t, nodes[:2], "room", 2*each)
		counted(t, nodes[2:], "room", each)
		knows := time.Since(cut)
		hears(nodes[0], nodes[:2]...)
		hears(nodes[1], nodes[:2]...)
		hears(nodes[2], nodes[2])
		for time.Since(cut) < time.Duration(long(20, 0))*time.Second { // so that the routes end, too
			hears(nodes[0], nodes[:2]...)
		}
		m.link("up")
		mended := time.Now()
		counted(t, nodes, "room", 3*each)
		t.Logf("presence is right %v after the cut, and %v after it was mended", knows.Round(10*time.Millisecond), time.Since(mended).Round(10*time.Millisecond))
		for _, n := range nodes {
			hears(n, nodes...)
		}
	}
	for _, n := range nodes {
		if h := n.heard("room"); h.Wrong != "" || h.Holes > 0 || h.Least != h.Most {
			t.Errorf("%s: %+v", n.Name, h)
		}
	}
}
