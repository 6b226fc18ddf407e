package frame

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Varint is the framing of messages that each have their length before them as an unsigned
// varint: seven bits a byte, the lowest first, the top bit set in all bytes but the last
// (encoding/binary, Protocol Buffers). A length with more bytes than it needs is an
// error, so each message has exactly one form.
type Varint struct {
	Max int // most bytes of a message, without the length; 0: DefaultMax
}

// Split is a [bufio.SplitFunc]. It has no state, and reads nothing but the length.
func (f Varint) Split(data []byte, atEOF bool) (advance int, msg []byte, err error) {
	most := limit(f.Max)
	if most < 0 || most > math.MaxInt-binary.MaxVarintLen64 {
		return 0, nil, fmt.Errorf("%w: maximum %d", ErrInvalid, f.Max)
	}
	n, size := binary.Uvarint(data)
	switch {
	case size == 0 && len(data) < binary.MaxVarintLen64:
		return ask(len(data), 0, atEOF)
	case size <= 0:
		return 0, nil, &VarintError{}
	case size > 1 && data[size-1] == 0:
		return 0, nil, &VarintError{Overlong: true}
	case n > uint64(most):
		return 0, nil, &TooLongError{Max: most, Length: n}
	}
	end := size + int(n)
	if len(data) < end {
		return ask(len(data), end, atEOF)
	}
	return end, data[size:end:end], nil
}

// AppendHeader appends the length of a message of n bytes to dst. It fails with a
// *[TooLongError] if n is over the maximum; dst is returned unchanged then.
func (f Varint) AppendHeader(dst []byte, n int) ([]byte, error) {
	if most := limit(f.Max); n < 0 || n > most {
		return dst, &TooLongError{Max: most, Length: uint64(n)}
	}
	return binary.AppendUvarint(dst, uint64(n)), nil
}

// Append appends the length of msg and msg itself to dst. Its error is that of
// AppendHeader; dst is returned unchanged then.
func (f Varint) Append(dst, msg []byte) ([]byte, error) {
	dst, err := f.AppendHeader(dst, len(msg))
	if err != nil {
		return dst, err
	}
	return append(dst, msg...), nil
}
