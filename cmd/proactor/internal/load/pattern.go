package load

import "bytes"

// pattern is the stream that connections send, and so what must come back. A
// connection begins somewhere in a table of arbitrary bytes and goes round:
// each byte depends on its position, and each connection is at a place of its
// own, so bytes that are lost, repeated, swapped or another connection's do not
// go unseen. The table's length is a prime, unlike that of any message or
// buffer.
type pattern struct {
	table []byte // patternLen, then its beginning again
}

const patternLen = 131071

// newPattern makes one from which messages of up to size bytes can be cut.
func newPattern(size int) pattern {
	t := make([]byte, patternLen+size)
	x := uint64(0x9e3779b97f4a7c15)
	for i := range t[:patternLen] {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		t[i] = byte(x >> 32)
	}
	for n := patternLen; n < len(t); {
		n += copy(t[n:], t[n-patternLen:n])
	}
	return pattern{t}
}

// place is where connection i begins.
func (p pattern) place(i int) int { return int(uint64(i) * 40503 % patternLen) }

// message is the n bytes at a place, n being at most what newPattern was told.
func (p pattern) message(place, n int) []byte { return p.table[place : place+n] }

// after is the place n bytes further on.
func (p pattern) after(place, n int) int { return (place + n) % patternLen }

// check compares bytes with those that belong at a place. It returns how many
// are right, up to the first that is not.
func (p pattern) check(place int, b []byte) (right int) {
	for len(b) > 0 {
		n := min(len(b), len(p.table)-place)
		if want := p.table[place : place+n]; !bytes.Equal(b[:n], want) {
			for b[0] == want[0] {
				right, b, want = right+1, b[1:], want[1:]
			}
			return right
		}
		right += n
		b = b[n:]
		place = (place + n) % patternLen
	}
	return right
}
