package wheel

import (
	"slices"
	"testing"
	"time"
)

// A timer leaves its group alone, from any place in it, and once; the others end together.
func TestGroup(t *testing.T) {
	for gone := range 4 { // 3: none
		var w Wheel[int]
		var g Group[int]
		var timers [3]Timer[int]
		for i := range timers {
			timers[i].Of = i
			g.Add(&timers[i])
			w.Set(&timers[i], int64(time.Second))
		}
		var fired []int
		fire := func(tm *Timer[int]) { fired = append(fired, tm.Of) }
		want := []int{}
		if gone < 3 {
			timers[gone].Leave()
			timers[gone].Leave()
			want = append(want, gone)
		}
		var none Timer[int]
		w.Forget(&none)
		w.ForgetAll(&g)
		w.Advance(int64(2*time.Second), fire)
		if !slices.Equal(fired, want) {
			t.Errorf("without %d: %v have fired", gone, fired)
		}
		for i := range timers {
			if timers[i].link != nil || timers[i].behind != nil {
				t.Errorf("without %d: timer %d is still in the group", gone, i)
			}
		}
	}
}

// FiresBy and At speak of the tick, not of the time that was asked for.
func TestTimes(t *testing.T) {
	var w Wheel[int]
	w.Begin(int64(5 * time.Second))
	var tm Timer[int]
	at := int64(6*time.Second) + 1
	if tm.FiresBy(at) {
		t.Error("a timer fires that is not set")
	}
	w.Set(&tm, at)
	if rounded := int64(6*time.Second + Tick); tm.At() != rounded {
		t.Errorf("set for %d", tm.At())
	}
	if !tm.FiresBy(at) || !tm.FiresBy(at-1+int64(Tick)) || tm.FiresBy(at-1) {
		t.Error("FiresBy does not round as Set does")
	}
	if next, ok := w.Next(); !ok || next > tm.At() {
		t.Errorf("next: %d, %v", next, ok)
	}
}

// If a function did not return, the next Advance fires the timers that were due with it.
func TestInterrupted(t *testing.T) {
	var w Wheel[int]
	var timers [2]Timer[int]
	for i := range timers {
		w.Set(&timers[i], 1)
	}
	func() {
		defer func() { recover() }()
		w.Advance(int64(Tick), func(*Timer[int]) { panic("fired") })
	}()
	if !w.Interrupted() {
		t.Fatal("nothing is left over")
	}
	fired := 0
	w.Advance(int64(Tick), func(*Timer[int]) { fired++ })
	if fired != 1 || w.Interrupted() {
		t.Errorf("%d fired", fired)
	}
}
