package websocket

import (
	"compress/flate"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/proactor-go/proactor"
)

// inflater unpacks the messages of the connections of a loop, one at a time. So there is one message
// of up to MaxMessage bytes on a loop that is in nobody's books.
type inflater struct {
	in  source
	r   io.ReadCloser // of package flate, 40 KB
	out []byte
}

var inflaters proactor.PerLoop[inflater]

// inflaterMost, in bytes, is the memory for results that an inflater keeps.
const inflaterMost = 64 << 10

// finalsMost bounds the blocks of a message that say that they are the last. Each costs a new start.
const finalsMost = 16

// Blocks may be empty, and cost much all the same: 0.8 µs a byte, where each has codes of its own. So a message may
// have emptyMost bytes, and emptyTimes as many as it is inflated to: that is what a sender needs which flushes after
// each byte, also by empty blocks at which package flate hands nothing over before it has 32 KiB.
const emptyMost, emptyTimes = 192 << 10, 16

// source is a message and what it was sent without, see RFC 7692, 7.2.2: then the empty block at which
// a sender flushes has its end. A last block follows, so that package flate finds the end of all.
type source struct {
	p         []byte // to be read next
	rest, end []byte // after p
	taken     int    // bytes that were in rest before
	made      int    // bytes that came of them, but for what package flate has in itself, 32 KiB at most
}

var sourceEnd = []byte(flushEnd + "\x01" + flushEnd)

func newSource(p []byte) source { return source{rest: p, end: sourceEnd} }

func (s *source) empty() bool { return len(s.p)+len(s.rest)+len(s.end) == 0 }

// fill is called when p is empty.
func (s *source) fill() error {
	switch {
	case len(s.rest) == 0:
		s.p, s.end = s.end, nil
	case s.taken > emptyMost+emptyTimes*s.made:
		return errEmpty
	default:
		n := min(len(s.rest), 8<<10)
		s.p, s.rest = s.rest[:n], s.rest[n:]
		s.taken += n
	}
	if len(s.p) == 0 {
		return io.EOF
	}
	return nil
}

// ReadByte makes package flate read no more than it needs.
func (s *source) ReadByte() (byte, error) {
	if len(s.p) == 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	b := s.p[0]
	s.p = s.p[1:]
	return b, nil
}

func (s *source) Read(b []byte) (int, error) {
	if len(s.p) == 0 && len(b) > 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(b, s.p)
	s.p = s.p[n:]
	return n, nil
}

// inflate unpacks a message that follows what was said. The result is valid until the next call. It is
// never larger than most, nor is memory for more allocated, but for one byte.
func (f *inflater) inflate(p, said []byte, most int) ([]byte, error) {
	f.in = newSource(p)
	if f.r == nil {
		f.r = flate.NewReader(&f.in)
	}
	out, reset := f.out[:0], f.r.(flate.Resetter)
	for finals := 0; !f.in.empty(); finals++ {
		if finals == finalsMost {
			return nil, fault(errDeflate)
		}
		dict := said
		if finals > 0 {
			dict = slices.Concat(said, out[max(0, len(out)-1<<maxBits):])
		}
		reset.Reset(&f.in, dict)
		for {
			out = roomFor(out, min(512, most+1-len(out)), most+1)
			n, err := f.r.Read(out[len(out):cap(out)])
			if out = out[:len(out)+n]; len(out) > most {
				return nil, proactor.ErrTooLong
			}
			f.in.made = len(out)
			if err == io.EOF {
				break
			}
			if err == errEmpty {
				return nil, fault(err)
			}
			if err != nil {
				return nil, fault(errDeflate)
			}
		}
	}
	if f.out = nil; cap(out) <= inflaterMost {
		f.out = out
	}
	return out, nil
}

// unpack gives what a message was that follows what was said, and belongs to it then.
func (f *inflater) unpack(m message, said *history, most int) ([]byte, error) {
	p, err := f.inflate(m.p, said.said, most)
	if err != nil {
		return nil, err
	}
	if m.t == Text && !utf8.Valid(p) {
		return nil, fault(errUTF8)
	}
	said.add(p)
	return p, nil
}
