package greet

import (
	"bytes"
	"strings"
	"testing"

	"github.com/proactor-go/proactor/samples/echotest"
)

// FuzzHear: in whatever pieces the server's words arrive, the client answers
// those that stand in the script, and goes on only where they do.
func FuzzHear(f *testing.F) {
	for i, words := range []string{ServerHello + SayGoodbye, ServerHello + SayGoodbye + "more", "Test Serves\n", ServerHello + "Say", "", ServerHello + ServerHello} {
		f.Add([]byte(words), uint64(i))
	}
	const all = ServerHello + SayGoodbye
	f.Fuzz(func(t *testing.T, words []byte, seed uint64) {
		keeps := strings.HasPrefix(all, string(words)) || bytes.HasPrefix(words, []byte(all))
		want := ""
		switch {
		case bytes.HasPrefix(words, []byte(all)):
			want = ClientHello + Goodbye
		case bytes.HasPrefix(words, []byte(ServerHello)):
			want = ClientHello
		}
		for name, pieces := range echotest.Pieces(seed) {
			k := &client{said: make(chan string, 2*len(script))}
			var kept []byte
			got, ok := "", true
			for rest := words; len(rest) > 0 && ok; {
				n := min(max(pieces(), 1), len(rest))
				kept, rest = append(kept, rest[:n]...), rest[n:]
				n, answer, keeps := k.hear(kept)
				kept, got, ok = kept[n:], got+answer, keeps
				if k.step < len(script) && ok && len(kept) >= len(script[k.step].hear) {
					t.Fatalf("%s: %d bytes are kept of an answer of %d", name, len(kept), len(script[k.step].hear))
				}
			}
			if got != want || ok != keeps {
				t.Errorf("%s: %q, %v; want %q, %v", name, got, ok, want, keeps)
			}
		}
	})
}
