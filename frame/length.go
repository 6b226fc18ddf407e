package frame

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Length is the framing of messages that each have their length, as a number of fixed size,
// before them.
type Length struct {
	Bytes     int              // size of the length: 1, 2, 4 or 8; 0: 4
	Order     binary.ByteOrder // nil: big-endian, the network's
	Inclusive bool             // the length counts its own bytes, too
	Whole     bool             // Split returns the message with its length before it
	Max       int              // most bytes of a message, without the length; 0: DefaultMax
}

func (f Length) size() int {
	if f.Bytes == 0 {
		return 4
	}
	return f.Bytes
}

func (f Length) order() binary.ByteOrder {
	if f.Order == nil {
		return binary.BigEndian
	}
	return f.Order
}

func (f Length) check() error {
	switch size, most := f.size(), limit(f.Max); {
	case size != 1 && size != 2 && size != 4 && size != 8:
		return fmt.Errorf("%w: a length of %d bytes", ErrInvalid, f.Bytes)
	case most < 0 || most > math.MaxInt-size:
		return fmt.Errorf("%w: maximum %d", ErrInvalid, f.Max)
	}
	return nil
}

// Split is a [bufio.SplitFunc]. It has no state, and reads nothing but the length.
func (f Length) Split(data []byte, atEOF bool) (advance int, msg []byte, err error) {
	if err := f.check(); err != nil {
		return 0, nil, err
	}
	size := f.size()
	if len(data) < size {
		return ask(len(data), 0, atEOF)
	}
	n := f.get(data)
	if f.Inclusive {
		if n < uint64(size) {
			return 0, nil, &ShortLengthError{Length: n, Header: size}
		}
		n -= uint64(size)
	}
	if most := limit(f.Max); n > uint64(most) {
		return 0, nil, &TooLongError{Max: most, Length: n}
	}
	end := size + int(n)
	if len(data) < end {
		return ask(len(data), end, atEOF)
	}
	if f.Whole {
		return end, data[:end:end], nil
	}
	return end, data[size:end:end], nil
}

func (f Length) get(data []byte) uint64 {
	switch f.size() {
	case 1:
		return uint64(data[0])
	case 2:
		return uint64(f.order().Uint16(data))
	case 4:
		return uint64(f.order().Uint32(data))
	default:
		return f.order().Uint64(data)
	}
}

// AppendHeader appends the length of a message of n bytes to dst. The message itself must
// follow; proactor.Conn.Writev sends both without joining them first. It fails with a
// *[TooLongError] if n is over the maximum, or over what the length can count; dst is returned
// unchanged then.
func (f Length) AppendHeader(dst []byte, n int) ([]byte, error) {
	if err := f.check(); err != nil {
		return dst, err
	}
	size, most := f.size(), uint64(limit(f.Max))
	count := uint64(max(n, 0))
	if f.Inclusive {
		count += uint64(size)
	}
	if top := uint64(math.MaxUint64) >> (64 - 8*size); n < 0 || uint64(n) > most || count > top {
		if f.Inclusive {
			top -= uint64(size)
		}
		return dst, &TooLongError{Max: int(min(most, top)), Length: uint64(n)}
	}
	switch order := f.order(); size {
	case 1:
		dst = append(dst, byte(count))
	case 2:
		dst = append(dst, 0, 0)
		order.PutUint16(dst[len(dst)-2:], uint16(count))
	case 4:
		dst = append(dst, 0, 0, 0, 0)
		order.PutUint32(dst[len(dst)-4:], uint32(count))
	default:
		dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
		order.PutUint64(dst[len(dst)-8:], count)
	}
	return dst, nil
}

// Append appends the length of msg and msg itself to dst. Its errors are those of
// AppendHeader; dst is returned unchanged then.
func (f Length) Append(dst, msg []byte) ([]byte, error) {
	dst, err := f.AppendHeader(dst, len(msg))
	if err != nil {
		return dst, err
	}
	return append(dst, msg...), nil
}
