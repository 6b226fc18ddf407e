package proactor

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
)

// Whatever is queued, in whatever way and also while something is being sent, goes
// out once and in order, however much of it each send takes; and all memory is given
// back. What was borrowed is not looked at any more once it is owned.
func TestOutbound(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var (
			p        pool
			o        = p.outbound(nil)
			in, out  []byte
			borrowed []byte // what is lent now
		)
		add := func() {
			b := make([]byte, 1+rng.IntN(1<<rng.IntN(19)))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			switch rng.IntN(4) {
			case 0:
				in = append(in, b...)
				o.share(&p, bytes.Clone(b))
			case 1:
				if !o.sending {
					borrowed = b
					for off := 0; off < len(b); off += rng.IntN(2) * rng.IntN(100) {
						n := 1 + rng.IntN(len(b)-off)
						in = append(in, b[off:off+n]...)
						o.borrow(b, off, n)
						off += n
					}
					break
				}
				fallthrough
			default:
				in = append(in, b...)
				o.append(&p, b)
				clear(b)
			}
		}
		own := func() {
			o.own(&p)
			clear(borrowed)
			borrowed = nil
		}
		for step := range 60 {
			for range rng.IntN(4) {
				if borrowed == nil { // the test remembers one
					add()
				}
			}
			if o.pending == 0 {
				continue
			}
			o.gather()
			o.sending = true
			sent := slices.Concat(o.vec...)
			if len(sent) != o.was || o.was == 0 || o.was > sendMost {
				t.Fatalf("seed %d, step %d: a send of %d bytes, which should be %d", seed, step, len(sent), o.was)
			}
			if rng.IntN(2) == 0 {
				add()
			}
			n := o.was
			if rng.IntN(2) == 0 {
				n = rng.IntN(n + 1)
			}
			o.sending = false
			o.drop(&p, n)
			out = append(out, sent[:n]...)
			if rng.IntN(2) == 0 || n < len(sent) {
				own()
			}
			if o.pending != len(in)-len(out) {
				t.Fatalf("seed %d, step %d: %d bytes wait, which should be %d", seed, step, o.pending, len(in)-len(out))
			}
		}
		for own(); o.pending > 0; o.drop(&p, o.was) {
			o.gather()
			out = append(out, slices.Concat(o.vec...)...)
		}
		if !bytes.Equal(in, out) {
			t.Fatalf("seed %d: %d bytes went out of %d, or others", seed, len(out), len(in))
		}
		p.put(o)
		if n := p.inUse(); n != 0 {
			t.Fatalf("seed %d: %d buffers are still in use", seed, n)
		}
	}
}

// The memory that chunks have is never much more than what waits in them, however
// copies and shared payloads take turns.
func TestOutboundIsBoundedAsMemory(t *testing.T) {
	const waits = 1 << 20
	shared := make([]byte, 32<<10)
	worst := func(name string, copied, payload int) {
		var p pool
		o := p.outbound(nil)
		for o.pending < waits {
			o.append(&p, make([]byte, copied))
			o.share(&p, shared[:payload])
		}
		memory := 0
		for _, c := range o.chunks {
			if c.of == ofPool {
				memory += cap(c.mem)
			}
		}
		if most := 3*o.pending + classes[len(classes)-1].size; memory > most {
			t.Errorf("%s: %d bytes of memory for %d that wait, at most %d are allowed", name, memory, o.pending, most)
		}
	}
	worst("few bytes between small payloads", 1, sharedLeast+1)
	worst("few bytes between payloads of a small chunk", 1, 2<<10)
	worst("a chunk and a byte", 2<<10+1, 2<<10+1)
	worst("two chunks and a byte", 18<<10+1, 16<<10+1)
	rng := rand.New(rand.NewPCG(1, 0))
	for range 300 {
		worst("by chance", 1+rng.IntN(1<<rng.IntN(18)), 1+rng.IntN(1<<rng.IntN(16)))
	}
}

// What is given back is kept for others up to a bound: of each size of chunk, and of records. One
// whose list has grown long keeps no list.
func TestPoolKeeps(t *testing.T) {
	var p pool
	for class, size := range classes {
		var chunks []chunk
		for range size.keep + 10 {
			c := p.chunk(size.size)
			if cap(c.mem) != size.size || int(c.class) != class {
				t.Fatalf("a chunk of %d bytes, class %d, for %d", cap(c.mem), c.class, size.size)
			}
			chunks = append(chunks, c)
		}
		for _, c := range chunks {
			p.putChunk(c)
		}
		if n := len(p.chunks[class]); n != size.keep {
			t.Errorf("%d chunks of %d bytes are kept, want %d", n, size.size, size.keep)
		}
	}
	var outs []*outbound
	for range 10 {
		outs = append(outs, p.outbound(nil))
	}
	outs[0].chunks = make([]chunk, 0, 2*keepChunks)
	for _, o := range outs {
		p.put(o)
	}
	if outs[0].chunks != nil {
		t.Errorf("a record is kept with a list of %d chunks", cap(outs[0].chunks))
	}
	if len(p.used) != 0 || p.inUse() != 0 {
		t.Errorf("%d and %d records are in use", len(p.used), p.inUse())
	}
}
