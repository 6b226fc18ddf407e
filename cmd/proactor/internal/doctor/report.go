package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Report is what the facts mean for a server.
type Report struct {
	Machine  string   `json:"machine"`
	Backend  string   `json:"backend"` // empty: none works
	Features string   `json:"features,omitempty"`
	Refused  []Advice `json:"refused,omitempty"` // better backends, and why they do not work
	Wanted   int64    `json:"wanted"`            // connections
	Fits     int64    `json:"fits"`              // connections; -1: not known
	Bounds   []Bound  `json:"bounds"`            // the tightest first
	Besides  []Advice `json:"besides"`           // what bounds something else than connections
}

// Bound is what bounds the number of connections.
type Bound struct {
	Name string `json:"name"`
	Is   string `json:"is"`
	Fits int64  `json:"fits"`
	Lift string `json:"lift"` // a command, or a setting
}

// Advice is a sentence, and what changes what it says.
type Advice struct {
	Text string `json:"text"`
	Lift string `json:"lift,omitempty"`
}

// idleConn is what an idle connection costs: 270 bytes of the process, the rest of the kernel
// (docs/performance.md, "A million").
const idleConn = 6 << 10

// own are descriptors that a server has for itself: standard ones, listeners, the page, and a few
// for each loop.
func own(loops int) int64 { return 32 + 4*int64(loops) }

// Examine says what the facts mean for a server of so many connections.
func Examine(f Facts, wanted int64) *Report {
	r := &Report{Machine: f.machine(), Wanted: wanted, Fits: unknown, Bounds: f.bounds(wanted), Besides: f.besides()}
	for _, t := range f.Tries {
		if t.Err == nil {
			r.Backend, r.Features = t.Name, t.Detail
			break
		}
		r.Refused = append(r.Refused, f.why(t))
	}
	slices.SortStableFunc(r.Bounds, func(a, b Bound) int { return cmp.Compare(a.Fits, b.Fits) })
	if len(r.Bounds) > 0 {
		r.Fits = r.Bounds[0].Fits
	}
	return r
}

// Err is nil where a server of the connections that are wanted can run. What is only slower, or
// not known, is no error.
func (r *Report) Err() error {
	switch {
	case r.Backend == "":
		return errors.New("no backend works here")
	case r.Fits != unknown && r.Fits < r.Wanted:
		return fmt.Errorf("%s connections fit, of the %s that --conns asks for: %s", grouped(r.Fits), grouped(r.Wanted), r.Bounds[0].Name)
	}
	return nil
}

func (f Facts) machine() string {
	parts := []string{f.System + " " + f.Kernel, f.Arch, strconv.Itoa(f.Processors) + " CPUs"}
	if f.Kernel == "" {
		parts[0] = f.System
	}
	if f.Memory > 0 {
		parts = append(parts, fmt.Sprintf("%.1f GiB of memory", float64(f.Memory)/(1<<30)))
	}
	return strings.Join(parts, ", ")
}

// bounds are those that are known.
func (f Facts) bounds(wanted int64) (all []Bound) {
	add := func(name string, has, fits int64, lift string) {
		if has >= 0 && has < endless {
			all = append(all, Bound{name, grouped(has), max(fits, 0), lift})
		}
	}
	// Go raises the limit as far as a process may, so FilesMost counts.
	files := max(1<<20, 2*wanted)
	lift := fmt.Sprintf("ulimit -Hn %d, as root; LimitNOFILE=%[1]d of a unit; --ulimit nofile=%[1]d of a container", files)
	if f.FilesRaise >= 0 && f.FilesRaise < files {
		lift = fmt.Sprintf("sysctl -w fs.nr_open=%d, then %s", files, lift)
	}
	add("descriptors of a process", f.FilesMost, f.FilesMost-own(f.Processors), lift)
	add("descriptors of all processes", f.FilesAll, f.FilesAll-max(f.FilesOpen, 0)-own(f.Processors), fmt.Sprintf("sysctl -w fs.file-max=%d", 2*f.FilesAll))
	add("connections that the packet filter tracks", f.TrackedMost, f.TrackedMost-max(f.Tracked, 0),
		fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d, or a rule with notrack for the port", 2*f.TrackedMost))
	if f.MemoryFree >= 0 {
		all = append(all, Bound{"free memory, at 6 KiB for an idle connection", mib(f.MemoryFree), f.MemoryFree / idleConn, "more memory"})
	}
	if f.BudgetFree >= 0 {
		all = append(all, Bound{"free memory of the control group", mib(f.BudgetFree) + " of " + mib(f.Budget), f.BudgetFree / idleConn, "MemoryMax= of a unit; --memory of a container; resources.limits of Kubernetes"})
	}
	return all
}

// besides is what else an operator should know.
func (f Facts) besides() (all []Advice) {
	add := func(known int64, lift, format string, args ...any) {
		if known >= 0 {
			all = append(all, Advice{fmt.Sprintf(format, args...), lift})
		}
	}
	add(f.Backlog, fmt.Sprintf("sysctl -w net.core.somaxconn=%d", max(65535, f.Backlog)),
		"%s connections of a listener may wait to be accepted. In a burst of more, clients try again after a second.", grouped(f.Backlog))
	if f.PortFirst >= 0 && f.PortLast >= f.PortFirst {
		add(0, `sysctl -w net.ipv4.ip_local_port_range="1024 65535"; or Dialer.LocalAddr, with an address for each so many`,
			"%s connections can be made to one address and port, from one address. A proxy needs them; a server needs none.", grouped(f.PortLast-f.PortFirst+1))
	}
	if f.Locked >= 0 && f.Locked < endless {
		add(0, "", "%s may be locked in memory, which bounds nothing here: since Linux 5.12 a ring is not counted.", mib(f.Locked))
	}
	switch f.System {
	case "linux":
	case "windows":
		all = append(all, Advice{"Windows bounds connections by memory alone, which this command cannot see.", ""},
			Advice{"The ports of outgoing connections are a range.", "netsh int ipv4 show dynamicport tcp"})
	default:
		all = append(all, Advice{"On this system only the limit of descriptors is read.", ""})
	}
	return all
}

// Print writes the report for a person.
func (r *Report) Print(to io.Writer) {
	fmt.Fprintln(to, r.Machine)
	if r.Backend == "" {
		fmt.Fprintln(to, "\nBackend: none works.")
	} else {
		fmt.Fprintf(to, "\nBackend: %s\n", r.Backend)
	}
	if r.Features != "" {
		fmt.Fprintf(to, "  %s\n", r.Features)
	}
	for _, a := range r.Refused {
		a.print(to)
	}
	if r.Fits == unknown {
		fmt.Fprintln(to, "\nConnections: how many fit is not known.")
	} else {
		fmt.Fprintf(to, "\nConnections: %s fit. What stops the next one comes first:\n", grouped(r.Fits))
		fmt.Fprintf(to, "  %-44s %14s %12s\n", "", "is", "fits")
		for _, b := range r.Bounds {
			fmt.Fprintf(to, "  %-44s %14s %12s\n    %s\n", b.Name, b.Is, grouped(b.Fits), b.Lift)
		}
	}
	fmt.Fprintln(to, "\nBesides:")
	for _, a := range r.Besides {
		a.print(to)
	}
}

func (a Advice) print(to io.Writer) {
	fmt.Fprintf(to, "  %s\n", a.Text)
	if a.Lift != "" {
		fmt.Fprintf(to, "    %s\n", a.Lift)
	}
}

// grouped writes a number with commas.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func mib(n int64) string { return grouped(n>>20) + " MiB" }
