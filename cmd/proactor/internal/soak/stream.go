package soak

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"

	"github.com/proactor-go/proactor/cmd/proactor/internal/pattern"
)

// What a frame asks of the one that answers it. All but the last two are echoed.
const (
	askEcho   = 'e' // by Write
	askPieces = 'v' // by Writev
	askShared = 's' // by WriteShared
	askBlock  = 'b' // by a handler that blocks for some milliseconds
	askPause  = 'q' // and reads are paused for a while
	askWorker = 'w' // by another goroutine, while reads are paused
	askClose  = 'c' // and then the connection is closed
	askPanic  = 'p' // with a panic
	askReset  = 'r' // with a reset
)

const (
	headerLen  = 16
	maxPayload = 250_000
	pieceLen   = 64 << 10 // bytes of payload that can be had at once
)

var table = pattern.New(pieceLen)

// payloads are how long the payloads of a connection may be at most; each draws
// one of them.
var payloads = []int{1, 64, 1500, 16_000, 70_000, maxPayload}

// stream is all that a connection sends: frames, each of a header (what it
// asks, how long it is, the connection's number) and a payload. It depends on
// the seed, the number and the way alone, so who sends, who answers and who
// reads the answers can each have one, and compare.
type stream struct {
	way    *way
	rng    *rand.Rand
	frames int // that are still to come
	most   int // bytes of a payload
	header [headerLen]byte
	size   int // of the payload of this frame
	at     int // bytes of this frame that are out
	place  int
}

func newStream(seed, id uint64, w *way) *stream {
	s := &stream{way: w, rng: rand.New(rand.NewPCG(seed, id)), place: table.Place(int(id >> 1)), at: headerLen}
	s.frames = between(s.rng, w.frames)
	s.most = min(payloads[s.rng.IntN(len(payloads))], w.payload)
	binary.BigEndian.PutUint64(s.header[8:], id)
	return s
}

// frameLen is how long a frame may be at most.
func (s *stream) frameLen() int { return headerLen + s.most }

// rest is how much of the frame is still to come.
func (s *stream) rest() int { return headerLen + s.size - s.at }

// next begins the next frame; false: there is none.
func (s *stream) next() bool {
	if s.frames == 0 {
		return false
	}
	s.frames--
	s.header[0] = s.ask()
	s.size = 1 + s.rng.IntN(s.most)
	binary.BigEndian.PutUint32(s.header[4:], uint32(s.size))
	s.at = 0
	return true
}

func (s *stream) ask() byte {
	if s.frames == 0 && s.way.last != 0 {
		return s.way.last
	}
	switch n := s.rng.IntN(1000); {
	case n < 2:
		return askBlock
	case n < 20:
		return askPause
	case n < 60:
		return askWorker
	case n < 200:
		return askShared
	case n < 400:
		return askPieces
	}
	return askEcho
}

// piece gives up to n of the bytes that come next; none at the end.
func (s *stream) piece(n int) []byte {
	if s.rest() == 0 && !s.next() {
		return nil
	}
	if s.at < headerLen {
		p := s.header[s.at:min(s.at+n, headerLen)]
		s.at += len(p)
		return p
	}
	p := table.Message(s.place, min(n, s.rest(), pieceLen))
	s.at += len(p)
	s.place = table.After(s.place, len(p))
	return p
}

// fill copies what comes next; less than b holds only at the end.
func (s *stream) fill(b []byte) (n int) {
	for n < len(b) {
		p := s.piece(len(b) - n)
		if len(p) == 0 {
			break
		}
		n += copy(b[n:], p)
	}
	return n
}

// check reports whether b is what comes next.
func (s *stream) check(b []byte) bool {
	for len(b) > 0 {
		p := s.piece(len(b))
		if len(p) == 0 || !bytes.Equal(p, b[:len(p)]) {
			return false
		}
		b = b[len(p):]
	}
	return true
}

// ended reports whether all is out.
func (s *stream) ended() bool { return s.frames == 0 && s.rest() == 0 }

// frame cuts the first frame off p; nil while it is incomplete. Not ok: no
// frame begins so.
func frame(p []byte) (f []byte, ok bool) {
	if len(p) < headerLen {
		return nil, true
	}
	n := binary.BigEndian.Uint32(p[4:])
	if n < 1 || n > maxPayload {
		return nil, false
	}
	if len(p) < headerLen+int(n) {
		return nil, true
	}
	return p[:headerLen+n], true
}

// numberOf is that of the connection to which a frame belongs.
func numberOf(f []byte) uint64 { return binary.BigEndian.Uint64(f[8:]) }

// between draws a number from a range, its ends included.
func between[T ~int | ~int64](r *rand.Rand, ends [2]T) T {
	return ends[0] + T(r.Int64N(int64(ends[1]-ends[0])+1))
}
