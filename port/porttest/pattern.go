package porttest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/proactor-go/proactor/internal/must"
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
	for len(p) > 0 {
		n := min(len(p), patternLen-i)
		masked(p[:n], pattern[i:], x)
		p, i, x = p[n:], 0, x+31
	}
}

// masked fills p with bytes of the pattern under a mask, eight at a time.
func masked(p, of []byte, mask byte) {
	for ; len(p) >= 8; p, of = p[8:], of[8:] {
		binary.NativeEndian.PutUint64(p, binary.NativeEndian.Uint64(of)^uint64(mask)*0x0101010101010101)
	}
	for k := range p {
		p[k] = of[k] ^ mask
	}
}

func (s stream) bytes(off int64, n int) []byte {
	p := make([]byte, n)
	s.fill(p, off)
	return p
}

func (s stream) check(p []byte, off int64) error {
	var piece [512]byte
	for len(p) > 0 {
		want := piece[:min(len(p), len(piece))]
		s.fill(want, off)
		if !bytes.Equal(p[:len(want)], want) {
			k := must.Differs(p, want)
			return fmt.Errorf("wrong byte at offset %d of stream %d: %#x, want %#x", off+int64(k), s, p[k], want[k])
		}
		p, off = p[len(want):], off+int64(len(want))
	}
	return nil
}
