package goid

import (
	"runtime"
	"testing"
	"testing/synctest"
)

// Each goroutine has a number of its own, and keeps it.
func TestCurrent(t *testing.T) {
	mine, other := Current(), make(chan uint64)
	go func() { other <- Current() }()
	if n := <-other; n == 0 || mine == 0 || n == mine || Current() != mine {
		t.Errorf("this one is %d, then %d, another %d", mine, Current(), n)
	}
}

// A goroutine knows its bubble, and in none that it is in none.
func TestBubble(t *testing.T) {
	var first, second uint64
	synctest.Test(t, func(t *testing.T) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		first = Bubble()
	})
	synctest.Test(t, func(t *testing.T) { second = Bubble() })
	if first == 0 || second == 0 || first == second || Bubble() != 0 {
		t.Errorf("bubbles %d and %d, outside %d", first, second, Bubble())
	}
}

// Whose a goroutine is, it alone is told, until it is nobody's any more.
func TestOwner(t *testing.T) {
	me, others := new(int), make(chan any)
	Own(me)
	go func() { others <- Owner() }()
	if other := <-others; Owner() != me || other != nil {
		t.Errorf("this one is of %v, another of %v", Owner(), other)
	}
	if Disown(); Owner() != nil {
		t.Errorf("still of %v", Owner())
	}
}

// A goroutine is the same when its stack has grown, which moves it, and asking takes no memory.
func TestOwnerStays(t *testing.T) {
	me := new(int)
	Own(me)
	defer Disown()
	if deep(200, [4096]byte{}) != me {
		t.Error("not the same on a larger stack")
	}
	if self() == any(Current()) {
		t.Skip("no cheap way on this architecture")
	}
	if n := testing.AllocsPerRun(100, func() { Owner() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// deep is Owner, at that depth of the stack.
func deep(n int, p [4096]byte) any {
	if n == 0 {
		return Owner()
	}
	p[n] = 1
	return deep(n-1, p)
}

func BenchmarkCurrent(b *testing.B) {
	for b.Loop() {
		Current()
	}
}

func BenchmarkOwner(b *testing.B) {
	b.ReportAllocs()
	Own(b)
	defer Disown()
	for b.Loop() {
		Owner()
	}
}
