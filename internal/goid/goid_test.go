package goid

import (
	"runtime"
	"sync"
	"testing"
)

// Each goroutine has a number of its own, and keeps it.
func TestCurrent(t *testing.T) {
	mine, other := Current(), make(chan uint64)
	go func() { other <- Current() }()
	if n := <-other; n == 0 || mine == 0 || n == mine || Current() != mine {
		t.Errorf("this one is %d, then %d, another %d", mine, Current(), n)
	}
}

// Goroutines that live at the same time have marks of their own, and keep them
// while their stacks move.
func TestMark(t *testing.T) {
	if Mark() == 0 {
		t.Skipf("no marks on %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	const others = 100
	marks, end := make(chan [2]uintptr), make(chan struct{})
	var all sync.WaitGroup
	for range others {
		all.Go(func() {
			first := Mark()
			marks <- [2]uintptr{first, deep(1000)}
			<-end
		})
	}
	seen := map[uintptr]bool{Mark(): true}
	for range others {
		if m := <-marks; m[0] == 0 || m[0] != m[1] || seen[m[0]] {
			t.Errorf("%#x, then %#x; another has it: %v", m[0], m[1], seen[m[0]])
		} else {
			seen[m[0]] = true
		}
	}
	close(end)
	all.Wait()
}

// deep asks for the mark so many calls further down.
func deep(calls int) uintptr {
	if calls == 0 {
		return Mark()
	}
	return deep(calls - 1)
}

func BenchmarkMark(b *testing.B) {
	for b.Loop() {
		Mark()
	}
}

func BenchmarkCurrent(b *testing.B) {
	for b.Loop() {
		Current()
	}
}
