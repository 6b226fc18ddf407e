package soak

import (
	"fmt"
	"sync"
)

// The invariants, in the words of the verdict.
const (
	invBytes      = "every byte that arrives is the one that was sent"
	invOrder      = "a connection that ends in good order has lost nothing"
	invShutdown   = "a graceful shutdown loses nothing that is owed"
	invBound      = "nobody receives more than was sent"
	invReset      = "only those connections are reset that somebody reset"
	invCause      = "Closed is told the cause"
	invClosed     = "Closed is called once for each Opened"
	invStuck      = "nobody waits for long"
	invConnect    = "a server that runs can be connected to"
	invWrite      = "a callback can write to a connection that is open"
	invPanics     = "each panic of a handler is contained, and counted"
	invPending    = "what waits to be sent is bounded"
	invKept       = "what was received and is kept is bounded"
	invLimits     = "no limit strikes a client that gives no cause"
	invNothing    = "an engine without connections holds nothing"
	invGoroutines = "goroutines do not grow"
	invFiles      = "descriptors do not grow"
	invMemory     = "memory does not grow"
	invRestart    = "a server can be shut down, and another one take its address"
)

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string `json:"invariant"`
	Count     int    `json:"count"`
	First     string `json:"first"` // what was seen when it was violated first
}

// String is the invariant and what was seen.
func (v Violation) String() string {
	s := v.Invariant + ": " + v.First
	if v.Count > 1 {
		s += fmt.Sprintf(" (and %d times more)", v.Count-1)
	}
	return s
}

// verdict collects violations.
type verdict struct {
	tell  func(invariant string) // nil, or to be told of each that is violated the first time
	mu    sync.Mutex
	found []Violation
}

// violated notes one.
func (v *verdict) violated(invariant, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.found {
		if v.found[i].Invariant == invariant {
			v.found[i].Count++
			return
		}
	}
	if v.tell != nil {
		v.tell(invariant)
	}
	v.found = append(v.found, Violation{invariant, 1, fmt.Sprintf(format, args...)})
}

func (v *verdict) violations() []Violation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]Violation(nil), v.found...)
}
