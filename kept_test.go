package proactor

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// Whatever is kept and consumed, in whatever order, the rest is that of the
// stream; the memory that is counted is the memory that there is, is not over the
// limit, and is not much more than the rest needs. What does not fit changes nothing.
func TestKept(t *testing.T) {
	refused := 0
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 0))
		e := &Engine{cfg: Config{MaxInbound: 1 << (8 + rng.IntN(16))}}
		l := &loop{engine: e, portion: 1 << rng.IntN(16)}
		limits := Limits{MaxMessage: []int{1, 1000, 1 << 16, 1 << 20, math.MaxInt}[rng.IntN(5)]}
		c := &Conn{shared: &shared{loop: l, cfg: &settings{limits: limits}}}
		var want []byte // the rest of the stream
		had := 0
		for range 300 {
			b := make([]byte, 1+rng.IntN(1<<rng.IntN(17)))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			var ok bool
			switch old := want; rng.IntN(5) {
			case 0, 1:
				if ok = c.keep(b); ok {
					want = append(bytes.Clone(old), b...)
				}
			case 2:
				if ok = c.retain(b); ok {
					want = b
				} else { // as its caller ends the stream then
					c.forget()
					want = nil
				}
			default:
				ok = true
				if c.kept != nil {
					n := rng.IntN(len(want) + 1)
					want = want[n:]
					c.skip(n)
				}
			}
			if !ok {
				refused++
			}
			var rest, mem []byte
			if c.kept != nil {
				rest, mem = c.kept.unread(), c.kept.mem
			}
			if !bytes.Equal(rest, want) {
				t.Fatalf("seed %d: %d bytes are kept, want %d, or others", seed, len(rest), len(want))
			}
			if n := e.inbound.Load(); n != int64(cap(mem)) || n > e.cfg.MaxInbound {
				t.Fatalf("seed %d: %d bytes are counted, there are %d, the limit is %d", seed, n, cap(mem), e.cfg.MaxInbound)
			}
			if most := max(8*len(rest), 256); cap(mem) > most {
				t.Fatalf("seed %d: %d bytes of memory for %d", seed, cap(mem), len(rest))
			}
			if most := max(c.keepMost(), len(rest)); cap(mem) > had && cap(mem) > most {
				t.Fatalf("seed %d: %d bytes of memory were taken for %d, where no message needs more than %d", seed, cap(mem), len(rest), most)
			}
			had = cap(mem)
		}
		c.forget()
		if n := e.inbound.Load(); n != 0 {
			t.Fatalf("seed %d: %d bytes are counted when nothing is kept", seed, n)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// A message that comes in small pieces, and messages that are taken in small
// pieces, cost their length, not its square: so few blocks are taken.
func TestKeptGrowsSeldom(t *testing.T) {
	const piece, n = 100, 10_000
	e := &Engine{cfg: Config{MaxInbound: math.MaxInt64}}
	l := &loop{engine: e, portion: 1 << 16}
	c := &Conn{shared: &shared{loop: l, cfg: &settings{limits: Limits{MaxMessage: 2 * piece * n}}}}
	moved, from := 0, 0
	var last *byte
	look := func() {
		k := c.kept
		if at := &k.mem[:1][0]; at != last || k.from < from {
			moved += len(k.unread())
			last = at
		}
		from = k.from
	}
	for range n {
		c.keep(make([]byte, piece))
		look()
	}
	for range n { // as much comes as is taken
		c.skip(piece)
		c.keep(make([]byte, piece))
		look()
	}
	for range n - 1 {
		c.skip(piece)
		look()
	}
	if most := 4 * 2 * piece * n; moved > most {
		t.Errorf("%d bytes were moved for %d, want at most %d", moved, 2*piece*n, most)
	}
}

// Records that hold nothing are used again, up to a bound.
func TestKeptRecords(t *testing.T) {
	l := new(loop)
	first := l.newKept()
	l.freeKept(first)
	if l.newKept() != first {
		t.Error("a record was not used again")
	}
	for range idleKepts + 10 {
		l.freeKept(new(kept))
	}
	if len(l.kepts) != idleKepts {
		t.Errorf("%d records are kept, want %d", len(l.kepts), idleKepts)
	}
}
