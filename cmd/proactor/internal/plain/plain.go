// Package plain makes text that came from a network fit for a terminal, which would
// take escape sequences in it for orders: to move the cursor, to hide a line, to
// answer as if somebody had typed.
package plain

import (
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Text shows what cannot be printed as Go does between quotes: \x1b, \r, \u202e.
// Line ends count among it.
func Text(s string) string {
	for _, r := range s {
		if !printable(r) {
			return string(appendText(make([]byte, 0, 2*len(s)), s))
		}
	}
	return s
}

// printable holds for graphic characters and the space. Not for the rune that stands
// for what is no UTF-8, because it may be that.
func printable(r rune) bool { return r != utf8.RuneError && strconv.IsPrint(r) }

// JSON escapes what is not printable in what package json has encoded: that does so for
// the control characters of ASCII, but for no others.
func JSON(encoded []byte) []byte {
	var b []byte
	for _, r := range string(encoded) {
		switch {
		case r < ' ' || printable(r) || r == utf8.RuneError: // r < ' ' lies between tokens
			b = utf8.AppendRune(b, r)
		case r <= 0xffff:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		}
	}
	return b
}

func appendText(b []byte, s string) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if printable(r) {
			b = append(b, s[:n]...)
		} else {
			quoted := strconv.AppendQuote(nil, s[:n])
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		s = s[n:]
	}
	return b
}

// Writer passes text on as Text shows it, but keeps tabs and line ends. What was cut
// within a character, or between CR and LF, is held until the next call.
type Writer struct {
	to   io.Writer
	held []byte // less than a character
	out  []byte
}

// NewWriter makes a Writer to a terminal.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// Write passes p on. It is not for several goroutines at once.
func (w *Writer) Write(p []byte) (int, error) {
	s := string(append(w.held, p...))
	w.held, w.out = w.held[:0], w.out[:0]
	for len(s) > 0 {
		n := 1
		switch {
		case s[0] == '\n' || s[0] == '\t':
			w.out = append(w.out, s[0])
		case s == "\r" || !utf8.FullRuneInString(s):
			w.held = append(w.held, s...)
			n = len(s)
		case len(s) > 1 && s[:2] == "\r\n":
			w.out = append(w.out, '\n')
			n = 2
		default:
			_, n = utf8.DecodeRuneInString(s)
			w.out = appendText(w.out, s[:n])
		}
		s = s[n:]
	}
	_, err := w.to.Write(w.out)
	return len(p), err
}
