package websocket

import (
	"errors"
	"slices"
)

// puzzle inflates a message bit by bit, by the text of RFC 1951, for comparison. It panics with what is
// wrong, see inflated.
type puzzle struct {
	in     []byte
	bit    int // of in, the next one
	out    []byte
	from   int // where the message begins in out, after what was said
	window int // bytes
	most   int // bytes that the message may have
}

var (
	errPuzzle = errors.New("this cannot be inflated")
	errMuch   = errors.New("the message is too long")
)

// inflated unpacks a message that follows what was said, for a peer that can look back so far.
func inflated(p, said []byte, window, most int) (out []byte, err error) {
	z := puzzle{in: slices.Concat(p, sourceEnd), out: slices.Clone(said), from: len(said), window: window, most: most}
	defer func() {
		if r := recover(); r != nil {
			err = r.(error)
		}
	}()
	last := false
	for finals := 0; z.bit < 8*len(z.in); {
		if finals == finalsMost {
			panic(errPuzzle)
		}
		if last = z.block(); last {
			finals++
			z.bit = (z.bit + 7) &^ 7
		}
	}
	if !last { // a block of the message has swallowed the end that was added
		panic(errPuzzle)
	}
	return z.out[z.from:], nil
}

func (z *puzzle) bits(n int) (v int) {
	for i := range n {
		if z.bit == 8*len(z.in) {
			panic(errPuzzle)
		}
		v |= int(z.in[z.bit/8]>>(z.bit%8)&1) << i
		z.bit++
	}
	return v
}

func (z *puzzle) put(b byte) {
	if z.out = append(z.out, b); len(z.out)-z.from > z.most {
		panic(errMuch)
	}
}

func (z *puzzle) block() (last bool) {
	last = z.bits(1) == 1
	var lengths, distances []int
	switch z.bits(2) {
	case 0:
		z.bit = (z.bit + 7) &^ 7
		n := z.bits(16)
		if z.bits(16) != n^0xffff {
			panic(errPuzzle)
		}
		for range n {
			z.put(byte(z.bits(8)))
		}
		return last
	case 1:
		lengths = slices.Concat(slices.Repeat([]int{8}, 144), slices.Repeat([]int{9}, 112), slices.Repeat([]int{7}, 24), slices.Repeat([]int{8}, 8))
		distances = slices.Repeat([]int{5}, 32)
	case 2:
		lengths, distances = z.codes()
	default:
		panic(errPuzzle)
	}
	z.symbols(newTree(lengths), newTree(distances))
	return last
}

// codes reads the lengths of the codes of a block that has its own.
func (z *puzzle) codes() (lengths, distances []int) {
	n, d, k := 257+z.bits(5), 1+z.bits(5), 4+z.bits(4)
	if n > 286 || d > 30 {
		panic(errPuzzle)
	}
	first := make([]int, 19)
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:k] {
		first[i] = z.bits(3)
	}
	var all []int
	for t := newTree(first); len(all) < n+d; {
		switch s := z.symbol(t); {
		case s < 16:
			all = append(all, s)
		case s == 16 && len(all) > 0:
			all = append(all, slices.Repeat(all[len(all)-1:], 3+z.bits(2))...)
		case s == 17:
			all = append(all, make([]int, 3+z.bits(3))...)
		case s == 18:
			all = append(all, make([]int, 11+z.bits(7))...)
		default:
			panic(errPuzzle)
		}
	}
	if len(all) > n+d {
		panic(errPuzzle)
	}
	return all[:n], all[n:]
}

func (z *puzzle) symbols(t, distances tree) {
	for {
		s := z.symbol(t)
		if s == 256 {
			return
		}
		if s < 256 {
			z.put(byte(s))
			continue
		}
		if s > 285 {
			panic(errPuzzle)
		}
		length := 258
		if s < 285 {
			length = 3 + z.stepped(s-257, 4)
		}
		d := z.symbol(distances)
		if d > 29 {
			panic(errPuzzle)
		}
		back := 1 + z.stepped(d, 2)
		if back > min(len(z.out), z.window) {
			panic(errPuzzle)
		}
		for range length {
			z.put(z.out[len(z.out)-back])
		}
	}
}

// stepped is a number of which s tells the first bits, and how many follow (RFC 1951, 3.2.5): after the
// first 2n, n symbols have as many.
func (z *puzzle) stepped(s, n int) int {
	if s < 2*n {
		return s
	}
	extra := s/n - 1
	return (n+s%n)<<extra + z.bits(extra)
}

// tree finds symbols by their codes: the code after a 1.
type tree map[int]int

func newTree(lengths []int) tree {
	t, code, longest := tree{}, 0, slices.Max(lengths)
	for n := 1; n <= longest; n++ {
		code <<= 1
		for s, l := range lengths {
			if l == n {
				t[1<<n|code] = s
				code++
			}
		}
		if code > 1<<n {
			panic(errPuzzle)
		}
	}
	if longest > 0 && code != 1<<longest && !(code == 1 && longest == 1) {
		panic(errPuzzle)
	}
	return t
}

func (z *puzzle) symbol(t tree) int {
	for code, n := 1, 0; n < 15; n++ {
		code = code<<1 | z.bits(1)
		if s, ok := t[code]; ok {
			return s
		}
	}
	panic(errPuzzle)
}
