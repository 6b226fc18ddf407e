package frame

import "fmt"

// Fixed is the framing of messages that all have one size.
type Fixed struct {
	Size int // bytes of a message, above 0
}

// Split is a [bufio.SplitFunc]. It has no state.
func (f Fixed) Split(data []byte, atEOF bool) (advance int, msg []byte, err error) {
	switch {
	case f.Size <= 0:
		return 0, nil, fmt.Errorf("%w: size %d", ErrInvalid, f.Size)
	case len(data) < f.Size:
		return ask(len(data), f.Size, atEOF)
	}
	return f.Size, data[:f.Size:f.Size], nil
}

// Append appends msg to dst. It fails with [ErrInvalid] if msg does not have the size; dst is
// returned unchanged then.
func (f Fixed) Append(dst, msg []byte) ([]byte, error) {
	if len(msg) != f.Size || f.Size <= 0 {
		return dst, fmt.Errorf("%w: a message of %d bytes where each has %d", ErrInvalid, len(msg), f.Size)
	}
	return append(dst, msg...), nil
}
