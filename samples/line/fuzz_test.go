package line

import (
	"errors"
	"strings"
	"testing"

	"github.com/proactor-go/proactor/frame"
	"github.com/proactor-go/proactor/samples/echotest"
)

// FuzzLine compares what is answered, in whatever pieces the lines arrive, with
// the model of the server. No more is kept than a line may have.
func FuzzLine(f *testing.F) {
	long := strings.Repeat("x", Max-1-len("NOOP"))
	for i, sent := range []string{
		"", "NOOP\r\nstat\r\nHELO\r\nNOOP\r\n", "top\r", "\r\n", "\u017fTAT\r\n", "LIST\n\r\r\nx",
		"NOOP" + long, "NOOP" + long + "\r", "NOOP" + long + "\r\nNOOP\r\n", "NOOP" + long + "\rx", "NOOP" + long + "y\r\n",
		"NOOP" + long + "x",
	} {
		f.Add([]byte(sent), uint64(i))
	}
	f.Fuzz(func(t *testing.T, sent []byte, seed uint64) {
		if len(sent) > 1<<14 {
			return
		}
		want := string(owed(sent, true))
		for name, pieces := range echotest.Pieces(seed) {
			texts, err := echotest.Cut(NewSplit(), sent, Max, pieces)
			if got := said(texts, err); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
			var long *frame.TooLongError
			var cut *frame.CutError
			if err != nil && !errors.As(err, &long) && !errors.As(err, &cut) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// said is what the server says to these lines and their end.
func said(texts [][]byte, end error) string {
	var b strings.Builder
	b.WriteString(Banner)
	for _, text := range texts {
		if !Known(string(text)) {
			b.WriteString(Unknown)
			return b.String()
		}
		b.WriteString(KnownBegin + string(text) + KnownEnd)
	}
	if long := (*frame.TooLongError)(nil); errors.As(end, &long) {
		b.WriteString(TooMuch)
	}
	return b.String()
}
