package wheel

import (
	"math/rand/v2"
	"testing"
)

// The wheel fires what a list of all timers would, in the order of the ticks,
// never early, each once; whatever is set and stopped meanwhile, and where
// the clock stands.
func TestWheelAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		w := Wheel[int]{now: []int64{0, 1, 63, 64, 4095, 1<<31 - 2, 1<<32 - 2, 1<<36 - 3, 1 << 40}[seed%9]}
		pending := map[*Timer[int]]int64{} // the model: when each is due
		set := func() {
			d := rng.Int64N(1 << rng.IntN(30))
			tm := new(Timer[int])
			w.Set(tm, (w.now+d)*int64(Tick)-rng.Int64N(int64(Tick)))
			pending[tm] = max(w.now+d, w.now+1)
		}
		for range 400 {
			switch rng.IntN(4) {
			case 0, 1:
				set()
			case 2:
				for tm := range pending { // any one
					w.Drop(tm)
					delete(pending, tm)
					break
				}
			case 3:
				to := w.now + rng.Int64N(1<<rng.IntN(30))
				last := w.now
				w.Advance(to*int64(Tick)+rng.Int64N(int64(Tick)), func(tm *Timer[int]) {
					when, ok := pending[tm]
					switch {
					case !ok:
						t.Fatalf("seed %d: a timer fired that was stopped, or twice", seed)
					case when > w.now || when > to:
						t.Fatalf("seed %d: fired at %d, due at %d", seed, w.now, when)
					case when < last:
						t.Fatalf("seed %d: fired after a later one", seed)
					}
					last = when
					delete(pending, tm)
					if rng.IntN(8) == 0 {
						set()
					}
				})
				for _, when := range pending {
					if when <= to {
						t.Fatalf("seed %d: due at %d, not fired at %d", seed, when, to)
					}
				}
			}
			if w.count != len(pending) {
				t.Fatalf("seed %d: %d timers, want %d", seed, w.count, len(pending))
			}
			if at, ok := w.Next(); ok != (len(pending) > 0) || ok && at <= w.now*int64(Tick) {
				t.Fatalf("seed %d: nearest is %d, %v; %d pending, now %d", seed, at, ok, len(pending), w.now)
			}
		}
	}
}
