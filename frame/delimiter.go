package frame

import (
	"bufio"
	"bytes"
	"fmt"
)

// Delimiter is the framing of messages that each end in a delimiter. Split returns them
// without it.
type Delimiter struct {
	Delim string // not empty
	Max   int    // most bytes of a message, without the delimiter; 0: DefaultMax
}

// Line is the framing of lines that end in CRLF and have at most that many bytes before
// it. A lone CR or LF is a byte like any other. This is the line of SMTP, POP3 and similar
// protocols (RFC 5321, 2.3.8).
func Line(most int) Delimiter { return Delimiter{Delim: "\r\n", Max: most} }

// Split is a [bufio.SplitFunc]. It has no state.
func (d Delimiter) Split(data []byte, atEOF bool) (advance int, msg []byte, err error) {
	advance, msg, _, err = d.split(data, 0, atEOF)
	return advance, msg, err
}

// Splitter makes a [bufio.SplitFunc] for one stream, which searches each byte once. Each
// call must be given the data of the call before, without the bytes that it consumed,
// followed by the bytes that have arrived since.
func (d Delimiter) Splitter() bufio.SplitFunc {
	searched := 0
	return func(data []byte, atEOF bool) (advance int, msg []byte, err error) {
		if searched > len(data) {
			searched = 0 // another stream, or the caller shows less: begin anew
		}
		advance, msg, searched, err = d.split(data, searched, atEOF)
		return advance, msg, err
	}
}

// split searches from an offset before which no delimiter begins. searched is
// that offset for the next call with more data.
func (d Delimiter) split(data []byte, from int, atEOF bool) (advance int, msg []byte, searched int, err error) {
	most := limit(d.Max)
	if d.Delim == "" || most < 0 {
		return 0, nil, 0, fmt.Errorf("%w: delimiter %q, maximum %d", ErrInvalid, d.Delim, d.Max)
	}
	// No need to look behind the place where the last one could be.
	window := data[:min(len(data), most+len(d.Delim))]
	if i := bytes.Index(window[from:], []byte(d.Delim)); i >= 0 {
		i += from
		return i + len(d.Delim), data[:i:i], 0, nil
	}
	if len(data) >= most+len(d.Delim) {
		return 0, nil, 0, &TooLongError{Max: most, Length: uint64(most) + 1}
	}
	_, _, err = ask(len(data), 0, atEOF)
	return 0, nil, max(0, len(data)-len(d.Delim)+1), err
}

// Append appends msg and the delimiter to dst. It fails with a *[TooLongError] if msg is over
// the maximum, and with [ErrInvalid] if the delimiter would be found before the end of
// msg; dst is returned unchanged then.
func (d Delimiter) Append(dst, msg []byte) ([]byte, error) {
	if most := limit(d.Max); len(msg) > most {
		return dst, &TooLongError{Max: most, Length: uint64(len(msg))}
	}
	start := len(dst)
	dst = append(append(dst, msg...), d.Delim...)
	if d.Delim == "" || bytes.Index(dst[start:], []byte(d.Delim)) != len(msg) {
		return dst[:start], fmt.Errorf("%w: the delimiter %q is in the message", ErrInvalid, d.Delim)
	}
	return dst, nil
}
