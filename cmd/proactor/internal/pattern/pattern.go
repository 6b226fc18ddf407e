// Package pattern is bytes by which it shows when a stream is not the one that
// was sent.
package pattern

import "bytes"

// Pattern is a stream that connections send. A connection begins somewhere in a
// table of arbitrary bytes and goes round: each byte depends on its position,
// and each connection is at a place of its own, so bytes that are lost,
// repeated, swapped or another connection's do not go unseen. The table's
// length is a prime, unlike that of any message or buffer.
type Pattern struct {
	table []byte // length, then its beginning again
}

const length = 131071

// New makes one from which messages of up to size bytes can be cut.
func New(size int) Pattern {
	t := make([]byte, length+size)
	x := uint64(0x9e3779b97f4a7c15)
	for i := range t[:length] {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		t[i] = byte(x >> 32)
	}
	for n := length; n < len(t); {
		n += copy(t[n:], t[n-length:n])
	}
	return Pattern{t}
}

// Place is where connection i begins.
func (p Pattern) Place(i int) int { return int(uint64(i) * 40503 % length) }

// Message is the n bytes at a place, n being at most what New was told. They
// must not be changed.
func (p Pattern) Message(place, n int) []byte { return p.table[place : place+n] }

// After is the place n bytes further on.
func (p Pattern) After(place, n int) int { return (place + n) % length }

// Check compares bytes with those that belong at a place. It returns how many
// are right, up to the first that is not.
func (p Pattern) Check(place int, b []byte) (right int) {
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
		place = (place + n) % length
	}
	return right
}
