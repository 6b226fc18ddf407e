package frame

import (
	"errors"
	"fmt"
	"io"
)

// ErrInvalid is returned for a framing whose fields are out of range, or a message that it
// cannot carry.
var ErrInvalid = errors.New("frame: invalid framing")

// DefaultMax, in bytes, bounds a message where a framing's Max is 0.
const DefaultMax = 1 << 20

func limit(most int) int {
	if most == 0 {
		return DefaultMax
	}
	return most
}

// TooLongError is a message over the maximum.
type TooLongError struct {
	Max    int    // most bytes of a message
	Length uint64 // the length that was announced; Max + 1 if none was
}

// Error has both numbers.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("frame: message of %d bytes or more, at most %d are allowed", e.Length, e.Max)
}

// ShortLengthError is a length that includes its header and is below the
// header's own size.
type ShortLengthError struct {
	Length uint64 // the length that was announced
	Header int    // bytes of the header
}

// Error has both numbers.
func (e *ShortLengthError) Error() string {
	return fmt.Sprintf("frame: length %d, which includes a header of %d bytes", e.Length, e.Header)
}

// VarintError is a length that is not a canonical varint.
type VarintError struct {
	Overlong bool // true: it has more bytes than its value needs; false: it is over 64 bits
}

// Error says which of the two it is.
func (e *VarintError) Error() string {
	if e.Overlong {
		return "frame: varint has more bytes than it needs"
	}
	return "frame: varint over 64 bits"
}

// CutError is a stream that ended within a message. It wraps
// [io.ErrUnexpectedEOF].
type CutError struct {
	Have int // bytes that arrived of the last message, its length included
	Want int // bytes that the whole message would have had; 0 if that is not known
}

// Error has the bytes that arrived.
func (e *CutError) Error() string {
	if e.Want > 0 {
		return fmt.Sprintf("frame: stream ended after %d of a message's %d bytes", e.Have, e.Want)
	}
	return fmt.Sprintf("frame: stream ended after %d bytes of a message", e.Have)
}

// Unwrap returns io.ErrUnexpectedEOF.
func (e *CutError) Unwrap() error { return io.ErrUnexpectedEOF }

// ask is the result of Split for a message that is not complete: more data is wanted, or, at
// the end of the stream, the message is cut.
func ask(have, want int, atEOF bool) (int, []byte, error) {
	if atEOF && have > 0 {
		return 0, nil, &CutError{Have: have, Want: want}
	}
	return 0, nil, nil
}
