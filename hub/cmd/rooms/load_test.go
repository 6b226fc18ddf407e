package main

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/testenv"
)

// members are those of `rooms load`, each of which verifies what it hears.
type members struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   must.Log
	count int
}

// come has members come to all nodes, a third to each, and waits until messages flow.
func come(t *testing.T, nodes []*serving) *members {
	t.Helper()
	m := &members{t: t, count: 30}
	seconds := 3
	if testenv.Long() && !testenv.Race {
		m.count, seconds = 900, 15
	}
	args := []string{"load", "--members", strconv.Itoa(m.count), "--publishers", "3", "--rate", "30", "--for", fmt.Sprint(seconds, "s"), "--patience", "2m", "--log-level", "debug"}
	for _, n := range nodes {
		args = append(args, n.addr)
	}
	m.cmd = commandWith(t, args...)
	m.cmd.Stdout, m.cmd.Stderr = &m.out, &m.out
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.cmd.Process.Kill() })
	must.Eventually(t, "they speak", func() bool { return strings.Contains(m.out.String(), "speaking") })
	return m
}

// report waits for the figures, which say that all that is promised was kept.
func (m *members) report() (f figures) {
	m.t.Helper()
	if err := m.cmd.Wait(); err != nil {
		m.t.Fatalf("%v:\n%s", err, &m.out)
	}
	var line string
	for line = range strings.Lines(m.out.String()) {
	}
	m.t.Log(line)
	if _, err := fmt.Sscanf(line, "%d members, %d messages, %d deliveries; %d reconnects, %d resumed, %d failed, %d gaps told, %d missed,",
		&f.members, &f.messages, &f.deliveries, &f.reconnects, &f.resumed, &f.failed, &f.gaps, &f.missed); err != nil {
		m.t.Fatalf("%v:\n%s", err, &m.out)
	}
	return f
}

type figures struct{ members, messages, deliveries, reconnects, resumed, failed, gaps, missed int }

// Members of three nodes that keep what is said, or do not, lose one: it is killed, or told to end. They come back at the others, and
// hear what is promised.
func TestLoadLosesNode(t *testing.T) {
	for _, history := range []string{"5000", "0"} {
		for _, way := range []string{"killed", "told to end"} {
			t.Run("history "+history+", "+way, func(t *testing.T) {
				nodes := people(t, "chat", "--history", history, "--drain", "2s")
				m := come(t, nodes)
				if way == "killed" {
					nodes[2].Process.Kill()
				} else {
					nodes[2].Process.Signal(syscall.SIGTERM)
				}
				f := m.report()
				if f.members != m.count || f.reconnects < m.count/3 || (history == "0") != (f.resumed == 0) {
					t.Errorf("%+v", f)
				}
				if way != "killed" {
					nodes[2].ends(t)
				}
			})
		}
	}
}
