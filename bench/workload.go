//go:build linux

package main

import (
	"fmt"
	"strconv"
	"strings"
)

// workload is what is asked of a server: so many connections, each with so many
// messages of a size in flight, and so many event loops to serve them.
type workload struct{ Conns, Size, Flight, Loops int }

// String gives the form that UnmarshalText reads: 1000x64x1, with two loops
// 1000x64x1@2.
func (w workload) String() string {
	s := fmt.Sprintf("%dx%dx%d", w.Conns, w.Size, w.Flight)
	if w.Loops != 1 {
		s += fmt.Sprintf("@%d", w.Loops)
	}
	return s
}

// UnmarshalText reads connections, bytes, messages in flight and, if there are
// several, loops.
func (w *workload) UnmarshalText(b []byte) error {
	text, loops, several := strings.Cut(string(b), "@")
	got := workload{Loops: 1}
	n, err := fmt.Sscanf(text, "%dx%dx%d", &got.Conns, &got.Size, &got.Flight)
	if several && err == nil {
		got.Loops, err = strconv.Atoi(loops)
	}
	if n != 3 || err != nil || min(got.Conns, got.Size, got.Flight, got.Loops) < 1 || got.Size*got.Flight > 16<<20 {
		return fmt.Errorf("%q is not connections x bytes x messages in flight, such as 1000x64x1 or 1000x64x1@2", b)
	}
	*w = got
	return nil
}

// heading is for people.
func (w workload) heading() string {
	s := fmt.Sprintf("%d connections × %d bytes, %d in flight", w.Conns, w.Size, w.Flight)
	if w.Conns == 1 {
		s = strings.Replace(s, "connections", "connection", 1)
	}
	if w.Loops != 1 {
		s += fmt.Sprintf(", %d loops", w.Loops)
	}
	return s
}

// serverCPUs are where the server runs, and loadCPUs where the load comes from.
// Two loops need both CPUs, and so share them with the load.
func (w workload) serverCPUs() []int {
	if w.Loops > 1 {
		return []int{0, 1}
	}
	return []int{0}
}

func (w workload) loadCPUs() []int {
	if w.Loops > 1 {
		return []int{0, 1}
	}
	return []int{1}
}

// matrix is every combination, but those that would have more in flight than
// half of what the kernel lets TCP queue before it feels pressed: they would
// measure its memory, not the servers.
func matrix(conns, sizes, flights []int) (cases []workload) {
	most := tcpPressure() / 2
	for _, flight := range flights {
		for _, size := range sizes {
			for _, n := range conns {
				if n*size*flight <= most {
					cases = append(cases, workload{n, size, flight, 1})
				}
			}
		}
	}
	return cases
}
