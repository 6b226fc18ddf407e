package hub

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"
)

// nodeEnv has the test binary be a node that joins this address, until its input ends.
const nodeEnv = "HUB_TEST_JOIN"

func TestMain(m *testing.M) {
	if address := os.Getenv(nodeEnv); address != "" {
		h, err := Open(Options{
			Name: "process", Cluster: "127.0.0.1:0", Secret: "s3cret", Join: []string{address},
			History: &History{Last: 1000}, Log: quiet(),
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(h.server.Name())
		io.Copy(io.Discard, os.Stdin)
		h.Close()
		os.Exit(0)
	}
	flag.Parse()
	flag.Set("test.parallel", "6") // those that are parallel wait for elections, mostly
	os.Exit(m.Run())
}

// process starts a node that is a process. Its server's name is told.
func process(t testing.TB, join string) (*exec.Cmd, string) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), nodeEnv+"="+join, "TMPDIR="+t.TempDir())
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		c.Process.Kill()
		c.Wait()
	})
	name, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return c, name[:len(name)-1]
}

// The node that leads the stream is killed while all publish. It takes the others some seconds to agree on a new leader. Everyone gets every
// message once and in one order, those who come back meanwhile as well, and nobody is told that messages are not kept.
func TestLeaderIsKilled(t *testing.T) {
	t.Parallel()
	const each = 200
	hubs := []*Hub{joins(t, "node0", nil, History{Last: 1000})}
	hubs = append(hubs, joins(t, "node1", hubs, History{Last: 1000}))
	child, name := process(t, hubs[0].ClusterAddr().String())
	for _, h := range hubs {
		keeps(t, h)
		h.patient(patience) // twice the time of an election would do, on a machine that is not slow
	}
	until(t, "the process leads", func() bool {
		if !slices.ContainsFunc(hubs, func(h *Hub) bool { return h.server.JetStreamIsStreamLeader("$G", streamName) }) {
			return true
		}
		var answer struct{}
		hubs[0].api("STREAM.LEADER.STEPDOWN."+streamName, map[string]any{"placement": map[string]any{"preferred": name}}, &answer)
		return false
	})
	var visitors []*visitor
	for i := range 6 {
		v := new(visitor)
		v.comes(t, hubs[i%2], "room")
		visitors = append(visitors, v)
	}
	until(t, "all are counted", func() bool {
		return !slices.ContainsFunc(hubs, func(h *Hub) bool { n, _, _ := h.Presence("room"); return n != len(visitors) })
	})
	var all sync.WaitGroup
	say := func(from, to int) {
		for p := range 2 {
			all.Go(func() {
				for i := from; i < to; i++ {
					if err := hubs[p].Publish("room", fmt.Append(nil, p, " ", i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	say(0, each/2)
	all.Wait()
	until(t, "half of it has come", func() bool { return len(visitors[0].heard()) == each })
	say(each/2, each)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	killed := time.Now()
	visitors[0].goes()
	visitors[1].goes()
	visitors[0].comes(t, hubs[1], "room")
	visitors[1].comes(t, hubs[0], "room")
	all.Wait()
	for i, v := range visitors {
		until(t, fmt.Sprintf("visitor %d has all", i), func() bool { return len(v.heard()) >= 2*each })
	}
	t.Logf("all had come %v after the kill", time.Since(killed))
	inOrder(t, visitors, 2, each)
	for i, v := range visitors {
		if v.unkept > 0 {
			t.Errorf("visitor %d was told that messages are not kept", i)
		}
	}
}
