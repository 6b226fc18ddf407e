package goid

import "testing"

// Each goroutine has a number of its own, and keeps it.
func TestCurrent(t *testing.T) {
	mine, other := Current(), make(chan uint64)
	go func() { other <- Current() }()
	if n := <-other; n == 0 || mine == 0 || n == mine || Current() != mine {
		t.Errorf("this one is %d, then %d, another %d", mine, Current(), n)
	}
}
