package porttest

import (
	"fmt"
	"math/rand/v2"
)

// stream is an endless run of bytes, each of which tells where in which stream
// it belongs: bytes that are lost, doubled, swapped, or another connection's
// show at once.
type stream uint64

// The bytes repeat after a prime, and differ in each round, so that no buffer
// size hides a mistake.
const patternLen = 65521

var pattern = func() (p [patternLen]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}()

// start is where in the pattern, and with which mask, offset off is.
func (s stream) start(off int64) (int, byte) {
	o := uint64(off) + uint64(s)*7919
	return int(o % patternLen), byte(o/patternLen*31 + uint64(s)*17)
}

func (s stream) fill(p []byte, off int64) {
	i, x := s.start(off)
	for k := range p {
		p[k] = pattern[i] ^ x
		if i++; i == patternLen {
			i, x = 0, x+31
		}
	}
}

func (s stream) bytes(off int64, n int) []byte {
	p := make([]byte, n)
	s.fill(p, off)
	return p
}

func (s stream) check(p []byte, off int64) error {
	i, x := s.start(off)
	for k := range p {
		if p[k] != pattern[i]^x {
			return fmt.Errorf("wrong byte at offset %d of stream %d: %#x, want %#x", off+int64(k), s, p[k], pattern[i]^x)
		}
		if i++; i == patternLen {
			i, x = 0, x+31
		}
	}
	return nil
}
