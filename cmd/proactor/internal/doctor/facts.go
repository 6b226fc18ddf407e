// Package doctor tells what a machine allows a server: which backend it gets and why, how many
// connections fit, what stops the next one, and how that is lifted.
package doctor

import (
	"bufio"
	"bytes"
	"io/fs"
	"path"
	"runtime"
	"strconv"
	"strings"

	"github.com/proactor-go/proactor/port"
)

// unknown is a number that the system does not tell.
const unknown = -1

// Facts are what the system says of itself. A number below 0 is unknown.
type Facts struct {
	System     string // runtime.GOOS
	Arch       string // runtime.GOARCH
	Kernel     string // its release
	Processors int
	Tries      []Try // the backends, the best first, to the one that works

	Seccomp  int64 // 2: a filter of system calls
	Disabled int64 // kernel.io_uring_disabled

	Files, FilesMost     int64 // descriptors that this process may have: the limit, and what it may be raised to
	FilesOpen, FilesAll  int64 // in all processes: open, and allowed
	FilesRaise           int64 // fs.nr_open: what FilesMost may be raised to
	Locked               int64 // bytes that may be locked in memory
	Backlog              int64
	PortFirst, PortLast  int64 // of outgoing connections
	Tracked, TrackedMost int64 // connections in the table of the packet filter
	Memory, MemoryFree   int64 // bytes: of the machine, and free of them
	Budget, BudgetFree   int64 // the same, of the control group that leaves the least
}

// Try is a backend, and why it does not work.
type Try struct {
	Name   string
	Err    error
	Detail string // of one that works
}

// Here reads the facts of this process.
func Here(root fs.FS) Facts {
	f := Read(root)
	f.System, f.Arch, f.Processors = runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0)
	if f.Files == unknown {
		f.Files, f.FilesMost = files()
	}
	for _, name := range port.Candidates("") {
		p, err := port.Open(port.Config{Backend: name})
		t := Try{Name: name, Err: err}
		if err == nil {
			t.Detail = p.Detail()
			p.Close()
		}
		f.Tries = append(f.Tries, t)
		if err == nil {
			break
		}
	}
	return f
}

// Read reads what Linux tells in files, of a root directory. Elsewhere there is none, and all is unknown.
func Read(root fs.FS) Facts {
	r := reader{root}
	f := Facts{
		Kernel:   r.text("proc/sys/kernel/osrelease"),
		Seccomp:  r.field("proc/self/status", "Seccomp:", 0),
		Disabled: r.number("proc/sys/kernel/io_uring_disabled", 0),

		Files:      r.field("proc/self/limits", "Max open files", 0),
		FilesMost:  r.field("proc/self/limits", "Max open files", 1),
		FilesOpen:  r.number("proc/sys/fs/file-nr", 0),
		FilesAll:   r.number("proc/sys/fs/file-max", 0),
		FilesRaise: r.number("proc/sys/fs/nr_open", 0),
		Locked:     r.field("proc/self/limits", "Max locked memory", 0),

		Backlog:     r.number("proc/sys/net/core/somaxconn", 0),
		PortFirst:   r.number("proc/sys/net/ipv4/ip_local_port_range", 0),
		PortLast:    r.number("proc/sys/net/ipv4/ip_local_port_range", 1),
		Tracked:     r.number("proc/sys/net/netfilter/nf_conntrack_count", 0),
		TrackedMost: r.number("proc/sys/net/netfilter/nf_conntrack_max", 0),

		Memory:     kib(r.field("proc/meminfo", "MemTotal:", 0)),
		MemoryFree: kib(r.field("proc/meminfo", "MemAvailable:", 0)),
	}
	f.Budget, f.BudgetFree = r.budget()
	return f
}

func kib(n int64) int64 {
	if n < 0 {
		return n
	}
	return n << 10
}

// reader reads small files.
type reader struct{ fs.FS }

func (r reader) text(name string) string {
	b, _ := fs.ReadFile(r.FS, name)
	return string(bytes.TrimSpace(b))
}

// number is a word of a file.
func (r reader) number(name string, word int) int64 {
	return number(strings.Fields(r.text(name)), word)
}

// field is a word behind the name of a line.
func (r reader) field(name, line string, word int) int64 {
	for lines := bufio.NewScanner(strings.NewReader(r.text(name))); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), line); ok {
			return number(strings.Fields(rest), word)
		}
	}
	return unknown
}

// endless is a limit that is none.
const endless = 1 << 62

func number(words []string, i int) int64 {
	if i >= len(words) {
		return unknown
	}
	if words[i] == "unlimited" || words[i] == "max" {
		return endless
	}
	n, err := strconv.ParseInt(words[i], 10, 64)
	if err != nil {
		return unknown
	}
	return min(n, endless)
}

// memoryFiles are where a version of control groups tells of memory: its bound, what is used, and what of that
// are files that the kernel drops when it needs the memory.
type memoryFiles struct{ dir, most, used, stat, cache string }

var (
	memory1 = memoryFiles{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat", "total_inactive_file "}
	memory2 = memoryFiles{"sys/fs/cgroup", "memory.max", "memory.current", "memory.stat", "inactive_file "}
)

// budget is the memory that the control groups of this process may have, and what is free of that, in the
// group that leaves the least: of version 2 or, where that is not in use, of version 1. What is used and not known
// counts as nothing.
func (r reader) budget() (most, free int64) {
	most, free = unknown, unknown
	for line := range strings.Lines(r.text("proc/self/cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		of := memory2
		switch {
		case parts[1] == "memory":
			of = memory1
		case parts[0] != "0":
			continue
		}
		for at := path.Join("/", parts[2]); ; at = path.Dir(at) {
			in := func(name string) string { return path.Join(of.dir, at, name) }
			n := r.number(in(of.most), 0)
			used := max(0, r.number(in(of.used), 0)) - max(0, r.field(in(of.stat), of.cache, 0))
			if left := max(0, n-max(0, used)); n >= 0 && n < 1<<60 && (free < 0 || left < free) {
				most, free = n, left
			}
			if at == "/" {
				break
			}
		}
	}
	return most, free
}
