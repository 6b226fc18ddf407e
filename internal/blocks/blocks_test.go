package blocks

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A block is as large as it is asked for, empty, and nobody else's; what is free is counted, and
// is not more than the bound, whatever is given back.
func TestPool(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	var p Pool
	var out [][]byte
	used := map[*byte]bool{}
	reused := 0
	for range 20_000 {
		if len(out) < 40 && rng.IntN(2) == 0 {
			size := SizeFor(1+rng.IntN(1<<rng.IntN(22)), math.MaxInt)
			idle := p.idle
			mem := p.Get(size)
			if len(mem) != 0 || cap(mem) != size {
				t.Fatalf("a block of %d bytes, %d of them filled, want one of %d", cap(mem), len(mem), size)
			}
			if first := &mem[:1][0]; used[first] {
				t.Fatal("two have the same block")
			} else {
				used[first] = true
			}
			if p.idle < idle {
				reused++
			}
			out = append(out, append(mem, 1))
		} else if len(out) > 0 {
			i := rng.IntN(len(out))
			mem := out[i]
			out[i] = out[len(out)-1]
			out = out[:len(out)-1]
			delete(used, &mem[0])
			p.Put(mem)
		}
		idle := 0
		for _, blocks := range p.free {
			for _, mem := range blocks {
				idle += cap(mem)
			}
		}
		if p.idle != idle || idle > idleMost {
			t.Fatalf("%d bytes are free, %d are counted, the bound is %d", idle, p.idle, idleMost)
		}
	}
	if reused == 0 {
		t.Error("no block was used again")
	}
	p.Put(nil)
}

// The size has room for the bytes, and for no more than may come.
func TestSizeFor(t *testing.T) {
	for _, x := range []struct{ n, most, want int }{
		{0, 1000, 64}, {1, 1000, 64}, {64, 1000, 64}, {65, 1000, 128}, {65, 100, 100}, {100, 10, 100},
		{1 << 20, math.MaxInt, 1 << 20}, {1<<20 + 4, math.MaxInt, 5<<18 + 5}, {4 << 20, 4<<20 + 7, 4<<20 + 7},
	} {
		if got := SizeFor(x.n, x.most); got != x.want {
			t.Errorf("for %d bytes of at most %d: %d, want %d", x.n, x.most, got, x.want)
		}
	}
}
