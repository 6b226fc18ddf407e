package soak

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what was done, and what did not hold.
type Report struct {
	Seed        uint64      `json:"seed"`
	Backend     string      `json:"backend"`
	Loops       int         `json:"loops"`
	Seconds     float64     `json:"seconds"`
	Connections int64       `json:"connections"`
	Ways        []WayReport `json:"ways"`
	Clients     Account     `json:"clients"` // and dialed connections
	Servers     Account     `json:"servers"` // and the dialed ones' peer
	Panics      int64       `json:"panics_contained"`
	Blocked     int64       `json:"handlers_blocked"`
	ReadPauses  int64       `json:"read_pauses"`
	Workers     int64       `json:"answers_of_other_goroutines"`
	Pauses      int64       `json:"server_pauses"`
	Restarts    int64       `json:"server_restarts"`
	NoPort      int64       `json:"connects_without_a_port"`
	WarmUp      Size        `json:"after_the_warm_up"`
	Last        Size        `json:"with_the_last_server"`
	After       Size        `json:"after_the_engine"`
	Interrupted bool        `json:"interrupted"`
	Passed      bool        `json:"passed"`
	Violations  []Violation `json:"violations"`
}

// WayReport counts the connections that went on in one way, and how they ended.
type WayReport struct {
	Way         string `json:"way"`
	Connections int64  `json:"connections"`
	Orderly     int64  `json:"orderly"`
	Bytes       int64  `json:"orderly_bytes"` // sent by these, and received, and answered, and come back
	Shutdown    int64  `json:"by_shutdown"`   // of the server, in the middle
	Left        int64  `json:"left"`          // rudely, by the client
	Broken      int64  `json:"reset"`         // by the other side
	Failed      int64  `json:"failed"`        // of these tell the violations
}

// Account is the bytes of one side.
type Account struct {
	Sent     int64 `json:"bytes_sent"`
	Received int64 `json:"bytes_received"`
}

// Err names what did not hold, in one line; nil when all did.
func (r *Report) Err() error {
	if r.Passed {
		return nil
	}
	return fmt.Errorf("soak failed, seed %d: %d invariants were violated, the first: %v", r.Seed, len(r.Violations), r.Violations[0])
}

func (r *run) report(rep *Report) {
	c, l := &r.count, r.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	rep.Seconds = time.Since(r.began).Seconds()
	for _, ways := range [][]*way{inbound, outbound} {
		for _, w := range ways {
			n := l.ways[w]
			rep.Connections += n.opened
			rep.Ways = append(rep.Ways, WayReport{
				w.name, n.opened, n.ends[endOrderly], n.bytes, n.ends[endCut] + n.ends[endStopped],
				n.ends[endLeft], n.ends[endBroken], n.ends[endFailed],
			})
		}
	}
	rep.Clients = Account{l.near.sent, l.near.received}
	rep.Servers = Account{l.far.written, l.far.received}
	rep.Panics, rep.Blocked, rep.ReadPauses, rep.Workers = c.panics.Load(), c.blocked.Load(), c.held.Load(), c.workers.Load()
	rep.Pauses, rep.Restarts, rep.NoPort = c.pauses.Load(), c.restarts.Load(), c.noPort.Load()
	rep.WarmUp, rep.Last, rep.After = r.growth.first, r.growth.last, r.growth.after
	rep.Violations = r.violations()
	rep.Passed = len(rep.Violations) == 0
}

// Print writes the report as a table, and the verdict.
func (r *Report) Print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	row("soak", "%s, %d loops, %.1f s, seed %d", r.Backend, r.Loops, r.Seconds, r.Seed)
	row("connections", "%d", r.Connections)
	for _, n := range r.Ways {
		row("  "+n.Way, "%d: %d in good order with %d bytes, %d by a shutdown, %d left, %d reset, %d failed", n.Connections, n.Orderly, n.Bytes, n.Shutdown, n.Left, n.Broken, n.Failed)
	}
	row("bytes", "%d sent, %d received, %d answered, %d came back", r.Clients.Sent, r.Servers.Received, r.Servers.Sent, r.Clients.Received)
	row("handlers", "%d panics contained, %d blocked, %d read pauses, %d answers from elsewhere", r.Panics, r.Blocked, r.ReadPauses, r.Workers)
	row("servers", "%d pauses, %d restarts", r.Pauses, r.Restarts)
	if r.NoPort > 0 {
		row("no port left", "%d connects", r.NoPort)
	}
	for _, s := range []struct {
		name string
		Size
	}{{"after the warm-up", r.WarmUp}, {"with the last server", r.Last}, {"after the engine", r.After}} {
		row(s.name, "%d goroutines, %d descriptors, %.1f MiB", s.Goroutines, s.Descriptors, float64(s.Heap)/(1<<20))
	}
	for _, v := range r.Violations {
		row("VIOLATED", "%s", v)
	}
	verdict := "all held"
	if !r.Passed {
		verdict = "FAILED"
	}
	if r.Interrupted {
		verdict += ", interrupted before the end"
	}
	row("verdict", "%s", verdict)
	t.Flush()
}

// progress writes a line now and then until stop is closed.
func (r *run) progress(stop <-chan struct{}) {
	if r.opt.Progress == nil {
		return
	}
	every := 10 * time.Second
	if r.opt.Live {
		every = 500 * ms
	}
	t := time.NewTicker(every)
	defer t.Stop()
	wide := 0
	for {
		select {
		case <-t.C:
		case <-stop:
			if r.opt.Live {
				fmt.Fprintf(r.opt.Progress, "\r%s\r", strings.Repeat(" ", wide))
			}
			return
		}
		line := r.line()
		if !r.opt.Live {
			fmt.Fprintln(r.opt.Progress, line)
			continue
		}
		fmt.Fprintf(r.opt.Progress, "\r%s%s", line, strings.Repeat(" ", max(wide-len(line), 0)))
		wide = len(line)
	}
}

func (r *run) line() string {
	c, st := &r.count, r.engine.Stats()
	line := fmt.Sprintf("%6.1fs  %d open, %d in all  %.0f MB came back  %d panics  %d restarts",
		time.Since(r.began).Seconds(), st.Conns(), st.Accepted+st.Dialed, float64(c.received.Load())/1e6, st.Panics, c.restarts.Load())
	if n := len(r.violations()); n > 0 {
		line += fmt.Sprintf("  %d VIOLATED", n)
	}
	return line
}
