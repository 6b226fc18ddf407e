package linepool

import (
	"regexp"
	"testing"

	"github.com/proactor-go/proactor/samples/line"
)

// FuzzPriority: NOOP and QUIT are urgent, in whatever case and whatever follows,
// and nothing else is. What is urgent is known. The lines are cut as those of
// package line, see FuzzLine there.
func FuzzPriority(f *testing.F) {
	for _, text := range []string{"NOOP", "noop x", "Quit", "NOO", "", "STAT", "qu\u0131t", "\u212aQUIT", "QUI\xff"} {
		f.Add([]byte(text))
	}
	urgent := regexp.MustCompile(`^(?:[Nn][Oo][Oo][Pp]|[Qq][Uu][Ii][Tt])`)
	f.Fuzz(func(t *testing.T, text []byte) {
		want := urgent.Match(text)
		if got := priority(text) > 0; got != want || got && !line.Known(string(text)) {
			t.Errorf("%q: urgent %v, want %v", text, got, want)
		}
	})
}
